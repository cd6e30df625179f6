// SPDX-License-Identifier: Apache-2.0
//
// Who stands in the way of a lock on a table. pg_locks shows that to every role.

/// A lock on tables that somebody else's may conflict with.
public enum TableLockMode: Sendable {
    /// Reading.
    case accessShare
    /// What publishing a table takes.
    case shareUpdateExclusive
    /// What TRUNCATE and most of ALTER TABLE take.
    case accessExclusive

    /// The modes that conflict with it, as pg_locks names them.
    private var conflicting: [String] {
        let strong = [
            "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock",
            "AccessExclusiveLock",
        ]
        return switch self {
        case .accessShare: ["AccessExclusiveLock"]
        case .shareUpdateExclusive: strong
        case .accessExclusive: ["AccessShareLock", "RowShareLock", "RowExclusiveLock"] + strong
        }
    }

    /// For people, who holds or awaits a lock on one of the tables that conflicts with this one.
    ///
    /// `nil` where nobody does any more, and where the server does not say: a courtesy. Asked after
    /// the wait for the lock has failed, outside of a failed transaction. Blocks.
    public func holder(of tables: [UInt32], on connection: borrowing Connection) -> String? {
        guard !tables.isEmpty else { return nil }
        let rows = try? connection.query(
            """
            SELECT l.pid, a.usename, a.application_name, l.granted, l.relation::pg_catalog.regclass \
            FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
            WHERE l.locktype = 'relation' AND l.pid <> pg_catalog.pg_backend_pid() \
            AND l.relation IN (\(tables.map(String.init).joined(separator: ", "))) \
            AND l.database = (SELECT oid FROM pg_catalog.pg_database \
            WHERE datname = pg_catalog.current_database()) \
            AND l.mode IN (\(SQL.literals(conflicting))) ORDER BY l.granted DESC, l.pid LIMIT 1
            """
        )
        guard let rows, rows.count == 1 else { return nil }
        let verb = rows.flag(0, 3) ? "holds" : "waits for"
        return "process \(rows.text(0, 0)) (user \"\(rows.text(0, 1))\", application "
            + "\"\(rows.text(0, 2))\") \(verb) a lock on \(rows.text(0, 4))"
    }
}
