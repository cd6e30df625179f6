// SPDX-License-Identifier: Apache-2.0
//
// Rows as COPY's binary format wants them, for tables all of whose columns have types that we can
// make binary ourselves: the server then parses no text, a fifth of its work on narrow rows.
//
//   header: signature | int32 flags (0) | int32 length of an extension (0)
//   row:    int16 columns | per column: int32 length (-1 is NULL), bytes
//   trailer: int16 -1

import ChangeModel
import LibPQ

/// Which tables take binary rows; decided once for each version of a table in a session.
struct BinaryTables {
    private static let limit = 4096

    private var known: [UInt64: [BinaryValue]?] = [:]

    /// How each column's values become binary; `nil` where the table's rows stay text.
    mutating func values(
        of table: TargetTable,
        on connection: borrowing Connection
    ) -> [BinaryValue]? {
        let version = table.relation.version
        if let values = known[version] { return values }
        // Every PostgreSQL from 10 on has this on; others that speak the protocol may not.
        let isUsual = connection.parameterStatus("integer_datetimes") == "on"
        let values = isUsual ? Self.values(of: table) : nil
        if known.count >= Self.limit { known.removeAll() }
        known.updateValue(values, forKey: version)
        return values
    }

    /// The same without a look at the server.
    ///
    /// A type that differs between the two sides is converted by way of its text.
    static func values(of table: TargetTable) -> [BinaryValue]? {
        let sources = table.relation.relation.columns
        guard !sources.isEmpty, sources.count == table.columns.count else { return nil }
        var values: [BinaryValue] = []
        for (source, target) in zip(sources, table.columns) {
            guard source.typeOID == target.typeOID, let value = BinaryValue(typeOID: target.typeOID)
            else { return nil }
            values.append(value)
        }
        return values
    }

    /// Forgets all: the next session may be another server's.
    mutating func removeAll() {
        known.removeAll()
    }
}

extension WireBuffer {
    /// Appends what stands before the rows.
    mutating func appendBinaryHeader() {
        let signature: StaticString = "PGCOPY\n"
        reserve(19)
        unchecked(signature.utf8Start, signature.utf8CodeUnitCount)
        for byte in [0xFF, 0x0D, 0x0A, 0x00] as [UInt8] { unchecked(byte) }
        unchecked(Int32(0))
        unchecked(Int32(0))
    }

    /// Appends what stands behind the rows.
    mutating func appendBinaryTrailer() {
        reserve(2)
        unchecked(UInt8.max)
        unchecked(UInt8.max)
    }

    /// Appends rows in COPY's binary format, every cell of them a value or NULL.
    ///
    /// Appends nothing where it does not understand one.
    mutating func appendCopyBinary(
        _ rows: borrowing PickedRows,
        as values: [BinaryValue],
        arena: UnsafeRawBufferPointer
    ) -> CopyRowsOutcome {
        let (width, count, mark) = (rows.width, rows.count, count)
        guard width == values.count, let columns = Int16(exactly: width) else { return .unknown }
        return rows.cells.withUnsafeBufferPointer { cells in
            values.withUnsafeBufferPointer { values in
                var place = 0
                for _ in 0..<count {
                    reserve(2)
                    end.storeBytes(of: columns.bigEndian, as: Int16.self)
                    advance(2)
                    for column in 0..<width {
                        let outcome = append(cells[place], values[column], arena)
                        guard outcome == .whole else {
                            cut(to: mark)
                            return outcome
                        }
                        place += 1
                    }
                }
                return .whole
            }
        }
    }

    @inline(__always)
    private mutating func append(
        _ cell: Cell,
        _ value: BinaryValue,
        _ arena: UnsafeRawBufferPointer
    ) -> CopyRowsOutcome {
        let length = Int(cell.length)
        reserve(max(length, 0) + BinaryValue.extraBytes)
        if length > 0 {
            let start = Int(cell.offset)
            guard start + length <= arena.count, let base = arena.baseAddress
            else { return .unsound }
            return uncheckedBinary(value, base + start, length) ? .whole : .unknown
        }
        if length == 0 {
            guard value == .bytes else { return .unknown }
            unchecked(Int32(0))
            return .whole
        }
        guard cell == .null else { return .unsound }
        unchecked(Int32(-1))
        return .whole
    }
}

/// What became of rows that were to be put into a buffer for COPY.
enum CopyRowsOutcome {
    /// They are in it.
    case whole
    /// A value's text is not what the server prints: another format may take it.
    case unknown
    /// A cell is neither a value nor NULL, or lies outside of the batch.
    case unsound
}
