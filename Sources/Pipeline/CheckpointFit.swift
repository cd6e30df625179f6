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
                "point source at the former cluster; if this one has taken its place: "
                    + Slot.afresh
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

    /// Whether the slot still holds everything after the checkpoint, and the server all that the
    /// sink has.
    ///
    /// That is up to `reach`, the checkpoint's position unless it is given. Throws the mismatch,
    /// exit 74.
    static func verify(
        _ checkpoint: Checkpoint,
        reach: LSN? = nil,
        against slot: SlotState?,
        options: TaskOptions,
        facts: ServerFacts
    ) throws(WalrelayError) {
        guard checkpoint.goesOn else { return }
        let afresh = options.snapshot == .never ? neverAfresh : Slot.afresh
        guard let slot else {
            throw mismatch(
                "slot.missing",
                "The sink's checkpoint stands at \(checkpoint.position), but the slot "
                    + "\(options.slot) does not exist any more: "
                    + loss(checkpoint, upTo: facts.walLSN),
                afresh
            )
        }
        if slot.isLost {
            throw mismatch(
                "slot.wal_lost",
                "\(givenUp(slot)): "
                    + loss(checkpoint, upTo: facts.walLSN),
                afresh
            )
        }
        if let confirmed = slot.confirmedFlushLSN, confirmed > checkpoint.position {
            throw mismatch(
                "slot.ahead",
                "The slot \(options.slot) has confirmed \(confirmed), the sink's checkpoint "
                    + "stands at \(checkpoint.position): the slot was dropped and made anew, or "
                    + "somebody else advanced it; " + loss(checkpoint, upTo: confirmed),
                afresh
            )
        }
        let reach = reach ?? checkpoint.position
        if reach > facts.walLSN, !facts.isStandby {
            throw mismatch(
                "checkpoint.ahead",
                "The sink has changes up to \(reach), ahead of the server's WAL at "
                    + "\(facts.walLSN): the server was restored to an earlier state, or a standby "
                    + "that had not received all took its place; the sink has changes "
                    + "that the source does not know",
                afresh
            )
        }
    }

    /// That a slot is lost, and by what: up to 16 the server knows of one reason only.
    private static func givenUp(_ slot: SlotState) -> String {
        switch slot.invalidationReason {
        case nil, "wal_removed": "The server has removed WAL that the slot \(slot.name) needs"
        case let reason?: "The server has given up the slot \(slot.name) (\(reason))"
        }
    }

    /// What is lost with a slot: which tables' changes, from where on, up to where it is known.
    static func loss(_ checkpoint: Checkpoint, upTo end: LSN?) -> String {
        let tables = checkpoint.relations.map(\.qualifiedName).sorted()
        let whose = tables.isEmpty ? "the changes" : "the changes of \(Prose.list(tables))"
        guard let end, end > checkpoint.position else {
            return "\(whose) after \(checkpoint.position) are lost"
        }
        let amount = Prose.bytes(Int64(clamping: end.bytes(since: checkpoint.position)))
        return "\(whose) between \(checkpoint.position) and \(end) (\(amount) of WAL) are lost"
    }

    /// The error of a slot that the server gave up before a snapshot was whole: nothing that the
    /// sink has promised is lost.
    static func lostInSnapshot(_ slot: String) -> WalrelayError {
        mismatch(
            "slot.wal_lost",
            "The server has given up the slot \(slot), and there is no whole snapshot that went "
                + "with it: it has to be taken anew",
            "raise max_slot_wal_keep_size to what is written while the tables are copied, then "
                + "walrelay run --config FILE --resnapshot"
        )
    }

    /// The error of a slot that was lost while the sink could not be opened, which alone knows what
    /// is lost with it.
    static func lostUnseen(_ slot: String, _ state: SlotState?) -> WalrelayError {
        let what = state.map(givenUp) ?? "The slot \(slot) does not exist any more"
        return mismatch(
            state == nil ? "slot.missing" : "slot.wal_lost",
            "\(what): whatever the sink lacks is lost, and how much that is cannot be told, since "
                + "the sink could not be opened",
            "see to it that the sink can be opened, then walrelay run --config FILE, which says what "
                + "is lost, or goes on where nothing is"
        )
    }

    /// Where no rows are asked for, there is no snapshot that makes good for a loss.
    private static let neverAfresh =
        "walrelay teardown --config FILE, and run: it begins with what is written from then on; "
        + "or set snapshot.mode to initial and run with --resnapshot"

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
