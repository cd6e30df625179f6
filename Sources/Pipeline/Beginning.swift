// SPDX-License-Identifier: Apache-2.0
//
// How a task comes to a checkpoint that it can be streamed from. Whatever a snapshot is begun
// from, it is taken at a slot's consistent point (SnapshotPhase):
//
//   nothing, or rows that do not count            a snapshot
//   a part of one that was interrupted            the stream up to a new snapshot's point, then
//                                                 the rest at that point
//   a slot, where no rows are asked for           the slot's position

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink

extension TaskRunner {
    /// From nothing, or from an unfinished snapshot, to a complete checkpoint.
    ///
    /// Blocks.
    func begin(
        sink: any Sink,
        run: inout RunState,
        slot: SlotState?,
        facts: ServerFacts,
        control: borrowing Connection,
        retry: inout RetryPolicy
    ) throws {
        if let seen = run.checkpoint, seen.goesOn, options.snapshot == .never {
            run.checkpoint = try leave(seen, in: sink)
            return
        }
        let tables = try tables(for: run.checkpoint, measured: false, on: control)
        // A sink that cannot keep a checkpoint goes on where its slot stands; but not where this
        // run has made the slot and failed to copy the tables: their rows would be missing.
        let isAtSlot =
            slot != nil
            && (options.snapshot == .never
                || !sink.keepsCheckpoint && !run.isSnapshotUnfinished)
        if isAtSlot, let slot, let confirmed = slot.confirmedFlushLSN {
            run.checkpoint = try join(
                confirmed,
                tables: tables,
                sink: sink,
                run: &run,
                facts: facts,
                control: control
            )
            run.isBaselineProvisional = true
            return
        }
        if let former = run.checkpoint, !former.goesOn, let lsn = former.snapshotLSN {
            log.warning(
                """
                the sink shows rows of an interrupted snapshot, and no slot holds what came \
                after it: rows that were deleted at the source since stay there unless you empty it
                """,
                metadata: ["lsn": "\(lsn)"]
            )
        }
        run.isSnapshotUnfinished = true
        run.checkpoint = try snapshot(
            sink: sink,
            tables: tables,
            slotExists: slot != nil,
            run: &run,
            facts: facts,
            control: control,
            retry: &retry
        )
        run.isSnapshotUnfinished = false
    }

    /// The tables to be copied: those of the settings, or those of them that an interrupted
    /// snapshot began with.
    func tables(
        for checkpoint: Checkpoint?,
        measured: Bool,
        on connection: borrowing Connection
    ) throws -> [SourceTable] {
        let tables = try SourceCatalog.tables(options.tables, measured: measured, on: connection)
        guard let checkpoint, checkpoint.goesOn else { return tables }
        let begun = Set(checkpoint.relations.map(\.oid))
        return tables.filter { begun.contains($0.relation.oid) }
    }

    /// Gives up the rest of an interrupted snapshot: what was copied is kept right by the stream.
    private func leave(_ seen: Checkpoint, in sink: any Sink) throws -> Checkpoint {
        log.notice("going on from an interrupted snapshot without the rows that it lacks")
        var whole = seen
        whole.snapshot = .complete
        whole.copies = []
        try sink.prepare(whole.relations, types: whole.types)
        try commit(whole, to: sink)
        return whole
    }

    /// Goes on from the position of a slot that is there.
    private func join(
        _ confirmed: LSN,
        tables: [SourceTable],
        sink: any Sink,
        run: inout RunState,
        facts: ServerFacts,
        control: borrowing Connection
    ) throws -> Checkpoint {
        run.mustSettle = try ensurePublication(of: tables, on: control)
        log.notice("going on from the position of the slot", metadata: ["lsn": "\(confirmed)"])
        let checkpoint = try checkpoint(
            publicationOID: Publication.oid(task: options.task, on: control),
            position: confirmed,
            snapshotLSN: nil,
            state: .complete,
            relations: tables.map(\.relation),
            types: Self.types(of: tables.map(\.relation), on: control),
            facts: facts
        )
        if sink.keepsCheckpoint {
            var beginning = checkpoint
            beginning.snapshot = .running
            try sink.beginSnapshot(beginning)
            try sink.prepare(checkpoint.relations, types: checkpoint.types)
        }
        try commit(checkpoint, to: sink)
        return checkpoint
    }
}
