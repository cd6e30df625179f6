// SPDX-License-Identifier: Apache-2.0
//
// Looks at a task's slot every two seconds from its making to the end of the run, on a connection
// of its own: also while tables are copied, while the sink stands still and between attempts, when
// nobody else asks the server. It tells how far the slot is and what it holds back, and raises an
// alarm where there is nothing left to wait for:
//
//   the slot is gone, or the server has given it up       the changes since are lost
//   it holds back more than slot.retainStop               it is to be dropped
//
// Whoever waits ends by the alarm, and the run's own thread concludes (SlotConclusion.swift).

import ChangeModel
import LibPQ
import Logging
import Replication
import Synchronization

/// The watch over a task's slot.
final class SlotMonitor: Sendable {
    /// What there is nothing left to wait for.
    enum Verdict: Sendable {
        /// The slot, if it is still there, cannot serve the task.
        case unfit(SlotState?, ServerFacts)
        /// It holds back so many bytes, past what the settings allow.
        case overBudget(Int64)
    }

    private struct State: Sendable {
        /// The system identifier of the server that has to have the slot.
        var system: String?
        /// Counts the calls that change `system`: a look that one falls into says nothing.
        var epoch = 0
        var hasBegun = false
        var verdict: Verdict?
    }

    private static let interval: Duration = .seconds(2)
    /// What the warning is called, in the log and in the status.
    fileprivate static let warningCode = "slot.retention"

    private let options: TaskOptions
    private let board: StatusBoard
    private let log: Logger
    private let ended = StopSignal()
    private let state = Mutex(State())
    private let alarm = Atomic(false)

    init(options: TaskOptions, board: StatusBoard, log: Logger) {
        (self.options, self.board, self.log) = (options, board, log)
    }

    /// Whether there is a verdict; cheap enough for every turn of a loop.
    var isRaised: Bool { alarm.load(ordering: .acquiring) }

    /// The verdict, which stays until it is dismissed.
    var verdict: Verdict? { state.withLock(\.verdict) }

    /// Says that the slot is there from now on, and has to be: looking begins with the first call.
    func expect(on facts: ServerFacts) {
        let isFirst = state.withLock { state in
            defer { state.hasBegun = true }
            state.system = facts.systemIdentifier
            state.epoch += 1
            return !state.hasBegun
        }
        if isFirst { startThread(named: "slot-monitor") { [self] in run() } }
    }

    /// Says that the slot may be gone for a good reason, and forgets what was found.
    func expectNothing() {
        state.withLock { state in
            state.system = nil
            state.epoch += 1
            state.verdict = nil
            alarm.store(false, ordering: .releasing)
        }
    }

    /// Ends the looking.
    func end() { ended.request() }

    private func run() {
        var watch = RetentionWatch(options.budget)
        var failures = 0
        while !ended.isRequested {
            do {
                let connection = try Connection.open(options.source.for(.monitor), stop: ended)
                repeat {
                    try look(on: connection, &watch)
                    board.count { $0.isSourceUp = true }
                    failures = 0
                } while !ended.sleep(for: Self.interval)
            } catch {
                failures += 1
                if !ended.isRequested { board.count { $0.isSourceUp = false } }
                log.debug("looking at the slot: \(error)")
                ended.sleep(for: max(Self.interval, RetryPolicy.delay(attempt: failures)))
            }
        }
    }

    private func look(
        on connection: borrowing Connection,
        _ watch: inout RetentionWatch
    ) throws {
        let before = state.withLock { ($0.system, $0.epoch) }
        let facts = try ServerFacts(on: connection)
        let slot = try SlotState.named(options.slot, on: connection)
        let judged = slot.flatMap { watch.look(at: $0, facts, log: log) }
        show(slot, facts, judged?.status)
        // Old primaries and other clusters that an address leads to for a while are not judged.
        guard before.0 == facts.systemIdentifier, !facts.isStandby else { return }
        let verdict: Verdict? =
            if slot?.isLost ?? true {
                .unfit(slot, facts)
            } else if judged?.isOver ?? false {
                .overBudget(slot?.retainedBytes ?? 0)
            } else { nil }
        guard let verdict else { return }
        state.withLock { state in
            guard state.epoch == before.1 else { return }
            state.verdict = state.verdict ?? verdict
            alarm.store(true, ordering: .releasing)
        }
    }

    private func show(_ slot: SlotState?, _ facts: ServerFacts, _ retention: TaskStatus.Retention?)
    {
        board.update { status in
            status.source.walLSN = facts.walLSN.description
            status.source.restartLSN = slot?.restartLSN?.description
            status.source.confirmedFlushLSN = slot?.confirmedFlushLSN?.description
            status.source.lagBytes = slot?.confirmedFlushLSN.map {
                Int(clamping: facts.walLSN.bytes(since: $0))
            }
            status.source.retainedBytes = slot?.retainedBytes.map { Int(clamping: $0) }
            status.source.walStatus = slot?.walStatus
            status.source.retention = retention
        }
        if let warning = retention?.warning {
            board.warn(Self.warningCode, warning)
        } else {
            board.clearWarning(Self.warningCode)
        }
    }
}

/// From looks at a slot to what is shown and logged of what it holds back.
private struct RetentionWatch {
    private var judge: RetentionJudge
    private var notices = RetentionNotices()

    init(_ budget: SlotBudget) { judge = RetentionJudge(budget) }

    /// `nil` where the server does not say what is held back: on a standby, and of a lost slot.
    mutating func look(
        at slot: SlotState,
        _ facts: ServerFacts,
        log: Logger
    ) -> (status: TaskStatus.Retention, isOver: Bool)? {
        guard let retained = slot.retainedBytes, !slot.isLost else { return nil }
        let now = BoardClock.system.monotonic()
        let judged = judge.judge(
            SlotReading(
                slot: slot.name,
                wal: facts.walLSN.rawValue,
                retained: retained,
                safe: slot.safeWALSize,
                walStatus: slot.walStatus
            ),
            at: now
        )
        let isPastStop = judged.status.stopBytes.map { Int64($0) <= retained } ?? false
        let line = notices.line(
            for: judged.status.warning,
            retained: retained,
            isGrave: slot.walStatus == "unreserved" || isPastStop,
            at: now
        )
        switch line {
        case .warning(let text): log.warning("\(text)", metadata: Self.advice)
        case .over:
            let amount = Quantity.bytes(retained)
            log.notice("the slot \(slot.name) holds back \(amount) of WAL: no more than it may")
        case nil: break
        }
        return judged
    }

    private static let advice: Logger.Metadata = [
        "code": "\(SlotMonitor.warningCode)",
        "try": "`walrelay status` tells what is behind; docs/operations.md, \"The slot lags\"",
    ]
}
