// SPDX-License-Identifier: Apache-2.0
//
// The transactions that were open, and may have written, at one moment. Who waits for their end has
// all that they have done behind the position that the WAL then has.

public import LibPQ

/// What was open on a server when it was asked.
public struct OpenTransactions: Sendable {
    /// All of them have lower numbers than this one.
    private let end: Int64

    /// Asks the server, a primary, which those are now.
    ///
    /// Blocks. Throws `PostgresError`.
    public init(on connection: borrowing Connection) throws(PostgresError) {
        end = try Self.bound("txid_snapshot_xmax", on: connection)
    }

    /// Whether the last one of them has ended; prepared ones are open until then too.
    ///
    /// Blocks. Throws `PostgresError`.
    public func haveEnded(on connection: borrowing Connection) throws(PostgresError) -> Bool {
        try Self.bound("txid_snapshot_xmin", on: connection) >= end
    }

    private static func bound(
        _ function: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> Int64 {
        let row = try connection.query(
            "SELECT pg_catalog.\(function)(pg_catalog.txid_current_snapshot())"
        )
        guard let number = row.integer(0, 0) else {
            throw PostgresError(kind: .server, message: "\(function) gave no number")
        }
        return number
    }

    /// The sessions that have a transaction's number, for people; empty where there is none.
    ///
    /// Who has one is in pg_locks for every role; the rest of what pg_stat_activity knows of others
    /// needs pg_monitor. Blocks. Throws `PostgresError`.
    public static func holders(
        besides pid: Int? = nil,
        on connection: borrowing Connection
    ) throws(PostgresError) -> String {
        let rows = try connection.query(
            """
            SELECT pg_catalog.string_agg(pg_catalog.concat('pid ', a.pid, ' (', a.usename, ', '
                || a.state, ', open for '
                || pg_catalog.date_trunc('second', pg_catalog.now() - a.xact_start), ')'), ', ')
            FROM pg_catalog.pg_stat_activity a
            WHERE a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l
                WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted)
            \(pid.map { "AND a.pid <> \($0)" } ?? "")
            """
        )
        return rows.text(0, 0)
    }
}
