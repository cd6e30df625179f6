// SPDX-License-Identifier: Apache-2.0
//
// The snapshot: its checkpoint says `running` until the last row is durable, and what of it is. A
// start after a crash brings that up to another snapshot's point (CatchUp) and copies the rest.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink
import Snapshot
import Synchronization

extension TaskRunner {
    /// Makes the slot, copies the tables at its consistent point and commits them as a whole.
    ///
    /// Returns the checkpoint from which the stream goes on. Blocks.
    func snapshot(
        sink: any Sink,
        tables: [SourceTable],
        slotExists: Bool,
        run: inout RunState,
        facts: ServerFacts,
        control: borrowing Connection,
        retry: inout RetryPolicy
    ) throws -> Checkpoint {
        if options.snapshot != .never { enter(.snapshotting) }
        let began = ContinuousClock.now
        let goesOn = run.checkpoint?.goesOn ?? false
        if goesOn, let former = run.checkpoint {
            try sink.resumeSnapshot(former)
            // Nearly all of the way before there is a snapshot that holds up VACUUM.
            try catchUp(
                to: facts.walLSN,
                sink: sink,
                run: &run,
                facts: facts,
                control: control,
                retry: &retry
            )
        } else {
            try announce(to: sink, facts: facts)
            // Nothing is made on the server before the sink has shown that it can write.
            if options.snapshot != .only { try ensurePublication(of: tables, on: control) }
        }
        let taken = try take(tables.count, slotExists: slotExists, facts: facts)
        if goesOn {
            try catchUp(
                to: taken.consistentPoint,
                sink: sink,
                run: &run,
                facts: facts,
                control: control,
                retry: &retry
            )
        }
        let current = try self.tables(tables, of: run.checkpoint, at: taken)
        let types = try Self.types(of: current.map(\.relation), on: taken.connection)
        let done = checkpoint(
            publicationOID: try (goesOn ? run.checkpoint?.publicationOID : nil)
                ?? Publication.oid(task: options.task, on: control),
            position: taken.consistentPoint,
            snapshotLSN: taken.consistentPoint,
            state: .complete,
            relations: current.map(\.relation),
            types: types,
            facts: facts
        )
        try sink.prepare(done.relations, types: done.types)
        if options.snapshot != .never {
            try copyMissing(
                of: done,
                after: goesOn ? run.checkpoint : nil,
                current,
                types: types,
                taken: taken,
                to: sink
            )
        }
        try commit(done, to: sink)
        supervisor.sinkSucceeded()
        board.noteCommit()
        publish(sink.statistics)
        sayComplete(since: began)
        return done
    }

    /// Takes the snapshot of so many tables, and makes the slot where there is none.
    private func take(
        _ count: Int,
        slotExists: Bool,
        facts: ServerFacts
    ) throws -> SlotSnapshot {
        let taken = try SlotSnapshot.take(
            slot: options.slot,
            slotExists: slotExists || options.snapshot == .only,
            failover: options.failover,
            on: facts.primary,
            parameters: options.source,
            stop: stop,
            log: log,
            waiting: { [board] in board.beat(.sink) }
        )
        if options.snapshot != .only, let primary = facts.primary {
            slots.expect(on: primary)
            slots.giveTime()
        }
        log.notice(
            "snapshot taken",
            metadata: [
                "lsn": "\(taken.consistentPoint)", "tables": .stringConvertible(count),
            ]
        )
        return taken
    }

    /// Copies what an earlier snapshot, whose checkpoint has come to this one's point, has not.
    private func copyMissing(
        of done: Checkpoint,
        after former: Checkpoint?,
        _ tables: [SourceTable],
        types: TypeCatalog,
        taken: consuming SlotSnapshot,
        to sink: any Sink
    ) throws {
        let begun = Self.begun(done, after: former)
        // Without a slot nothing will bring what is there up to another point.
        let canGoOn = sink.keepsCheckpoint && (options.snapshot != .only || former != nil)
        if canGoOn || sink.showsUnfinishedSnapshots {
            try commit(canGoOn ? begun : Self.unreachable(begun), to: sink)
        }
        try copy(
            tables,
            types: types,
            taken: taken,
            to: sink,
            noting: CopiedSoFar(begun, isCommitted: canGoOn)
        )
    }

    /// The checkpoint before the first row of a snapshot: what is there is what an earlier one left,
    /// brought up to this one's point.
    private static func begun(_ done: Checkpoint, after former: Checkpoint?) -> Checkpoint {
        var begun = done
        begun.snapshot = .running
        begun.copies = done.relations.map { relation in
            var copy = TableCopy(oid: relation.oid, point: done.position)
            if let former { copy.add(former.copy(of: relation.oid)) }
            if copy.progress == .nothing { (copy.rows, copy.bytes) = (0, 0) }
            return copy
        }
        return begun
    }

    /// Says where rows are from that are seen, and that nothing leads on from there.
    private static func unreachable(_ begun: Checkpoint) -> Checkpoint {
        var seen = begun
        seen.position = .zero
        return seen
    }

    private func sayComplete(since began: ContinuousClock.Instant) {
        let snapshot = board.status.snapshot
        let time = ContinuousClock.now - began
        log.notice(
            """
            snapshot complete: \(Prose.count(snapshot.rowsCopied, "row")) of \
            \(Prose.count(snapshot.tables.count, "table")) in \(Prose.time(milliseconds: time.milliseconds))
            """,
            metadata: [
                "figures": [
                    "rows": .stringConvertible(snapshot.rowsCopied),
                    "tables": .stringConvertible(snapshot.tables.count),
                    "afterMilliseconds": .stringConvertible(Int(time.milliseconds)),
                ]
            ]
        )
    }

    /// The tables as the snapshot sees them; the same ones as before it was taken.
    private func tables(
        _ expected: [SourceTable],
        of checkpoint: Checkpoint?,
        at taken: borrowing SlotSnapshot
    ) throws -> [SourceTable] {
        let current = try tables(for: checkpoint, measured: true, on: taken.connection)
        if let checkpoint, checkpoint.goesOn { try verify(current, against: checkpoint, at: taken) }
        guard current.map(\.relation.oid) == expected.map(\.relation.oid) else {
            throw WalrelayError(
                "snapshot.tables_changed",
                exit: .unreachable,
                "Tables were made or dropped while the slot was being made",
                isTransient: true
            )
        }
        return current
    }

    /// The sink knows of the attempt before the server does: a slot that is found without a
    /// checkpoint was not made by a run of ours that died.
    @discardableResult
    func announce(to sink: any Sink, facts: ServerFacts) throws -> Checkpoint {
        let begun = checkpoint(
            position: .zero,
            snapshotLSN: nil,
            state: .running,
            relations: [],
            types: TypeCatalog(),
            facts: facts
        )
        try sink.beginSnapshot(begun)
        return begun
    }
}
