// SPDX-License-Identifier: Apache-2.0
//
// Which tasks are run at a server, in all its databases: a slot tells it only while it is read, and
// is inactive while tables are copied and while a sink is waited for.

import ChangeModel
public import LibPQ

/// Who holds the locks of tasks on one server.
public struct TaskHolders: Sendable {
    private struct Place: Hashable {
        var database: String
        var key: Int64
    }

    private var holders: [Place: TaskHolder] = [:]

    /// Asks the server; blocks for the answer.
    public init(on connection: borrowing Connection) throws(PostgresError) {
        let rows = try connection.query(
            """
            SELECT l.pid, a.application_name, pg_catalog.host(a.client_addr), \
            \(TaskLock.began), d.datname, l.classid::bigint << 32 | l.objid::bigint \
            FROM pg_catalog.pg_locks l \
            JOIN pg_catalog.pg_database d ON d.oid = l.database \
            LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
            WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
            """
        )
        for row in 0..<rows.count {
            guard let pid = rows.integer(row, 0), let key = rows.integer(row, 5) else { continue }
            var holder = TaskHolder(
                pid: Int(pid),
                applicationName: rows.text(row, 1),
                clientAddress: rows.value(row, 2)
            )
            holder.began = rows.value(row, 3)
            holders[Place(database: rows.text(row, 4), key: key)] = holder
        }
    }

    /// Who runs a task of a database; `nil` where nobody does.
    public func holder(of task: String, in database: String) -> TaskHolder? {
        holders[Place(database: database, key: TaskLock.key(of: task))]
    }
}
