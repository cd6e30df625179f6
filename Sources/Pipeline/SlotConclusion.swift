// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a task whose slot has come to its end: the error that says what is lost, and the
// dropping of a slot that holds back more than the settings allow. On the run's own thread, after
// the stream has been ended and the sink has been closed.

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
        switch verdict {
        case .unfit(let slot, let facts):
            guard let checkpoint = run.checkpoint, checkpoint.goesOn else {
                throw CheckpointFit.lostInSnapshot(options.slot)
            }
            try CheckpointFit.verify(checkpoint, against: slot, options: options, facts: facts)
        case .overBudget(let retained):
            throw try dropOverBudget(retained, run)
        }
        slots.expectNothing()
    }

    /// The source's disk before the copy: that is what `slot.retainStop` says.
    private func dropOverBudget(_ retained: Int64, _ run: RunState) throws -> WalrelayError {
        log.error(
            "dropping the slot \(options.slot), as slot.retainStop asks for",
            metadata: ["retained": "\(Quantity.bytes(retained))"]
        )
        let failure = try dropSlot(within: .seconds(60))
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
        let loss =
            run.checkpoint.flatMap { $0.goesOn ? CheckpointFit.loss($0, upTo: nil) : nil }
            ?? "the snapshot was not complete, and has to be taken anew"
        return WalrelayError(
            "slot.retain_stop",
            exit: .checkpointMismatch,
            "\(held): it was dropped, so that the source's disk does not fill; \(loss)",
            hint: "mend what kept the task back, then \(Slot.afresh)"
        )
    }

    /// Drops the slot as soon as the server has noticed that our stream has ended; the last error
    /// where it could not be done in time.
    private func dropSlot(within limit: Duration) throws -> (any Error)? {
        let deadline = ContinuousClock.now + limit
        while true {
            board.beat(.sink)
            if stop.isRequested { throw CancellationError() }
            do {
                try Slot.drop(options.slot, on: try connect())
                return nil
            } catch {
                guard ContinuousClock.now < deadline else { return error }
                stop.sleep(for: .milliseconds(300))
            }
        }
    }
}
