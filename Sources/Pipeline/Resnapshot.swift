// SPDX-License-Identifier: Apache-2.0
//
// A new snapshot over what the sink has, after a loss: `walrelay run --resnapshot`. It is asked for
// and yet done only where checkpoint and source do not fit, so that a command that stays in a unit
// file throws away nothing. In this order, each step of which may be the last one before a crash:
//
//   the sink's checkpoint says that a snapshot is running     a plain run goes on from here
//   the slot that does not fit is dropped                     and is made anew by the snapshot
//   publication, slot, rows: as ever                          (SnapshotPhase)

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink

extension TaskRunner {
    /// Finds out whether the new snapshot that was asked for is due; then the sink's checkpoint
    /// counts as if it were not there.
    ///
    /// Blocks. Throws `resnapshot.never`, exit 64, where the settings ask for no rows.
    func considerResnapshot(
        _ run: inout RunState,
        sink: any Sink,
        facts: ServerFacts,
        control: borrowing Connection
    ) throws {
        guard run.isResnapshotAsked, run.misfit == nil else { return }
        let slot = try SlotState.named(options.slot, on: control)
        // Whoever holds the slot moves it, and the checkpoint with it: judged once it is free.
        if let slot, slot.isActive { throw Self.inUse(slot) }
        let misfit = try misfit(
            of: run.checkpoint,
            in: sink,
            slot,
            facts: facts,
            control: control
        )
        guard let misfit else {
            run.isResnapshotAsked = false
            log.notice(
                "--resnapshot: nothing is lost, so no new snapshot is taken",
                metadata: ["lsn": "\(run.checkpoint?.position.description ?? "none")"]
            )
            return
        }
        guard options.snapshot != .never else {
            throw WalrelayError(
                "resnapshot.never",
                exit: .usage,
                "\(misfit.message). No snapshot is taken of this task: snapshot.mode is never",
                hint: "walrelay teardown --config FILE, and run: it begins with what is written "
                    + "from then on; or set snapshot.mode to initial"
            )
        }
        run.misfit = misfit
        run.checkpoint = nil
    }

    /// Why the task cannot go on where its checkpoint stands; `nil` where it can, or where another
    /// run's refusal is not to be passed over.
    private func misfit(
        of checkpoint: Checkpoint?,
        in sink: any Sink,
        _ slot: SlotState?,
        facts: ServerFacts,
        control: borrowing Connection
    ) throws -> WalrelayError? {
        guard let checkpoint else {
            return slot?.isLost ?? false ? CheckpointFit.lostInSnapshot(options.slot) : nil
        }
        guard checkpoint.task == options.task else { return nil }
        // Without a stream there is nothing that could be lost.
        if options.snapshot == .only, checkpoint.snapshot == .complete { return nil }
        do {
            try CheckpointFit.verifyOrigin(of: checkpoint, options: options, facts: facts)
            try verify(checkpoint, in: sink, against: slot, facts: facts)
            try verifyTimeline(of: checkpoint, in: sink, facts: facts)
        } catch let error as WalrelayError
            where error.exit == .checkpointMismatch && !error.isTransient
        {
            return error
        }
        guard checkpoint.goesOn else { return nil }
        // A table that is gone or not taken any more is no fault of the publication.
        let taken = Set(
            try SourceCatalog.tables(options.tables, measured: false, on: control)
                .map(\.relation.oid)
        )
        return try Publication.gap(
            task: options.task,
            relations: checkpoint.relations.filter { taken.contains($0.oid) },
            oid: checkpoint.publicationOID,
            seen: checkpoint.position,
            now: facts.walLSN,
            on: control
        )
    }

    /// Makes way for a snapshot: says in the sink that it begins, then drops a slot that cannot
    /// serve it.
    ///
    /// Returns the slot that is there afterwards. Also a plain run comes to a lost slot here, where
    /// a snapshot that is not whole yet depended on it: nothing is lost with it. Blocks.
    func makeWay(
        _ slot: SlotState?,
        in sink: any Sink,
        run: inout RunState,
        facts: ServerFacts,
        control: borrowing Connection
    ) throws -> SlotState? {
        slots.expectNothing()
        if let misfit = run.misfit {
            log.warning(
                "taking a new snapshot: \(misfit.message)",
                metadata: ["code": "\(misfit.code)"]
            )
            let begun = try announce(to: sink, facts: facts)
            if sink.keepsCheckpoint { run.checkpoint = begun }
            (run.misfit, run.isResnapshotAsked) = (nil, false)
            if sink.showsUnfinishedSnapshots {
                log.warning("rows that were deleted at the source meanwhile stay in the sink")
            }
        } else if !isLostSlotOurs(slot, run) {
            return slot
        }
        guard let slot else { return nil }
        try Slot.drop(slot.name, on: control)
        log.notice(
            "dropped the slot \(slot.name), which does not fit",
            metadata: ["wal_status": "\(slot.walStatus ?? "unknown")"]
        )
        return nil
    }

    /// Whether a slot was given up by the server before a snapshot of this task was whole.
    private func isLostSlotOurs(_ slot: SlotState?, _ run: RunState) -> Bool {
        guard let slot, slot.isLost, let begun = run.checkpoint else { return false }
        return !begun.goesOn
    }

    /// Whether a finding of the check is mended by making way, or told with all that is lost by the
    /// comparison of checkpoint and slot.
    func isLeftToFit(_ finding: Finding, _ run: RunState) -> Bool {
        switch finding.id {
        case "slot.wal_lost": run.misfit != nil || run.checkpoint != nil
        case "publication.missing", "publication.gap": run.misfit != nil
        default: false
        }
    }
}
