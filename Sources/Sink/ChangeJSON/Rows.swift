// SPDX-License-Identifier: Apache-2.0
//
// A batch's arrays as pointers for the duration of one call, and the checks that keep a batch
// that contradicts itself from being read out of bounds.

import ChangeModel

/// A batch's memory.
struct Rows {
    let bytes: Bytes
    let cells: UnsafeBufferPointer<Cell>
    let changes: UnsafeBufferPointer<Change>
    let transactions: UnsafeBufferPointer<Transaction>

    /// A change; `nil` where it is not there or what it refers to is not.
    @inline(__always)
    func change(_ index: Int, planCount: Int) -> Change? {
        guard index >= 0, index < changes.count else { return nil }
        let change = changes[index]
        guard change.relation >= 0, Int(change.relation) < planCount, change.transaction >= 0,
            Int(change.transaction) < transactions.count
        else { return nil }
        return change
    }

    @inline(__always)
    func hasCells(_ first: Int, _ count: Int) -> Bool {
        first + count <= cells.count
    }

    /// The cell at `index`; the one at `unchanged` where that has the value that was not sent again.
    @inline(__always)
    func cell(_ index: Int, unchanged: Int?) -> Cell {
        let cell = cells[index]
        guard cell == .unchanged, let unchanged, cells[unchanged].isValue else { return cell }
        return cells[unchanged]
    }

    /// A cell's text; `nil` where it is not all in the arena.
    @inline(__always)
    func value(_ cell: Cell) -> Bytes? {
        let start = Int(cell.offset)
        let length = Int(cell.length)
        guard start + length <= bytes.count, let base = bytes.baseAddress else {
            return length == 0 ? Bytes(start: nil, count: 0) : nil
        }
        return Bytes(start: base + start, count: length)
    }
}

extension ChangeBatch {
    /// Lends the batch's memory for the duration of `body`.
    func withRows<Result>(_ body: (Rows) -> Result) -> Result {
        bytes.withUnsafeBufferPointer { bytes in
            cells.withUnsafeBufferPointer { cells in
                changes.withUnsafeBufferPointer { changes in
                    transactions.withUnsafeBufferPointer { transactions in
                        body(
                            Rows(
                                bytes: bytes,
                                cells: cells,
                                changes: changes,
                                transactions: transactions
                            )
                        )
                    }
                }
            }
        }
    }
}

/// Why a row cannot be encoded.
struct Fault {
    /// What is wrong.
    enum Kind {
        /// A value is not of its column's type.
        case malformed
        /// A value is not UTF-8.
        case encoding
        /// A value of the record's key was not sent.
        case key
        /// A value is of its type, but the type that its schema declares cannot hold it.
        case beyondType
        /// A value was not sent, and its schema's type has nothing to say so.
        case unavailable
        /// The batch contradicts itself.
        case batch
    }

    var kind: Kind
    /// The column's index; -1 where none is to blame.
    var column: Int

    /// The error for the operator, without the value: it may be nobody's business.
    @inline(never)
    func error(in batch: borrowing ChangeBatch, change index: Int) -> WalrelayError {
        guard kind != .batch, column >= 0, batch.changes.indices.contains(index) else {
            return WalrelayError(
                "batch.inconsistent",
                exit: .internalError,
                "change \(index) of a batch refers to what is not in the batch"
            )
        }
        let change = batch.changes[index]
        let relation = batch.relations[Int(change.relation)].relation
        let place =
            "column \"\(relation.columns[column].name)\" of table \(relation.qualifiedName), "
            + "LSN \(change.lsn)"
        let type = batch.relations[Int(change.relation)].types[column]
        switch kind {
        case .encoding:
            return WalrelayError(
                "value.encoding",
                exit: .refused,
                "a value is not UTF-8: \(place)",
                hint: "store the text as UTF-8 (server_encoding is SQL_ASCII, so the server "
                    + "does not check it), or exclude the column"
            )
        case .key:
            return WalrelayError(
                "key.not_sent",
                exit: .refused,
                "the server did not send a value of the key: \(place)",
                hint: "update the server (minor releases since February 2022 send large values "
                    + "of a key), or exclude the table"
            )
        case .beyondType, .unavailable:
            let reason =
                kind == .beyondType
                ? "a value is none of the type that its schema declares"
                : "a large value was not sent, and its schema's type cannot say so"
            return WalrelayError(
                "value.beyond_schema",
                exit: .refused,
                "\(reason) (\(type)): \(place)",
                hint: "set format.decimals to string for NaN, infinities and large decimals, "
                    + "schemas to false for arrays of several dimensions; the task goes on where "
                    + "it stopped"
            )
        case .malformed, .batch:
            return WalrelayError(
                "value.malformed",
                exit: .internalError,
                "a value is not in PostgreSQL's text format of its type (\(type)): \(place)",
                hint: "report this as a defect with the column's type and the server's version"
            )
        }
    }
}
