// SPDX-License-Identifier: Apache-2.0
//
// Keeps the tables as the snapshot saw them until they are copied. Some DDL does not ask what an
// old snapshot sees: TRUNCATE and a rewriting ALTER TABLE give the table another file, and in
// that one the old snapshot sees nothing. So the tables are locked against DDL first (ACCESS
// SHARE, which takes no more than SELECT and hinders no writer), and then what the snapshot says
// of them is held against what they are now and against what the caller looked up before.

public import ChangeModel
public import LibPQ
import Replication

/// Locks the tables of a snapshot and finds out whether one of them changed before.
public struct TableGuard: Sendable {
    let tables: [SnapshotTable]
    private let lockTimeout: Duration

    /// A guard for tables; `lockTimeout` bounds the wait for each.
    public init(_ tables: [SnapshotTable], lockTimeout: Duration = .seconds(10)) {
        self.tables = tables
        self.lockTimeout = lockTimeout
    }

    /// Locks the tables one by one until the transaction ends; blocks.
    ///
    /// Throws `WalrelayError`: `snapshot.table_locked` names the table and who holds it, and the
    /// transaction has then been rolled back.
    public func lock(on connection: borrowing Connection) throws(WalrelayError) {
        try limitWaiting(on: connection)
        for storage in tables.flatMap(\.source.storage) {
            let name = "\(storage.schema).\(storage.name)"
            do throws(WalrelayError) {
                try connection.query(
                    Self.lockStatement([storage]),
                    while: .locking(name),
                    within: lockTimeout + .seconds(60)
                )
            } catch {
                guard error.code == "snapshot.table_locked" else { throw error }
                throw SnapshotFault.locked(name, by: Self.holder(of: storage.oid, connection))
            }
        }
        try endLimit(on: connection)
    }

    /// Locks all tables in one statement; blocks.
    ///
    /// For the other transactions, once one holds the locks. Each needs its own: a lock that it
    /// asked for later would queue behind an ALTER TABLE that came in between.
    public func lockAtOnce(on connection: borrowing Connection) throws(WalrelayError) {
        let storage = tables.flatMap(\.source.storage)
        guard !storage.isEmpty else { return }
        try limitWaiting(on: connection)
        try connection.query(
            Self.lockStatement(storage),
            while: .locking("the tables of the snapshot"),
            within: lockTimeout * storage.count + .seconds(60)
        )
        try endLimit(on: connection)
    }

    private func limitWaiting(on connection: borrowing Connection) throws(WalrelayError) {
        try connection.query(
            "SET LOCAL lock_timeout = '\(max(1, lockTimeout.wholeMilliseconds))ms'",
            while: .checking
        )
    }

    /// What COPY locks beside the tables (an index under REINDEX) it may wait for.
    private func endLimit(on connection: borrowing Connection) throws(WalrelayError) {
        try connection.query("SET LOCAL lock_timeout = 0", while: .checking)
    }

    /// Preparing a statement locks what it reads until the transaction ends.
    ///
    /// LOCK TABLE would want SELECT on the whole table, where columns may be all that is taken.
    private static func lockStatement(_ storage: [SourceTable.Storage]) -> String {
        storage.map {
            "PREPARE walrelay AS SELECT FROM ONLY \(SQL.identifier($0.schema, $0.name)); "
                + "DEALLOCATE walrelay"
        }.joined(separator: "; ")
    }

    /// Who stands in the way of a lock; asked after the transaction has failed.
    private static func holder(of oid: UInt32, _ connection: borrowing Connection) -> String? {
        // A courtesy: without it the error says less and is the same.
        guard (try? connection.query("ROLLBACK")) != nil else { return nil }
        return TableLockMode.accessShare.holder(of: [oid], on: connection)
    }
}

extension Duration {
    fileprivate var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        return min(seconds, 86_400) * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
