// SPDX-License-Identifier: Apache-2.0
//
// What the source says of itself and of one slot: asked by plain SQL, so on either kind of
// connection, and by nobody's privilege beyond the login.

public import ChangeModel
public import LibPQ

/// Which server and database a connection is at, and how far its WAL is.
public struct ServerFacts: Sendable, Equatable {
    /// The version as libpq gives it: 150018 for 15.18.
    public var version: Int
    /// The version as people say it: `15.18`.
    public var versionText: String
    /// `pg_control_system().system_identifier` in decimal.
    public var systemIdentifier: String
    /// The timeline that WAL is written on; on a standby that of its last restart point.
    public var timeline: UInt32
    /// How far WAL has been written; on a standby, replayed.
    public var walLSN: LSN
    /// The database of the connection.
    public var database: String
    /// Whether the server is a standby (`pg_is_in_recovery`).
    public var isStandby: Bool

    /// Asks the server; blocks.
    public init(on connection: borrowing Connection) throws(PostgresError) {
        let row = try connection.query(
            """
            SELECT pg_catalog.current_setting('server_version'), \
            (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
            CASE WHEN pg_catalog.pg_is_in_recovery() \
            THEN (SELECT timeline_id::text FROM pg_catalog.pg_control_checkpoint()) \
            ELSE pg_catalog.substr(pg_catalog.pg_walfile_name( \
            pg_catalog.pg_current_wal_lsn()), 1, 8) END, \
            CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
            ELSE pg_catalog.pg_current_wal_lsn() END, \
            pg_catalog.current_database(), pg_catalog.pg_is_in_recovery()
            """
        )
        version = connection.serverVersion
        versionText = row.text(0, 0)
        systemIdentifier = row.text(0, 1)
        isStandby = row.flag(0, 5)
        // A WAL file's name begins with the timeline in hexadecimal.
        timeline = UInt32(row.text(0, 2), radix: isStandby ? 10 : 16) ?? 0
        walLSN = LSN(row.text(0, 3)) ?? .zero
        database = row.text(0, 4)
    }

    /// Whose WAL it writes; `nil` on a standby, which writes none.
    public var primary: Primary? {
        isStandby ? nil : Primary(systemIdentifier: systemIdentifier, timeline: timeline)
    }

    /// A version number as people say it: `15.18`, before 10 `9.6.24`.
    public static func text(ofVersion version: Int) -> String {
        version >= 100_000
            ? "\(version / 10_000).\(version % 10_000)"
            : "\(version / 10_000).\(version / 100 % 100).\(version % 100)"
    }
}

/// A primary as one failover after another leaves it: positions of two are not of the same WAL.
///
/// The former one may still run, and one address lead to either of them.
public struct Primary: Sendable, Equatable {
    /// The cluster's system identifier in decimal.
    public var systemIdentifier: String
    /// The timeline that it writes.
    public var timeline: UInt32

    /// Creates one.
    public init(systemIdentifier: String, timeline: UInt32) {
        (self.systemIdentifier, self.timeline) = (systemIdentifier, timeline)
    }

    /// Throws `server.changed`, transient, unless the connection is at this server.
    ///
    /// Each connection finds a server by itself, and in the midst of a failover another one than
    /// those before it. Blocks for the answer.
    public func verify(on connection: borrowing Connection) throws {
        let found = try ServerFacts(on: connection)
        guard found.primary != self else { return }
        throw WalrelayError(
            "server.changed",
            exit: .unreachable,
            "The source's address has led to two servers: one on timeline \(timeline), with system "
                + "identifier \(systemIdentifier), then "
                + (found.isStandby ? "a standby" : "one on timeline \(found.timeline)")
                + ", with \(found.systemIdentifier)",
            hint: "nothing has to be mended while a failover is under way; else see to it that "
                + "source.host leads to one primary",
            isTransient: true
        )
    }
}

