// SPDX-License-Identifier: Apache-2.0
//
// The one place where the moving parts say what they do, and where health, metrics, the status
// page and the watchdog read it. Writers come once a batch or less, readers once a second; nothing
// here is touched per row, and nothing here blocks longer than the copy of one small value.

public import ChangeModel
import Replication
import Synchronization

/// The living status of a task, and the pulse of its parts.
public final class StatusBoard: Sendable {
    /// A part of the pipeline whose progress is watched.
    public enum Part: String, Sendable, CaseIterable {
        /// Receives from the walsender.
        case reader
        /// Writes and commits batches.
        case sink
        /// Copies the tables' existing rows; begins once for each worker.
        case snapshot
        /// Decides on retries, and asks the server about the slot.
        case supervisor
    }

    struct Board: Sendable {
        var status: TaskStatus
        var counters = Counters()
        var rate = RateWindow()
        var lag = LagGauge()
        var trouble: Trouble?
        var pace = SnapshotPace()
        var history = StatusHistory()
        var totals: HistoryTotals?
        /// Whether the task was asked to stop: what its parts still enter on their way is no news.
        var isStopping = false
    }

    private final class Pulse: Sendable {
        let last = Atomic<UInt64>(0)
        let expected = Atomic<Int>(0)
    }

    /// Where readers of the source say that they wait for the sink.
    let backPressure = BackPressure()
    let board: Mutex<Board>
    private let pulses: [Pulse]
    let clock: BoardClock
    private let began: UInt64

    /// Creates a board for a task that has just begun; its phase is checking.
    public convenience init(task: String, version: String, sinkKind: String) {
        self.init(task: task, version: version, sinkKind: sinkKind, clock: .system)
    }

    init(task: String, version: String, sinkKind: String, clock: BoardClock) {
        var status = TaskStatus(task: task, version: version, sinkKind: sinkKind)
        status.startedAt = clock.timestamp
        self.began = clock.monotonic()
        self.board = Mutex(Board(status: status))
        self.pulses = Part.allCases.map { _ in Pulse() }
        self.clock = clock
    }

    /// Changes the status; `body` runs under the board's lock and must not wait for anything.
    public func update(_ body: (inout TaskStatus) -> Void) {
        change { body(&$0.status) }
    }

    /// Changes the board, and notes what follows from a changed status.
    func change(_ body: (inout Board) -> Void) {
        let now = clock.monotonic()
        board.withLock { board in
            let before = (phase: board.status.phase, error: board.status.lastError)
            body(&board)
            if board.isStopping, board.status.phase != .failed { board.status.phase = .stopping }
            if board.status.phase == .reconnecting, before.phase != .reconnecting {
                board.counters.reconnects += 1
            }
            if let error = board.status.lastError, error != before.error {
                board.counters.count(error, at: clock.unixMicroseconds())
            }
            board.lag.observe(pending: board.status.stream.isPending, at: now)
        }
    }

    /// Records an error with the present time, and optionally the phase it leads to.
    public func record(_ error: WalrelayError, phase: TaskStatus.Phase? = nil) {
        let failure = TaskStatus.Failure(
            code: error.code,
            message: error.message,
            hint: error.hint,
            at: clock.timestamp
        )
        update { status in
            status.lastError = failure
            status.remember(failure)
            if let phase { status.phase = phase }
        }
    }

    /// Sets a warning, which stands until it is taken back; one that stands gets the new text.
    ///
    /// May be called as often as the reason is looked at. Codes are those of the program, so there
    /// are few: at most 32 stand at a time.
    public func warn(_ code: String, _ text: String) {
        let time = clock.timestamp
        update { $0.warn(code, text, at: time) }
    }

    /// Takes a warning back; without effect where it does not stand.
    public func clearWarning(_ code: String) {
        update { status in status.warnings.removeAll { $0.code == code } }
    }

    /// The present moment as the status writes it.
    var timestamp: String { clock.timestamp }

    /// A copy of the status; rate and lag are those of this moment.
    public var status: TaskStatus {
        let now = clock.monotonic()
        return board.withLock { board in
            var status = board.status
            status.stream.changesPerSecond = board.rate.perSecond(at: now)
            status.stream.lagMilliseconds = board.lag.milliseconds(at: now)
            board.pace.fill(&status.snapshot, at: now)
            status.uptimeSeconds = Int((now > began ? now - began : 0) / 1_000_000_000)
            return status
        }
    }

