// SPDX-License-Identifier: Apache-2.0
//
// Whose turn it is to work on a task. A run begins by taking the task's lock on the source, before
// it looks at the slot or opens its sink: a checkpoint that is read while another daemon commits is
// an old one a moment later. Where another has the lock a daemon waits as a standby, and has the
// turn within seconds of the other's end. The lock decides who works; that nothing is written twice
// even if it should fail is the affair of the sinks, each of which finds out a second writer.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink
import Synchronization

/// A run's hold on its task's lock.
final class Turn: Sendable {
    private let lock = Mutex<TaskLock?>(nil)

    /// Whether the lock is ours now.
    var isHeld: Bool {
        guard case .ours = lock.withLock({ $0 })?.state else { return false }
        return true
    }

    /// Throws unless the lock is ours; asked before anything becomes durable.
    ///
    /// The error is what has ended the session that held it, and transient.
    func verify() throws(WalrelayError) {
        switch lock.withLock({ $0 })?.state {
        case .ours: return
        case .lost(let error): throw error
        case .asking, .held, nil: throw Self.elsewhere
        }
    }

    /// Throws unless the lock is ours on the connection's server: of a list of hosts each session
    /// may have found another one in the midst of a failover.
    func verify(_ options: TaskOptions, on control: borrowing Connection) throws {
        try verify()
        guard case .ours(let session) = lock.withLock({ $0 })?.state,
            let holder = try TaskLock.holder(of: options.task, on: control),
            !holder.isOther(than: session)
        else {
            end()
            throw Self.elsewhere
        }
    }

    private static let elsewhere = WalrelayError(
        "task.lock_lost",
        exit: .unreachable,
        "The task's lock is not held on the server that the task's other sessions have found",
        hint: "nothing has to be mended: the lock is asked for anew",
        isTransient: true
    )

    /// Gives the lock back; blocks, at most 2 s.
    func end() {
        let former = lock.withLock { lock in
            defer { lock = nil }
            return lock
        }
        former?.release()
    }

    /// Asks for the lock anew; to be followed by `end`.
    func ask(_ options: TaskOptions) -> TaskLock {
        end()
        let asked = TaskLock(task: options.task, parameters: options.source)
        lock.withLock { $0 = asked }
        return asked
    }
}

extension TaskRunner {
    /// Returns once the task's lock is ours, after a wait as a standby if need be.
    ///
    /// Blocks without an end while another daemon has it, unless the run has an end of its own: then
    /// it throws `task.in_use`. Throws `CancellationError` on a stop, and what keeps the source from
    /// being asked.
    func takeTurn(_ run: inout RunState, retry: inout RetryPolicy) throws {
        guard !turn.isHeld else { return }
        // Whoever has the turn meanwhile may have made the slot anew.
        slots.expectNothing()
        let lock = turn.ask(options)
        var since: ContinuousClock.Instant?
        while true {
            board.beat(.sink)
            if stop.isRequested { throw CancellationError() }
            switch lock.state {
            case .ours:
                if let since { takeOver(after: since, &run) }
                return
            case .lost(let error):
                board.count { $0.isSourceUp = false }
                throw error
            case .held(let holder):
                guard options.mayStandBy else { throw inUse(by: holder) }
                if since == nil { since = .now }
                // What failed before is over: whatever comes of the turn has all its time.
                retry.succeed()
                run.hasStoodBy = true
                standBy(for: holder)
            case .asking: break
            }
            lock.wait(for: .milliseconds(500))
        }
    }

    /// Makes a checkpoint and what was written before it durable, if the turn is still ours.
    func commit(_ checkpoint: Checkpoint, to sink: any Sink) throws {
        try turn.verify()
        try board.measureSink { try sink.commit(checkpoint) }
    }

    /// Throws `slot.in_use` while another session has the slot; has the watch begin.
    ///
    /// Looked at before the sink is opened: who reads the slot may still commit there, and a
    /// daemon whose host is gone leaves the session that reads it for up to `wal_sender_timeout`.
    /// A slot that is there costs the source as much while the sink cannot be opened.
    func watchSlot(_ run: RunState, on control: borrowing Connection) throws {
        guard options.snapshot != .only else { return }
        slots.begin()
        guard let slot = try SlotState.named(options.slot, on: control), !slot.isBeingMade else {
            return
        }
        if slot.isActive { throw Self.inUse(slot) }
        let facts = try ServerFacts(on: control)
        try turn.verify(options, on: control)
        guard !slot.isLost, let primary = facts.primary else { return }
        // A former primary is refused as soon as the sink's checkpoint is read; before, by what is
        // known of it.
        if let known = run.checkpoint,
            known.systemIdentifier != primary.systemIdentifier
                || known.timeline.map({ $0 > primary.timeline }) ?? false
        {
            return
        }
        slots.expect(on: primary)
    }

    private func standBy(for holder: TaskHolder?) {
        let former = board.status.standby
        guard former == nil || holder != nil && former?.holder != holder else { return }
        board.standBy(for: holder)
        log.notice(
            "standby: another walrelay runs this task; waiting to take it over",
            metadata: [
                "phase": "standby",
                "holder": "\(holder?.text ?? "unknown")",
                "try": "if it was started by mistake, stop this one",
            ]
        )
    }

    private func takeOver(after since: ContinuousClock.Instant, _ run: inout RunState) {
        let waited = (ContinuousClock.now - since).milliseconds
        log.notice(
            "taking the task over, after \(Prose.time(milliseconds: waited))",
            metadata: ["figures": ["afterMilliseconds": .stringConvertible(Int(waited))]]
        )
        // What this run knows of the sink is from before the other one's turn.
        run.checkpoint = nil
        run.isSinkKnown = false
        run.tookOver = true
        board.update { $0.standby = nil }
        enter(.checking)
    }

    private func inUse(by holder: TaskHolder?) -> WalrelayError {
        WalrelayError(
            "task.in_use",
            exit: .unreachable,
            "The task \(options.task) is run by another walrelay: "
                + "\(holder?.text ?? "a session of the source")",
            hint: "wait for its end, or stop it; without --until, and with a stream, a second "
                + "walrelay run waits as a standby",
            isTransient: true
        )
    }
}
