// SPDX-License-Identifier: Apache-2.0
//
// DDL on the target wants a table for itself. While it waits for whoever reads the table, everybody
// who comes later waits behind it: one long report, and the application's queries stand still. So
// it waits for a moment only, lets the others pass, and tries again.

import ChangeModel
import LibPQ
import Logging

/// Runs what needs tables of the target for itself.
struct TableLock {
    /// How long others may queue behind us.
    static let wait: Duration = .seconds(3)
    /// How long they are let pass.
    private static let pause: Duration = .seconds(3)

    let patience: Patience
    let log: Logger
    /// How long it is tried in all.
    var limit: Duration = .seconds(60)

    /// Runs `body`, which takes locks on the tables, again as long as one is not to be had; blocks.
    ///
    /// Within a transaction what `body` has done by then is taken back each time, and nothing else.
    /// Throws what `body` throws, and `sink.table_locked`, transient, with who holds the lock.
    func run<Result>(
        _ tables: [TableName],
        on target: borrowing Connection,
        _ body: () throws -> Result
    ) throws -> Result {
        let deadline = ContinuousClock.now + limit
        let isInTransaction = target.isInTransaction
        while true {
            try target.query(
                (isInTransaction ? "SAVEPOINT walrelay_lock; SET LOCAL" : "SET")
                    + " lock_timeout = '\(Self.wait.components.seconds)s'"
            )
            do {
                let result = try body()
                try target.query(
                    isInTransaction
                        ? "SET LOCAL lock_timeout = 0; RELEASE SAVEPOINT walrelay_lock"
                        : "SET lock_timeout = 0"
                )
                return result
            } catch  where Self.isLocked(error) {
                try target.query(
                    isInTransaction
                        ? "ROLLBACK TO SAVEPOINT walrelay_lock; RELEASE SAVEPOINT walrelay_lock"
                        : "SET lock_timeout = 0"
                )
                let holder = try TableLockMode.accessExclusive.holder(
                    of: Array(TargetCatalog.oids(of: tables, on: target).values),
                    on: target
                )
                try yield(to: holder, tables, until: deadline)
            }
        }
    }

    private func yield(
        to holder: String?,
        _ tables: [TableName],
        until deadline: ContinuousClock.Instant
    ) throws {
        let found =
            "\(Prose.list(tables.map(\.description))) of the target could not be locked in time"
            + (holder.map { "; \($0)" } ?? "")
        guard ContinuousClock.now + Self.pause < deadline else {
            throw WalrelayError(
                TargetErrors.locked,
                exit: .unreachable,
                found,
                hint: "end the statement that holds the lock (pg_locks, pg_stat_activity); the "
                    + "task goes on by itself then",
                isTransient: true
            )
        }
        log.warning("\(found); others are let pass", metadata: ["code": "\(TargetErrors.locked)"])
        let end = ContinuousClock.now + Self.pause
        while ContinuousClock.now < end {
            patience.look()
            guard !patience.giveUp.sleep(for: .milliseconds(500)) else { throw CancellationError() }
        }
    }

    private static func isLocked(_ error: any Error) -> Bool {
        if let error = error as? PostgresError { return error.sqlState == "55P03" }
        return (error as? WalrelayError)?.code == TargetErrors.locked
    }
}
