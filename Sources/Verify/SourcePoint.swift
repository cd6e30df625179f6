// SPDX-License-Identifier: Apache-2.0
//
// The source's half of a point of comparison:
//
//   temporary slot ─▶ snapshot at its consistent point ─▶ imported and exported again by a keeper,
//                                                         which locks the tables against DDL
//   then: wait until the target's checkpoint is there too; the task goes on all the while

import ChangeModel
import LibPQ
import Logging
import Replication
import Snapshot

/// A snapshot of the source, the locks on its tables, and the slot that has what comes after.
struct SourcePoint: ~Copyable {
    /// The snapshot holds exactly the transactions that committed before this position.
    let lsn: LSN
    /// A session that sees the snapshot and lends it to others.
    let keeper: Session
    /// The snapshot's name, as long as `keeper` lives.
    let snapshotName: String
    /// The tables as the snapshot shows them, locked.
    let tables: [SourceTable]
    /// The connection of the temporary slot.
    let slot: SlotSnapshot

    /// Takes the snapshot of tables that were looked up just now; blocks.
    ///
    /// Throws `WalrelayError`, transient where a table changed meanwhile.
    init(
        _ tables: [SourceTable],
        options: VerifyOptions,
        stop: StopSignal,
        log: Logger
    ) throws {
        let slot = try SlotSnapshot.take(
            slot: Slot.name(task: options.task),
            slotExists: true,
            parameters: options.source,
            stop: stop,
            log: log
        )
        let keeper = try Session(
            .source,
            options.source,
            importing: slot.snapshotName,
            stop: stop
        )
        let locks = SourcePoint.locks(on: tables)
        try locks.lock(on: keeper.connection)
        try locks.verify(on: keeper.connection)
        snapshotName = try keeper.query(
            "SELECT pg_catalog.pg_export_snapshot()",
            while: "exporting the source's snapshot"
        ).text(0, 0)
        lsn = slot.consistentPoint
        self.keeper = keeper
        self.tables = tables
        self.slot = slot
    }

    /// The guard of the tables; each session that reads them needs locks of its own.
    static func locks(on tables: [SourceTable]) -> TableGuard {
        TableGuard(
            tables.map { table in
                SnapshotTable(
                    table,
                    as: RelationVersion(
                        relation: table.relation,
                        types: TypeCatalog().types(of: table.relation),
                        version: RelationVersions.next()
                    )
                )
            }
        )
    }
}

/// Waits for the target to come to a position of the source.
struct TargetWait {
    let options: VerifyOptions
    let stop: StopSignal
    let log: Logger

    /// For so long nobody may hold the task's slot before the task is run here.
    private static let patience = Duration.seconds(5)

    /// Blocks until the checkpoint is at `lsn` or behind it.
    ///
    /// Throws `WalrelayError` where it does not come there in time.
    func run(upTo lsn: LSN, source: Session, target: Session) throws {
        let deadline = options.waitLimit.map { ContinuousClock.now + $0 }
        var unusedSince: ContinuousClock.Instant? = .now - Self.patience
        var nextLook = ContinuousClock.now
        while true {
            let position = try TargetCheckpoint.read(task: options.task, on: target).position
            if position >= lsn { return }
            let now = ContinuousClock.now
            if now >= nextLook {
                nextLook = now + .seconds(1)
                if try isStreamed(source) {
                    unusedSince = nil
                } else if let since = unusedSince, now - since >= Self.patience {
                    log.notice(
                        "nobody runs the task: running it here up to the source's position",
                        metadata: ["until": "\(lsn)"]
                    )
                    try options.catchUp(lsn)
                    unusedSince = .now
                } else if unusedSince == nil {
                    unusedSince = now
                }
            }
            guard deadline.map({ now < $0 }) ?? true else { throw late(lsn, at: position) }
            guard !stop.sleep(for: .milliseconds(50)) else { throw CancellationError() }
        }
    }

    private func isStreamed(_ source: Session) throws -> Bool {
        let name = Slot.name(task: options.task)
        do {
            guard let slot = try SlotState.named(name, on: source.connection) else {
                throw WalrelayError(
                    "verify.no_slot",
                    exit: .checkpointMismatch,
                    "The source has no slot \(name): the target cannot come to its position",
                    hint: "walrelay check says what became of it"
                )
            }
            return slot.isActive
        } catch let error as PostgresError {
            throw source.side.error(error, while: "looking at the slot \(name)")
        }
    }

    private func late(_ lsn: LSN, at position: LSN) -> WalrelayError {
        WalrelayError(
            "verify.target_behind",
            exit: .unreachable,
            "The target is at \(position) and has not come to \(lsn) in time",
            hint: "walrelay status shows how far the task lags; run verify again once it has "
                + "caught up, or raise retry.for"
        )
    }
}
