// SPDX-License-Identifier: Apache-2.0
//
// One round of a repair. The task is held back between two of its transactions by the row of its
// checkpoint, which it locks first of all itself; so the target stands at one position P, and what
// the source held at P is known: a snapshot shortly before, and the changes up to P.
//
//   snapshot of the source ─▶ wait for the target ─▶ BEGIN; SELECT … FOR UPDATE   (held from here)
//   ─▶ changes up to P ─▶ look each differing key up on both sides, mend ─▶ COMMIT   (to here)

import ChangeModel
import LibPQ
import Logging
import Replication

/// What a round did.
struct RepairOutcome {
    /// By the source's table.
    var mended: [ExactText: VerifyReport.Mended] = [:]
    /// How long the task was held back.
    var held: Duration = .zero
}

/// Mends differing rows in one transaction of the target.
struct RepairRound {
    let verification: Verification

    init(_ verification: Verification) {
        self.verification = verification
    }

    private var options: VerifyOptions { verification.options }

    /// Mends as many of the rows as the time allows; blocks.
    ///
    /// Throws `WalrelayError`; nothing of the round is then left on the target.
    func run(_ found: Verification.Found) throws -> RepairOutcome {
        let stop = verification.stop
        verification.progress.enter("taking a point of repair")
        let watcher = try Session(.target, options.target, stop: stop)
        let control = try Session(.source, options.source, stop: stop)
        let sources = try verification.sourceTables(
            only: Set(found.keys),
            control: control,
            watcher: watcher
        )
        let source = try SourcePoint(sources, options: options, stop: stop, log: verification.log)
        try TargetWait(options: options, stop: stop, log: verification.log)
            .run(upTo: source.lsn, source: control, target: watcher)
        let checkpoint = try TargetCheckpoint.read(task: options.task, on: watcher)
        let tables = try verification.pair(sources, checkpoint, source.keeper, watcher)
        // Values are fetched with all their digits; they are compared as the versions allow.
        let fetch = try Session(
            .source,
            options.source,
            importing: source.snapshotName,
            stop: stop
        )
        try fetch.preferLookups()
        let digits = tables.first?.rendering.digits ?? 3
        try source.keeper.setDigits(digits)
        let writer = try Session(.target, options.target, stop: stop)
        let isReplica = try Self.becomeReplica(writer)
        // Whole tables are read before the task is held back, where they have to be.
        let counts = try sourceCounts(tables, found, on: source.keeper)
        try source.keeper.preferLookups()
        verification.progress.enter("mending")
        let keeper = source.keeper
        var pending: SourcePoint? = consume source
        return try hold(writer, digits: digits) { hold in
            guard let source = pending.take() else { return }
            let fold = try verification.fold(source, of: tables, upTo: hold.position)
            for table in tables {
                // Each round mends something, however long it took to begin.
                guard !hold.isOver || hold.outcome.mended.isEmpty,
                    let keys = found[table.source.relation.oid]
                else { continue }
                let mending = Mending(
                    table: table,
                    folded: fold.tables[table.source.relation.oid] ?? FoldedTable(key: []),
                    keeper: keeper,
                    fetch: fetch,
                    writer: writer,
                    isReplica: isReplica
                )
                let mended = try mending.run(
                    keys,
                    sourceCounts: counts[table.source.relation.oid] ?? [:],
                    while: { !hold.isOver }
                )
                if mended.count > 0 { hold.outcome.mended[ExactText(table.name)] = mended }
            }
        }
    }

    /// How often each wanted row of a table without key is in the source's snapshot.
    private func sourceCounts(
        _ tables: [ComparedTable],
        _ found: Verification.Found,
        on keeper: Session
    ) throws -> [UInt32: [Int64: Int64]] {
        var counts: [UInt32: [Int64: Int64]] = [:]
        for table in tables where table.isKeyless {
            let oid = table.source.relation.oid
            let hashes = found[oid]?.map { KeyShape.number($0) } ?? []
            counts[oid] = try Mending.counts(of: hashes, table, on: keeper)
        }
        return counts
    }

    /// Keeps triggers and foreign keys of the target out of it, where the role may do so.
    private static func becomeReplica(_ writer: Session) throws -> Bool {
        do throws(PostgresError) {
            try writer.connection.query("SET session_replication_role = replica")
            return true
        } catch  where error.sqlState == "42501" {
            return false
        } catch {
            throw writer.side.error(error, while: "preparing the repair")
        }
    }

    /// The time for which the task is held back.
    final class Hold {
        let position: LSN
        var outcome = RepairOutcome()
        private let begin = ContinuousClock.now
        private let target: Duration

        init(position: LSN, target: Duration) {
            self.position = position
            self.target = target
        }

        /// Whether it is time to let the task go on.
        var isOver: Bool { elapsed > target }
        var elapsed: Duration { .now - begin }
    }

    private func hold(
        _ writer: Session,
        digits: Int,
        _ body: (Hold) throws -> Void
    ) throws -> RepairOutcome {
        let action = "beginning the repair"
        try writer.query("BEGIN; SET LOCAL lock_timeout = '60s'", while: action)
        let checkpoint = try TargetCheckpoint.read(
            task: options.task,
            locking: true,
            on: writer
        )
        let hold = Hold(position: checkpoint.position, target: options.holdTarget)
        let limit = Self.milliseconds(options.holdLimit)
        do {
            // No statement alone may take longer; between statements we look at the clock, and
            // where we are gone the server does.
            try writer.query(
                "SET LOCAL statement_timeout = '\(limit)ms'; "
                    + "SET LOCAL idle_in_transaction_session_timeout = '\(limit)ms'",
                while: action
            )
            try writer.settle()
            try writer.setDigits(digits)
            try writer.preferLookups()
            try body(hold)
            guard hold.elapsed < options.holdLimit else { throw Self.tooLong(hold.elapsed) }
            try writer.query("COMMIT", while: "committing the repair")
        } catch  where hold.elapsed >= options.holdLimit {
            throw Self.tooLong(hold.elapsed)
        } catch let error as PostgresError {
            throw Self.refusal(error, after: hold.elapsed)
        }
        hold.outcome.held = hold.elapsed
        let held = Verification.seconds(hold.elapsed)
        verification.log.notice(
            "the task was held back for \((held * 1_000).rounded() / 1_000) s",
            metadata: ["at": "\(hold.position)"]
        )
        return hold.outcome
    }

    private static func milliseconds(_ duration: Duration) -> Int64 {
        max(1, Int64(Verification.seconds(duration) * 1_000))
    }

    private static func tooLong(_ held: Duration) -> WalrelayError {
        WalrelayError(
            "verify.repair_slow",
            exit: .unreachable,
            "The repair took longer than the task may be held back (\(held)); it was taken back",
            hint: "repair fewer tables at once: walrelay verify --config FILE TABLE --repair"
        )
    }

    /// The target's refusal of a row, or of time.
    private static func refusal(_ error: PostgresError, after held: Duration) -> WalrelayError {
        if error.sqlState == "57014" { return tooLong(held) }
        guard ["22", "23", "42"].contains(String(error.sqlState.prefix(2))) else {
            return Side.target.error(error, while: "mending rows of the target")
        }
        return WalrelayError(
            "verify.repair_refused",
            exit: .refused,
            "The target refuses a row that the source holds: \(error)",
            hint: "mend the constraint or the privilege that it names, then run verify --repair "
                + "again; nothing of this round was changed"
        )
    }
}