    /// Counts changes that have become durable in the sink; called once a batch.
    ///
    /// - Parameters:
    ///   - changes: the changes in the batch.
    ///   - transactions: the transactions that ended in the batch.
    ///   - commitTime: when the last of them was committed in the source, in PostgreSQL's unit
    ///     (microseconds since 2000-01-01 UTC); nil when none ended.
    public func addChanges(_ changes: Int, transactions: Int, commitTime: Int64? = nil) {
        let now = clock.monotonic()
        let wall = clock.unixMicroseconds()
        board.withLock { board in
            board.status.stream.changes += changes
            board.status.stream.transactions += transactions
            board.rate.add(changes, at: now)
            guard let commitTime else { return }
            let (unix, overflow) = commitTime.addingReportingOverflow(postgresEpochMicroseconds)
            guard !overflow else { return }
            board.lag.measured(microseconds: wall.subtractingReportingOverflow(unix), at: now)
        }
    }

    /// Shows how far the copy of a table is; called once a batch.
    func show(_ table: TaskStatus.Snapshot.Table) {
        let now = clock.monotonic()
        board.withLock { board in
            let former = board.pace.place(of: table.table, in: &board.status.snapshot.tables)
            let copied = table.rowsCopied - board.status.snapshot.tables[former].rowsCopied
            board.status.snapshot.tables[former] = table
            board.pace.took(max(0, copied), of: table, at: now)
        }
    }
}

// MARK: - Pulse

extension StatusBoard {
    /// Says that the part is at work from now on and will beat.
    ///
    /// Every call is answered by one ``end(_:)``; a part may be at work several times at once, as
    /// the snapshot's workers are, and then counts as stalled only when all of them are silent.
    public func begin(_ part: Part) {
        let pulse = pulses[part.index]
        pulse.last.store(clock.monotonic(), ordering: .relaxed)
        pulse.expected.add(1, ordering: .releasing)
    }

    /// Says that the part has made progress, or waits for a reason it knows.
    ///
    /// A loop beats each time it comes round, also while it retries or polls an idle stream; a
    /// system call that never returns therefore falls silent.
    public func beat(_ part: Part) {
        pulses[part.index].last.store(clock.monotonic(), ordering: .relaxed)
    }

    /// Says that the part has ended its work and will not beat any more.
    public func end(_ part: Part) {
        pulses[part.index].expected.subtract(1, ordering: .releasing)
    }

    /// The parts that are at work and have been silent for longer than the given time.
    public func stalledParts(after limit: Duration) -> [Part] {
        Part.allCases.filter { part in
            guard let silence = silence(of: part) else { return false }
            return silence > limit
        }
    }

    /// How long ago the part beat last; nil when it is not at work.
    public func silence(of part: Part) -> Duration? {
        let pulse = pulses[part.index]
        guard pulse.expected.load(ordering: .acquiring) > 0 else { return nil }
        let last = pulse.last.load(ordering: .relaxed)
        let now = clock.monotonic()
        return .nanoseconds(now > last ? Int64(clamping: now - last) : 0)
    }
}

extension StatusBoard.Part {
    fileprivate var index: Int {
        switch self {
        case .reader: 0
        case .sink: 1
        case .snapshot: 2
        case .supervisor: 3
        }
    }
}

// MARK: - History

extension StatusBoard {
    /// What was, point by point, over the last hour.
    public var history: StatusHistory {
        board.withLock { $0.history }
    }

    /// Adds a point to the history, and says after how long the next one is due.
    ///
    /// Called about every five seconds by one caller; a point that was not taken is a gap.
    public func sample() -> Duration {
        let now = clock.monotonic()
        let status = status
        let wall = clock.unixMicroseconds() / 1000
        return board.withLock { board in
            let totals = HistoryTotals(status, at: now)
            let point = StatusHistory.Point(status, totals: totals, former: board.totals)
            board.totals = totals
            return board.history.add(point, at: now, unixMilliseconds: wall)
        }
    }
}
