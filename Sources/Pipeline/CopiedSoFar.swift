// SPDX-License-Identifier: Apache-2.0
//
// What a running snapshot has written, and when it is worth a commit. A commit takes all that was
// written, so it may come only while each row of it counts: rows of a range of keys do at once,
// those of other tables when their table is whole. Where tables of the second kind follow each
// other closely, on several workers, such a moment has to be made: the workers begin no other one
// until those that are under way have ended, or until it has taken too long.
//
//   written ──1 s──▶ due ──┬─ all counts ─────────────▶ commit
//                          └─ a table is under way ──▶ hold ──ended──▶ commit
//                                                        └── a tenth of the time passed: give up,
//                                                            and try later

import ChangeModel
import Synchronization

/// What is copied, as the batches say that were written.
struct CopiedSoFar {
    /// What the next commit says.
    private(set) var checkpoint: Checkpoint
    /// What the workers see of it.
    let hold = TableHold()
    /// Whether anything is committed before the snapshot's end.
    private let isCommitted: Bool
    /// Tables that rows were written of that do not count yet.
    private var open: Set<UInt32> = []
    private var hasNews = false
    private var lastCommit = ContinuousClock.now
    /// How long after a commit the next one is due at the earliest.
    private var interval = CopiedSoFar.leastInterval
    private var heldSince: ContinuousClock.Instant?
    private var mayHoldAt = ContinuousClock.now

    /// No commit follows another within less.
    static let leastInterval: Duration = .seconds(1)
    /// Of the time at most one part in so many is spent in commits, or in waiting for the moment.
    private static let share = 10

    /// Nothing written yet but what the checkpoint says.
    init(_ begun: Checkpoint, isCommitted: Bool) {
        checkpoint = begun
        self.isCommitted = isCommitted
    }

    /// Takes note of a batch that was written.
    mutating func note(_ batch: borrowing ChangeBatch) {
        guard let copied = batch.copied else {
            if let version = batch.relations.first { open.insert(version.relation.oid) }
            return
        }
        var copy = checkpoint.copy(of: copied.oid)
        copy.add(copied)
        checkpoint.set(copy)
        if copied.progress == .whole { open.remove(copied.oid) }
        hasNews = true
    }

    /// Whether to commit now; where it is time and not all counts, the workers are held.
    mutating func isDue(at now: ContinuousClock.Instant) -> Bool {
        guard isCommitted, hasNews || !open.isEmpty, now - lastCommit >= interval else {
            return false
        }
        guard !open.isEmpty else { return hasNews }
        if let since = heldSince {
            let waited = now - since
            if waited * Self.share > since - lastCommit {
                release()
                mayHoldAt = now + waited * Self.share
            }
        } else if now >= mayHoldAt {
            heldSince = now
            hold.set(true)
        }
        return false
    }

    /// Takes note of a commit of `checkpoint`.
    mutating func committed(at now: ContinuousClock.Instant, begun: ContinuousClock.Instant) {
        interval = max(Self.leastInterval, (now - begun) * Self.share)
        lastCommit = now
        hasNews = false
        release()
    }

    private mutating func release() {
        heldSince = nil
        hold.set(false)
    }
}

/// Whether the workers may begin a table whose rows count only once all of it is copied.
final class TableHold: Sendable {
    private let held = Atomic(false)

    var isHeld: Bool { held.load(ordering: .relaxed) }

    func set(_ isHeld: Bool) {
        held.store(isHeld, ordering: .relaxed)
    }
}
