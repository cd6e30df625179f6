// SPDX-License-Identifier: Apache-2.0
//
// What the board counts beside the status: what monitors and alerts ask for and people do not. All
// of it since the process began, all of it of bounded size.

import ChangeModel
import Replication
import Synchronization

extension StatusBoard {
    /// What happened since the process began.
    public struct Counters: Sendable, Equatable {
        /// Times that the phase became reconnecting.
        public var reconnects = 0
        /// Times that ``TaskStatus/lastError`` was set anew.
        public var errors = 0
        /// The same by the error's code; of more than ``codeLimit`` codes the rest is `other`.
        public var errorsByCode: [String: Int] = [:]
        /// When that was last, in microseconds of Unix time.
        public var lastError: Int64?
        /// When the sink last made something durable, in microseconds of Unix time.
        public var lastCommit: Int64?
        /// Whether the source answered when it was last asked; nil before.
        public var isSourceUp: Bool?
        /// Times that the sink waited before it tried the same again.
        public var sinkRetries = 0
        /// Whether the sink waits for what is to mend itself, such as a full disk.
        public var isSinkWaiting = false
        /// The time of such waits.
        public var sinkWaited: Duration = .zero
        /// The time within the sink's writes and commits.
        public var sinkBusy: Duration = .zero

        /// Codes that are counted apart: of some three hundred one task meets a few.
        public static let codeLimit = 40

        /// Nothing has happened yet.
        public init() {}

        mutating func count(_ error: TaskStatus.Failure, at now: Int64) {
            errors += 1
            lastError = now
            let isKnown = errorsByCode[error.code] != nil || errorsByCode.count < Self.codeLimit
            errorsByCode[isKnown ? error.code : "other", default: 0] += 1
        }
    }

    /// Why the task is not where it should be, from the first failure to the next phase of work.
    struct Trouble: Sendable, Equatable {
        /// The code of the last failure.
        var code: String
        /// Failures so far.
        var failures: Int
        /// When the first was, in nanoseconds of the monotonic clock.
        var since: UInt64
    }

    /// What happened since the process began.
    public var counters: Counters { board.withLock { $0.counters } }

    /// Counts something; `body` runs under the board's lock.
    func count(_ body: (inout Counters) -> Void) {
        board.withLock { body(&$0.counters) }
    }

    /// Says that the sink has just made something durable.
    func noteCommit() {
        let now = clock.unixMicroseconds()
        count { $0.lastCommit = now }
    }

    /// Measures what the sink does.
    func measureSink<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let begin = ContinuousClock.now
        defer {
            let time = ContinuousClock.now - begin
            count { $0.sinkBusy += time }
        }
        return try body()
    }

    /// Records a failure after which the task tries again.
    func recordFailedAttempt(_ error: WalrelayError) {
        record(error, phase: .reconnecting)
        let now = clock.monotonic()
        board.withLock { board in
            let former = board.trouble
            board.trouble = Trouble(
                code: error.code,
                failures: (former?.failures ?? 0) + 1,
                since: former?.since ?? now
            )
        }
    }

    /// Enters a phase, and tells which was left and what trouble, if any, is over with that.
    ///
    /// A task that stops can only fail any more: to enter anything else changes nothing and gives
    /// `nil`.
    func enter(
        _ phase: TaskStatus.Phase
    ) -> (former: TaskStatus.Phase, mended: (trouble: Trouble, after: Duration)?)? {
        var former: TaskStatus.Phase?
        change { board in
            let now = board.status.phase
            let isOver = board.isStopping || now == .failed
            guard !isOver || phase == .failed || phase == now else { return }
            board.isStopping = board.isStopping || phase == .stopping
            (former, board.status.phase) = (now, phase)
        }
        guard let former else { return nil }
        guard phase == .streaming || phase == .snapshotting else { return (former, nil) }
        let now = clock.monotonic()
        let trouble = board.withLock { board in
            defer { board.trouble = nil }
            return board.trouble
        }
        return (former, trouble.map { ($0, .nanoseconds(now > $0.since ? now - $0.since : 0)) })
    }

    /// The time in which reading the source waited for the sink, up to now.
    public var sourceBlocked: Duration { backPressure.total }
}
