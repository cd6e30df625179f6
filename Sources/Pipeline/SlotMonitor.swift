// SPDX-License-Identifier: Apache-2.0
//
// Looks at a task's slot every two seconds from the first connection to the end of the run, on a
// connection of its own: also while tables are copied, while the sink stands still or cannot be
// opened and between attempts, when nobody else asks the server. It tells how far the slot is and
// what it holds back, and raises an alarm where there is nothing left to wait for:
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
        case overBudget(Int64, Primary)
    }

    private struct State: Sendable {
        var demand = SlotDemand()
        var hasBegun = false
        var verdict: Verdict?
        /// When the slot was looked at last, and whether a walsender had it.
        var look = (at: ContinuousClock.now, hasWalsender: true)
        /// When the server had no room for that look last.
        var refusedAt: ContinuousClock.Instant?
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

    /// The server that has to have the slot, where one has to.
    var primary: Primary? { state.withLock(\.demand.primary) }

    /// Begins to look, and to warn of what the slot holds back; without effect the second time.
    func begin() {
        let isFirst = state.withLock { state in
            defer { state.hasBegun = true }
            return !state.hasBegun
        }
        if isFirst { startThread(named: "slot-monitor") { [self] in run() } }
    }

    /// Says that the slot is there from now on, and has to be.
    func expect(on primary: Primary) {
        begin()
        state.withLock { state in
            let former = state.demand.epoch
            state.demand.expect(on: primary)
            if former != state.demand.epoch { forget(&state) }
        }
    }

    /// Says that the task is at work, or about to be: what is held back has its time anew.
    func giveTime() {
        state.withLock { $0.demand.giveTime(patience: options.budget.patience, now: .now) }
    }

    /// Says that the task is kept from its work: what is held back counts from now on.
    func holdToBudget() { state.withLock { $0.demand.holdToBudget(now: .now) } }

    /// Says that the slot may be gone for a good reason, and forgets what was found.
    func expectNothing() {
        state.withLock { state in
            state.demand.expectNothing()
            forget(&state)
        }
    }

    private func forget(_ state: inout State) {
        state.verdict = nil
        alarm.store(false, ordering: .releasing)
    }

    /// Whether a walsender that sends nothing may be busy: the server says that it has the slot.
    ///
    /// Where nobody answers that question, it is taken for so for five minutes; where the server has
    /// no connection left for it, and so lives, for half an hour.
    var isWalsenderBusy: Bool {
        let (look, refusedAt) = state.withLock { ($0.look, $0.refusedAt) }
        let now = ContinuousClock.now
        let age = now - look.at
        let isFull = refusedAt.map { now - $0 < .seconds(60) } ?? false
        return age < .seconds(30)
            ? look.hasWalsender : age < (isFull ? .seconds(1_800) : .seconds(300))
    }

    /// Ends the looking.
    func end() { ended.request() }

    private func run() {
        var watch = RetentionWatch(options.budget)
        var failures = 0
        while !ended.isRequested {
            do {
                let connection = try Connection.open(options.source.for(.monitor), stop: ended)
                while try look(on: connection, &watch) {
                    board.count { $0.isSourceUp = true }
                    failures = 0
                    if ended.sleep(for: Self.interval) { return }
                }
                ended.sleep(for: Self.interval)
            } catch {
                failures += 1
                if !ended.isRequested { board.count { $0.isSourceUp = false } }
                // SQLSTATE class 53: insufficient resources, such as too many connections.
                if (error as? PostgresError)?.sqlState.hasPrefix("53") == true {
                    state.withLock { $0.refusedAt = .now }
                }
                log.debug("looking at the slot: \(error)")
                ended.sleep(for: max(Self.interval, RetryPolicy.delay(attempt: failures)))
            }
        }
    }

    /// False where the connection is at another server than the task.
    ///
    /// It may be an old primary that still runs, or another cluster that the address led to for a
    /// while: nothing of it is shown.
    private func look(
        on connection: borrowing Connection,
        _ watch: inout RetentionWatch
    ) throws -> Bool {
        let before = state.withLock(\.demand)
        let facts = try ServerFacts(on: connection)
        if let primary = before.primary, primary != facts.primary { return false }
        let slot = try SlotState.named(options.slot, on: connection)
        let judged = slot.flatMap { watch.look(at: $0, facts, epoch: before.epoch, log: log) }
        show(slot, facts, judged?.status)
        state.withLock { $0.look = (.now, slot?.isActive ?? false) }
        guard let primary = before.primary else { return true }
        let verdict: Verdict? =
            if slot?.isLost ?? true {
                .unfit(slot, facts)
            } else if before.isHeldToBudget, judged?.isOver ?? false {
                .overBudget(slot?.retainedBytes ?? 0, primary)
            } else { nil }
        guard let verdict else { return true }
        state.withLock { state in
            guard state.demand.epoch == before.epoch else { return }
            state.verdict = state.verdict ?? verdict
            alarm.store(true, ordering: .releasing)
        }
        return true
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

/// What is demanded of a slot: where it has to be, and whether what it holds back counts.
struct SlotDemand: Sendable {
    /// The server that has to have the slot.
    private(set) var primary: Primary?
    /// Counts the changes: a look that one falls into says nothing, and what is past the stop has
    /// its time anew.
    private(set) var epoch = 0
    /// Since when what is held back counts: not while the sink is being opened for the first time.
    private var heldSince: ContinuousClock.Instant?

    var isHeldToBudget: Bool { heldSince != nil }

    mutating func expect(on primary: Primary) {
        guard primary != self.primary else { return }
        self = SlotDemand(epoch: epoch + 1)
        self.primary = primary
    }

    mutating func expectNothing() { self = SlotDemand(epoch: epoch + 1) }

    mutating func holdToBudget(now: ContinuousClock.Instant) {
        guard heldSince == nil else { return }
        (heldSince, epoch) = (now, epoch + 1)
    }

    /// Not again before it would have been over: a sink that can be opened, and fails each time it
    /// is written to, would have time without an end.
    mutating func giveTime(patience: Duration, now: ContinuousClock.Instant) {
        if let heldSince, now - heldSince < patience * 2 { return }
        (heldSince, epoch) = (now, epoch + 1)
    }

    init() {}

    private init(epoch: Int) { self.epoch = epoch }
}

/// From looks at a slot to what is shown and logged of what it holds back.
private struct RetentionWatch {
    private var judge: RetentionJudge
    private var notices = RetentionNotices()
    private var epoch = 0

    init(_ budget: SlotBudget) { judge = RetentionJudge(budget) }

    /// `nil` where the server does not say what is held back: on a standby, and of a lost slot.
    mutating func look(
        at slot: SlotState,
        _ facts: ServerFacts,
        epoch: Int,
        log: Logger
    ) -> (status: TaskStatus.Retention, isOver: Bool)? {
        guard let retained = slot.retainedBytes, !slot.isLost else { return nil }
        let now = BoardClock.system.monotonic()
        if epoch != self.epoch { judge.giveTime() }
        self.epoch = epoch
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
