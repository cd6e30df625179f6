// SPDX-License-Identifier: Apache-2.0
//
// Whether a checkpoint and the source belong together. The server would not notice: a start
// position behind what a slot has confirmed is moved forward without a word, and one beyond the
// server's WAL waits for ever. Each case here would be a silent gap.

import ChangeModel
import Replication

enum CheckpointFit {
    /// Whether the checkpoint is of this task, cluster and database; throws the mismatch, exit 74.
    ///
    /// Comes before any other check: what another cluster lacks is not to be mended there.
    static func verifyOrigin(
        of checkpoint: Checkpoint,
        options: TaskOptions,
        facts: ServerFacts
    ) throws(WalrelayError) {
        if checkpoint.task != options.task {
            throw mismatch(
                "checkpoint.other_task",
                "The sink holds the checkpoint of task \"\(checkpoint.task)\", "
                    + "not of \"\(options.task)\"",
                "give each task a sink of its own"
            )
        }
        if checkpoint.systemIdentifier != facts.systemIdentifier {
            throw mismatch(
                "checkpoint.other_system",
                "The sink's checkpoint comes from the cluster with system identifier "
                    + "\(checkpoint.systemIdentifier); this server has \(facts.systemIdentifier)",
                "point source at the former cluster, or give the new one a sink of its own"
            )
        }
        if checkpoint.database != facts.database {
            throw mismatch(
                "checkpoint.other_database",
                "The sink's checkpoint belongs to database \"\(checkpoint.database)\", "
                    + "not to \"\(facts.database)\"",
                "set source.database to \"\(checkpoint.database)\""
            )
        }
    }

    /// Whether the slot still holds everything after the checkpoint; throws the mismatch, exit 74.
    static func verify(
        _ checkpoint: Checkpoint,
        against slot: SlotState?,
        options: TaskOptions,
        facts: ServerFacts
    ) throws(WalrelayError) {
        guard checkpoint.goesOn else { return }
        let afresh =
            "walrelay teardown, an empty sink, and run again for a new snapshot"
        guard let slot else {
            throw mismatch(
                "slot.missing",
                "The sink's checkpoint stands at \(checkpoint.position), but the slot "
                    + "\(options.slot) does not exist any more: the changes since then are gone",
                afresh
            )
        }
        if slot.isLost {
            let reason = slot.invalidationReason.map { " (\($0))" } ?? ""
            throw mismatch(
                "slot.wal_lost",
                "The server has removed WAL that the slot \(options.slot) needs\(reason): "
                    + "the changes after \(checkpoint.position) are gone",
                afresh
            )
        }
        if let confirmed = slot.confirmedFlushLSN, confirmed > checkpoint.position {
            throw mismatch(
                "slot.ahead",
                "The slot \(options.slot) has confirmed \(confirmed), the sink's checkpoint "
                    + "stands at \(checkpoint.position): the slot was dropped and made anew, or "
                    + "somebody else advanced it, and the changes between are gone",
                afresh
            )
        }
        if checkpoint.position > facts.walLSN, !facts.isStandby {
            throw mismatch(
                "checkpoint.ahead",
                "The sink's checkpoint stands at \(checkpoint.position), ahead of the server's "
                    + "WAL at \(facts.walLSN): the server was restored to an earlier state",
                afresh
            )
        }
    }

    private static func mismatch(
        _ code: String,
        _ message: String,
        _ hint: String
    )
        -> WalrelayError
    {
        WalrelayError(code, exit: .checkpointMismatch, message, hint: hint)
    }
}