/// A row of pg_replication_slots.
///
/// What a server's version does not know is `nil`.
public struct SlotState: Sendable, Equatable {
    /// The slot's name.
    public var name: String
    /// The output plugin; `nil` for a physical slot.
    public var plugin: String?
    /// `logical` or `physical`.
    public var type: String
    /// The database that the slot belongs to; `nil` for a physical slot.
    public var database: String?
    /// Whether somebody uses it now.
    public var isActive: Bool
    /// The backend that uses it.
    public var activePID: Int?
    /// WAL from here on is kept; `nil` once it is lost.
    public var restartLSN: LSN?
    /// What the consumer has acknowledged.
    public var confirmedFlushLSN: LSN?
    /// `reserved`, `extended`, `unreserved` or `lost`; from 13 on.
    public var walStatus: String?
    /// Bytes of WAL that may still be written before the slot is lost; from 13 on, `nil` when
    /// there is no limit.
    public var safeWALSize: Int64?
    /// Why the server gave the slot up; from 17 on.
    public var invalidationReason: String?
    /// Since when nobody uses it, in the server's text, UTC; from 17 on.
    public var inactiveSince: String?
    /// For how many seconds nobody has used it, by the server's clock; from 17 on.
    public var inactiveSeconds: Int64?
    /// Whether prepared transactions are decoded before their commit; from 14 on.
    public var isTwoPhase: Bool
    /// Whether it goes with the session that made it.
    public var isTemporary: Bool
    /// Whether standbys are to keep a copy of it; from 17 on.
    public var isFailover: Bool
    /// Whether it is such a copy, which only its primary can move or drop; from 17 on.
    ///
    /// False on a standby that was promoted: there it is a slot like any other.
    public var isSynced: Bool
    /// WAL that the server keeps for the slot, in bytes; `nil` on a standby or when it is lost.
    public var retainedBytes: Int64?

    /// Whether the server has removed WAL that the slot needs, or given it up otherwise.
    public var isLost: Bool { walStatus == "lost" || invalidationReason != nil }

    /// Whether another session is still making it: it may yet go with that session.
    public var isBeingMade: Bool { type == "logical" && confirmedFlushLSN == nil && !isLost }

    /// The slot of a name; `nil` where there is none.
    ///
    /// Blocks.
    public static func named(
        _ name: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> SlotState? {
        try all(where: "s.slot_name = \(SQL.literal(name))", on: connection).first
    }

    /// All slots of the cluster, by name; blocks.
    public static func all(on connection: borrowing Connection) throws(PostgresError) -> [SlotState]
    {
        try all(where: "true", on: connection)
    }

    private static func all(
        where condition: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [SlotState] {
        let version = connection.serverVersion
        func column(_ name: String, from first: Int) -> String {
            version >= first ? "s.\(name)" : "NULL"
        }
        let inactiveSeconds =
            version >= 170_000
            ? "pg_catalog.floor(pg_catalog.date_part('epoch', "
                + "pg_catalog.clock_timestamp() - s.inactive_since))::bigint" : "NULL"
        let synced =
            version >= 170_000 ? "s.synced AND pg_catalog.pg_is_in_recovery()" : "NULL"
        let rows = try connection.query(
            """
            SELECT s.slot_name, s.plugin, s.slot_type, s.database, s.active, s.active_pid, \
            s.restart_lsn, s.confirmed_flush_lsn, s.temporary, \
            \(column("wal_status", from: 130_000)), \(column("safe_wal_size", from: 130_000)), \
            \(column("two_phase", from: 140_000)), \
            \(column("invalidation_reason", from: 170_000)), \
            \(column("inactive_since", from: 170_000)), \
            CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_wal_lsn_diff( \
            pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::bigint END, \
            \(inactiveSeconds), \
            \(column("failover", from: 170_000)), \
            \(synced) \
            FROM pg_catalog.pg_replication_slots s WHERE \(condition) ORDER BY s.slot_name
            """
        )
        return (0..<rows.count).map { row in
            SlotState(
                name: rows.text(row, 0),
                plugin: rows.value(row, 1),
                type: rows.text(row, 2),
                database: rows.value(row, 3),
                isActive: rows.flag(row, 4),
                activePID: rows.integer(row, 5).map { Int($0) },
                restartLSN: rows.value(row, 6).flatMap { LSN($0) },
                confirmedFlushLSN: rows.value(row, 7).flatMap { LSN($0) },
                walStatus: rows.value(row, 9),
                safeWALSize: rows.integer(row, 10),
                invalidationReason: rows.value(row, 12),
                inactiveSince: rows.value(row, 13),
                inactiveSeconds: rows.integer(row, 15),
                isTwoPhase: rows.flag(row, 11),
                isTemporary: rows.flag(row, 8),
                isFailover: rows.flag(row, 16),
                isSynced: rows.flag(row, 17),
                retainedBytes: rows.integer(row, 14)
            )
        }
    }
}
