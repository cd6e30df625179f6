// SPDX-License-Identifier: Apache-2.0
//
// A point at which both sides must be equal, while writes go on:
//
//   source   snapshot at L0 ──┐
//   stream   changes L0 … P  ─┴─▶ what the target has to hold
//   target   snapshot at P, the position that its checkpoint row has in that very snapshot

import ChangeModel
import LibPQ
import Logging
import Replication

/// Both snapshots, and what lies between them.
///
/// The sessions that lend the snapshots live as long as this does.
final class ComparisonPoint: Sendable {
    /// The source's position.
    let sourceLSN: LSN
    /// The target's.
    let targetLSN: LSN
    let tables: [ComparedTable]
    /// What changed between the two, one a table.
    let overlays: [RowOverlay]
    let changeCount: Int
    /// The servers' versions, source first.
    let versions: [Int]
    private let snapshotNames: [String]
    private let locks: [String]

    init(
        sourceLSN: LSN,
        targetLSN: LSN,
        tables: [ComparedTable],
        overlays: [RowOverlay],
        changeCount: Int,
        versions: [Int],
        snapshotNames: [String]
    ) {
        self.sourceLSN = sourceLSN
        self.targetLSN = targetLSN
        self.tables = tables
        self.overlays = overlays
        self.changeCount = changeCount
        self.versions = versions
        self.snapshotNames = snapshotNames
        locks = Side.allCases.map { Self.lockStatement(tables, $0) }
    }

    /// A session that sees the point, its tables locked against DDL; blocks.
    func session(
        _ side: Side,
        _ parameters: ConnectionParameters,
        stop: StopSignal
    ) throws(WalrelayError) -> Session {
        let session = try Session(
            side,
            parameters,
            importing: snapshotNames[side.rawValue],
            stop: stop
        )
        try session.setDigits(tables.first?.rendering.digits ?? 3)
        try Self.lock(locks[side.rawValue], on: session)
        return session
    }

    /// Locks for reading: a lock that is asked for later would queue behind an ALTER TABLE.
    static func lock(_ statement: String, on session: Session) throws(WalrelayError) {
        guard !statement.isEmpty else { return }
        try session.query("SET LOCAL lock_timeout = '30s'", while: "locking the tables")
        try session.query(
            statement,
            while: "locking the tables of the \(session.side) for reading"
        )
        try session.query("SET LOCAL lock_timeout = 0", while: "locking the tables")
    }

    static func lockStatement(_ tables: [ComparedTable], _ side: Side) -> String {
        let names = tables.flatMap { $0.storage(side) }.map {
            "ONLY \(SQL.identifier($0.schema, $0.name))"
        }
        return names.isEmpty
            ? "" : "LOCK TABLE \(names.joined(separator: ", ")) IN ACCESS SHARE MODE"
    }

    /// How the rows of each table fall into buckets; blocks.
    static func divisions(
        _ tables: [ComparedTable],
        source: Session,
        target: Session
    ) throws(WalrelayError) -> [Division] {
        var divisions: [Division] = []
        for table in tables {
            let estimates = Side.allCases.map { side in
                table.storage(side).reduce(0.0) { sum, storage in
                    // A table that was never analyzed says 0 or -1.
                    sum
                        + (storage.estimatedRows > 0
                            ? storage.estimatedRows : Double(storage.bytes) / 100)
                }
            }
            divisions.append(
                Division(
                    estimatedRows: estimates.max() ?? 0,
                    bounds: try bounds(table, [source, target])
                )
            )
        }
        return divisions
    }

    private static func bounds(
        _ table: ComparedTable,
        _ sessions: [Session]
    ) throws(WalrelayError) -> ClosedRange<Int64>? {
        guard let first = table.key.first, table.isNumber(table.columns[first]) else { return nil }
        let column = SQL.identifier(table.columns[first].name)
        var bounds: ClosedRange<Int64>?
        for session in sessions {
            let row = try session.query(
                "SELECT min(\(column)), max(\(column)) FROM \(table.from(session.side))",
                while: "looking at the keys of \(table.name) of the \(session.side)",
                within: Session.scanLimit
            )
            guard let least = row.integer(0, 0), let greatest = row.integer(0, 1) else { continue }
            bounds =
                bounds.map { min($0.lowerBound, least)...max($0.upperBound, greatest) }
                ?? least...greatest
        }
        return bounds
    }
}
