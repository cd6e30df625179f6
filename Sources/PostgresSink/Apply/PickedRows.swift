// SPDX-License-Identifier: Apache-2.0
//
// The rows of one statement: of each the cells that the statement takes, side by side, wherever
// the folding keeps them. From here on nobody has to know where a row came from.

import ChangeModel

/// What knows the cells of the rows that it gave out.
protocol CellSource {
    func cell(_ row: NetRow, _ column: Int, in batch: borrowing ChangeBatch) -> Cell
}

extension NetChanges: CellSource {}
extension NetRows: CellSource {}

/// Cells of rows that one statement takes; keeps its memory from use to use.
struct PickedRows {
    /// How much one statement takes; a single row may be larger.
    struct Limits: Sendable {
        /// Rows.
        var rows: Int
        /// Bytes of values after which no further row is taken.
        var bytes: Int

        /// What costs a look at an index for each row: the more, the closer they lie together.
        static let byKey = Limits(rows: 10_000, bytes: 2 << 20)
        /// What costs a pass over the table.
        static let wholeTable = Limits(rows: 50_000, bytes: 8 << 20)
        /// What is handed on as it is.
        static let copy = Limits(rows: 2_500, bytes: 256 << 10)
    }

    /// How many cells a row has.
    private(set) var width = 0
    /// Row after row.
    private(set) var cells: [Cell] = []
    /// How many rows there are.
    private(set) var count = 0
    private var byteCount = 0

    /// Forgets the rows; the next ones have `width` cells.
    mutating func removeAll(width: Int) {
        self.width = width
        count = 0
        byteCount = 0
        cells.removeAll(keepingCapacity: true)
    }

    /// Takes as many of the range's rows as the limits allow, at least one.
    ///
    /// Returns where the rest begins.
    mutating func fill(
        _ rows: [NetRow],
        _ range: Range<Int>,
        columns: [Int],
        from source: some CellSource,
        in batch: ChangeBatch,
        limits: Limits
    ) -> Int {
        removeAll(width: columns.count)
        var next = range.lowerBound
        while next < range.upperBound, count < limits.rows, byteCount < limits.bytes {
            let row = rows[next]
            for column in columns { append(source.cell(row, column, in: batch)) }
            count += 1
            next += 1
        }
        return next
    }

    /// Takes cells of a tuple of the batch for the row that is being put together.
    mutating func addCells(_ batch: ChangeBatch, first: UInt32, columns: [Int]) {
        for column in columns { append(batch.cells[Int(first) + column]) }
    }

    /// Ends the row that was put together.
    mutating func endRow() {
        count += 1
    }

    @inline(__always)
    private mutating func append(_ cell: Cell) {
        cells.append(cell)
        byteCount += Int(max(0, cell.length))
    }
}

extension NetChanges {
    /// Folds the changes that stand in a range of `order` until one is not taken.
    ///
    /// Returns its place, or the range's end.
    mutating func fold(_ batch: ChangeBatch, _ order: [UInt32], _ range: Range<Int>) -> Int {
        var next = range.lowerBound
        while next < range.upperBound, fold(batch, change: Int(order[next])) { next += 1 }
        return next
    }
}

extension NetRows {
    /// Folds the changes that stand in a range of `order` until one is not taken.
    ///
    /// Returns its place, or the range's end.
    mutating func fold(_ batch: ChangeBatch, _ order: [UInt32], _ range: Range<Int>) -> Int {
        var next = range.lowerBound
        while next < range.upperBound, fold(batch, change: Int(order[next])) { next += 1 }
        return next
    }
}

extension ColumnMask {
    /// The columns of `columnCount` for which `isIn` is true.
    init(columnCount: Int, _ isIn: (Int) -> Bool) {
        var words = [UInt64](repeating: 0, count: (columnCount + 63) >> 6)
        for column in 0..<columnCount where isIn(column) {
            words[column >> 6] |= 1 << UInt64(column & 63)
        }
        self.init(words: words[...])
    }
}
