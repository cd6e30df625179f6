// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a task whose slot has come to its end: the error that says what is lost, and the
// dropping of a slot that holds back more than the settings allow. On the run's own thread, after
// the stream has been ended and the sink has been closed, or could not be opened.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink

extension TaskRunner {
    /// Throws what a verdict comes to; returns where it was of a state that is past.
    ///
    /// Blocks, for a minute at most.
    func conclude(_ verdict: SlotMonitor.Verdict, _ run: RunState) throws {
        defer { slots.expectNothing() }
        // Whoever has the turn now judges.
        guard turn.isHeld else { return }
        switch verdict {
        case .unfit(let slot, let facts):
            // A new snapshot makes good for it.
            if run.isResnapshotAsked || run.misfit != nil { return }
            guard run.isSinkKnown else { throw CheckpointFit.lostUnseen(options.slot, slot) }
            guard let checkpoint = run.checkpoint, checkpoint.goesOn else {
                throw CheckpointFit.lostInSnapshot(options.slot)
            }
            try CheckpointFit.verify(checkpoint, against: slot, options: options, facts: facts)
        case .overBudget(let retained, let primary):
            if let end = try dropOverBudget(retained, on: primary, run) { throw end }
        }
    }

    /// The source's disk before the copy: that is what `slot.retainStop` says.
    ///
    /// Returns the task's end; `nil` where the slot that was judged is not the task's any more.
    private func dropOverBudget(
        _ retained: Int64,
        on primary: Primary,
        _ run: RunState
    ) throws -> WalrelayError? {
        log.error(
            "dropping the slot \(options.slot), as slot.retainStop asks for",
            metadata: ["retained": "\(Quantity.bytes(retained))"]
        )
        let failure: (any Error)?
        do {
            failure = try dropSlot(on: primary, within: .seconds(60))
        } catch let moved as SlotElsewhere {
            log.notice("the slot is not dropped: \(moved.reason)")
            return nil
        }
        let stop = Quantity.bytes(options.budget.stop ?? retained)
        let held =
            "The slot \(options.slot) held back \(Quantity.bytes(retained)) of WAL, past "
            + "slot.retainStop (\(stop)), and did not let go of it"
        if let failure {
            return WalrelayError(
                "slot.retain_stop",
                exit: .checkpointMismatch,
                "\(held). It was to be dropped, and that failed: \(failure)",
                hint: "walrelay slots drop \(options.task) --config FILE, before the disk of the "
                    + "source is full; then \(Slot.afresh)"
            )
        }
        return WalrelayError(
            "slot.retain_stop",
            exit: .checkpointMismatch,
            "\(held): it was dropped, so that the source's disk does not fill; \(Self.loss(run))",
            hint: "mend what kept the task back, then \(Slot.afresh)"
        )
    }

    /// What the sink lacks from now on.
    private static func loss(_ run: RunState) -> String {
        guard run.isSinkKnown else {
            return "the sink, which could not be opened, lacks all that came after its checkpoint"
        }
        guard let checkpoint = run.checkpoint, checkpoint.goesOn else {
            return "the snapshot was not complete, and has to be taken anew"
        }
        return CheckpointFit.loss(checkpoint, upTo: nil)
    }

    /// Drops the slot as soon as the server has noticed that our stream has ended; the last error
    /// where it could not be done in time.
    ///
    /// Throws `SlotElsewhere` where the task has moved on since the slot was judged: the slot of a
    /// new primary has nothing to do with what the former one held back.
    private func dropSlot(on primary: Primary, within limit: Duration) throws -> (any Error)? {
        let deadline = ContinuousClock.now + limit
        while true {
            board.beat(.sink)
            if stop.isRequested { throw CancellationError() }
            do {
                let control = try connect()
                guard try ServerFacts(on: control).primary == primary else {
                    throw SlotElsewhere(reason: "another server has taken the former one's place")
                }
                try turn.verify(options, on: control)
                try Slot.drop(options.slot, on: control)
                return nil
            } catch let moved as SlotElsewhere {
                throw moved
            } catch {
                guard turn.isHeld else { throw SlotElsewhere(reason: "\(error)") }
                guard ContinuousClock.now < deadline else { return error }
                stop.sleep(for: .milliseconds(300))
            }
        }
    }
}

/// That the task's slot is another than the one that was judged.
private struct SlotElsewhere: Error {
    var reason: String
}
