// SPDX-License-Identifier: Apache-2.0
//
// A change that the target cannot take, told so that its row can be found and mended: table, key,
// the server's own words, and the position.

import ChangeModel
import LibPQ

/// Why one change was not applied.
struct RowRefusal {
    /// Characters of a key's value that are shown.
    private static let valueLimit = 64
    /// Columns of a key that are shown.
    private static let columnLimit = 8

    /// The SQLSTATE; empty where the server was not asked.
    let sqlState: String
    /// What is wrong with the row, the key included.
    let reason: String
    private let fault: RowFault.Reason?
    private let change: Change
    private let transaction: Transaction
    private let table: TargetTable

    /// `cause` is a `PostgresError` or a `RowFault`.
    init(_ cause: any Error, change index: Int, in batch: ChangeBatch, to table: TargetTable) {
        change = batch.changes[index]
        transaction = batch.transactions[Int(change.transaction)]
        self.table = table
        let key = Self.key(of: change, in: batch, table)
        let row = key.isEmpty ? "the row" : "the row \(key)"
        switch cause {
        case let fault as RowFault:
            sqlState = ""
            self.fault = fault.reason
            reason =
                fault.reason == .missing
                ? "\(row) is not there, and the source did not send its large values again"
                : "\(row) cannot be found: the source did not send all columns of the key"
        case let error as PostgresError:
            sqlState = error.sqlState
            fault = nil
            reason = "\(row): \(error.briefly)"
        default:
            sqlState = ""
            fault = nil
            reason = "\(row): \(cause)".cut(to: 500)
        }
    }

    /// The error for the operator.
    var error: WalrelayError {
        let message =
            "\(table.schema).\(table.name) did not take an \(change.kind.word) at LSN \(change.lsn)"
            + " (transaction \(transaction.xid), committed at \(transaction.commitLSN)): \(reason)"
        let source = table.relation.relation
        return switch fault {
        case .missing:
            WalrelayError(
                "sink.row_missing",
                exit: .refused,
                message,
                hint: "`walrelay verify --config FILE \(source.qualifiedName) --repair` puts the "
                    + "missing rows back"
            )
        case .noKey:
            WalrelayError(
                "sink.key_not_sent",
                exit: .refused,
                message,
                hint: "on the source: ALTER TABLE \(SQL.shown(source.schema, source.name)) "
                    + "REPLICA IDENTITY FULL; changes that were made before stay as they are"
            )
        case nil:
            WalrelayError(
                "sink.row_refused",
                exit: .refused,
                message,
                hint: "mend the row or the constraint on the target and start again, or set "
                    + "sink.postgresql.onRowError: deadLetter to set such changes aside"
            )
        }
    }

    /// `(id, part)=(1, x)`, from the row that the change found; empty without a key.
    private static func key(
        of change: Change,
        in batch: ChangeBatch,
        _ table: TargetTable
    ) -> String {
        guard !table.key.isEmpty else { return "" }
        let cells = change.old == .none ? change.newCells : change.oldCells
        let columns = table.key.prefix(columnLimit)
        let values = columns.map { column in
            let cell = batch.cells[Int(cells) + column]
            return (batch.start(of: cell, limit: valueLimit * 4) ?? "NULL").cut(to: valueLimit)
        }
        let names = columns.map { table.columns[$0].name }
        return "(\(names.joined(separator: ", ")))=(\(values.joined(separator: ", ")))"
    }
}

extension ChangeKind {
    /// The kind for people.
    var word: String {
        switch self {
        case .read: "insert of the snapshot"
        case .insert: "insert"
        case .update: "update"
        case .delete: "delete"
        case .truncate: "truncate"
        }
    }
}

extension ChangeBatch {
    /// A value's first bytes as text; `nil` where the cell has no value in the arena.
    fileprivate func start(of cell: Cell, limit: Int) -> String? {
        let start = Int(cell.offset)
        guard cell.isValue, start + Int(cell.length) <= bytes.count else { return nil }
        let end = start + min(Int(cell.length), limit)
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }
}
