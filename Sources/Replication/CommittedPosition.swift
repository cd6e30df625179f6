// SPDX-License-Identifier: Apache-2.0
//
// What "until now" means on a server on which commits do not wait for the disk: the walsender
// sends what has been flushed, and such a commit may lie behind that.

public import ChangeModel
public import LibPQ

/// A position by which everything is in WAL that was committed before it was asked for.
public enum CommittedPosition {
    /// Asks the server, a primary; blocks until commits that did not wait are flushed.
    ///
    /// That is three times `wal_writer_delay` at most (PostgreSQL: Asynchronous Commit): what is
    /// not flushed then is of transactions that have not ended. Ends early on a stop.
    public static func now(
        on connection: borrowing Connection,
        stop: StopSignal
    ) throws(PostgresError) -> LSN {
        let delay = try connection.query(
            """
            SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_writer_delay'
            """
        )
        let limit = Duration.milliseconds(min(delay.integer(0, 0) ?? 200, 10_000) * 3 + 100)
        let deadline = ContinuousClock.now + limit
        let end = try position("pg_current_wal_insert_lsn", on: connection)
        while true {
            let flushed = try position("pg_current_wal_flush_lsn", on: connection)
            guard flushed < end, ContinuousClock.now < deadline,
                !stop.sleep(for: .milliseconds(20))
            else { return min(end, flushed) }
        }
    }

    private static func position(
        _ function: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> LSN {
        LSN(try connection.query("SELECT pg_catalog.\(function)()").text(0, 0)) ?? .zero
    }
}
