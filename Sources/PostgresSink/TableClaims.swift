// SPDX-License-Identifier: Apache-2.0
//
// Which task writes which table of the target (walrelay.claim): no table is written by two, and a
// table that an unfinished snapshot of ours filled may be emptied again.

import ChangeModel
import LibPQ

/// The claims on tables of the target as they were when they were read.
struct TableClaims {
    let task: String
    /// The task's own: whether walrelay made the table.
    private(set) var own: [TableName: Bool] = [:]
    private var others: [TableName: String] = [:]

    /// Reads all claims; there are none before walrelay's tables are made.
    init(task: String, on target: borrowing Connection) throws(PostgresError) {
        self.task = task
        let found = try target.query(
            "SELECT pg_catalog.to_regclass('walrelay.claim') IS NOT NULL"
        )
        guard found.flag(0, 0) else { return }
        let rows = try target.query(
            "SELECT schema_name, table_name, task, made FROM walrelay.claim"
        )
        for row in 0..<rows.count {
            let name = TableName(schema: rows.text(row, 0), name: rows.text(row, 1))
            if rows.text(row, 2) == task {
                own[name] = rows.flag(row, 3)
            } else {
                others[name] = rows.text(row, 2)
            }
        }
    }

    /// Tables that this task made, and which may lack their key still.
    var unfinished: Set<TableName> { Set(own.filter(\.value).keys) }

    /// Throws `sink.table_claimed` where another task writes one of the tables.
    func refuseOthers(_ names: [TableName]) throws(WalrelayError) {
        let taken = names.filter { others[$0] != nil }.sorted()
        guard let first = taken.first, let other = others[first] else { return }
        throw WalrelayError(
            "sink.table_claimed",
            exit: .checkpointMismatch,
            "The target's \(Prose.list(taken.map(\.description))) belongs to task \(other), "
                + "which has its checkpoint there",
            hint: "give the table another `target` in tables.include, or end the other task with "
                + "`walrelay teardown --config FILE` and its settings"
        )
    }

    /// Notes that the task writes the tables, and which of them walrelay made.
    ///
    /// A table that was made by an earlier attempt stays so.
    func claim(
        _ names: [TableName],
        made: Set<TableName>,
        on target: borrowing Connection
    ) throws {
        guard !names.isEmpty else { return }
        let rows = names.map { name in
            "(\(SQL.literal(name.schema)), \(SQL.literal(name.name)), \(SQL.literal(task)), "
                + "\(made.contains(name)))"
        }
        let claimed = try target.query(
            """
            INSERT INTO walrelay.claim AS c (schema_name, table_name, task, made) \
            VALUES \(rows.joined(separator: ", ")) ON CONFLICT (schema_name, table_name) \
            DO UPDATE SET made = c.made OR EXCLUDED.made WHERE c.task = EXCLUDED.task
            """
        )
        guard claimed.affectedRows == names.count else {
            // Somebody was faster since we looked.
            try TableClaims(task: task, on: target).refuseOthers(names)
            return
        }
    }
}
