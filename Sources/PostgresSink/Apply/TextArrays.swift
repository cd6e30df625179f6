// SPDX-License-Identifier: Apache-2.0
//
// Columns of rows as parameters of type text[] in the binary format, which needs no escapes
// (`TextArrayForm`).

import ChangeModel
import LibPQ

/// The parameters of one statement; keeps its memory from use to use.
struct TextArrays: ~Copyable {
    private var buffer = WireBuffer(capacity: 64 << 10)
    private var starts: [Int] = []
    private var parameters = StatementParameters()

    /// Takes each column of the rows as one array.
    ///
    /// False where a cell is neither a value nor NULL, or does not lie in `arena`.
    mutating func fill(_ rows: borrowing PickedRows, arena: UnsafeRawBufferPointer) -> Bool {
        buffer.removeAll()
        starts.removeAll(keepingCapacity: true)
        for column in 0..<rows.width where !append(rows, column: column, arena) {
            return false
        }
        return true
    }

    /// Takes one more array, of whole numbers.
    mutating func append(_ numbers: ArraySlice<Int>) {
        beginArray(count: numbers.count, bytes: numbers.count * 24, hasNulls: false)
        for number in numbers {
            var text = String(number)
            text.withUTF8 { digits in
                guard let base = digits.baseAddress else { return }
                buffer.unchecked(Int32(digits.count))
                buffer.unchecked(base, digits.count)
            }
        }
    }

    /// Executes a prepared statement with the arrays; blocks.
    mutating func execute(
        _ name: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> QueryResult {
        parameters.removeAll()
        return try buffer.withUnsafeBytes { bytes throws(PostgresError) in
            for index in 0..<starts.count {
                let end = index + 1 < starts.count ? starts[index + 1] : bytes.count
                parameters.append(
                    binary: UnsafeRawBufferPointer(rebasing: bytes[starts[index]..<end])
                )
            }
            return try connection.execute(name, parameters)
        }
    }

    private mutating func beginArray(count: Int, bytes: Int, hasNulls: Bool) {
        starts.append(buffer.count)
        buffer.reserve(TextArrayForm.headerBytes + bytes)
        buffer.uncheckedTextArray(count: count, hasNulls: hasNulls)
    }

    private mutating func append(
        _ rows: borrowing PickedRows,
        column: Int,
        _ arena: UnsafeRawBufferPointer
    ) -> Bool {
        let (width, count) = (rows.width, rows.count)
        return rows.cells.withUnsafeBufferPointer { cells in
            var size = 0
            var hasNulls = false
            var place = column
            for _ in 0..<count {
                let cell = cells[place]
                place += width
                if cell.isValue {
                    guard Int(cell.offset) + Int(cell.length) <= arena.count else { return false }
                    size += 4 + Int(cell.length)
                } else {
                    guard cell == .null else { return false }
                    hasNulls = true
                    size += 4
                }
            }
            beginArray(count: count, bytes: size, hasNulls: hasNulls)
            place = column
            for _ in 0..<count {
                let cell = cells[place]
                place += width
                buffer.unchecked(max(cell.length, -1))
                if cell.length > 0, let base = arena.baseAddress {
                    buffer.unchecked(base + Int(cell.offset), Int(cell.length))
                }
            }
            return true
        }
    }
}
