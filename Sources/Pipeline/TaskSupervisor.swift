// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ
import Logging
import Sink
import Synchronization

/// What a sink may ask of its task: to wait for something that is expected to mend itself.
final class TaskSupervisor: SinkSupervisor {
    private let board: StatusBoard
    private let stop: StopSignal
    private let log: Logger
    private let retryFor: @Sendable () -> Duration?
    /// The wait that goes on: since when, for what, and how many retries so far.
    private struct Wait: Sendable {
        var since: ContinuousClock.Instant
        var code: String
        var attempts: Int
    }

    private let wait = Mutex<Wait?>(nil)
    private let slots: SlotMonitor
    private let told = Mutex<Set<String>>([])

    init(
        board: StatusBoard,
        stop: StopSignal,
        log: Logger,
        retryFor: @escaping @Sendable () -> Duration?,
        slots: SlotMonitor
    ) {
        self.board = board
        self.stop = stop
        self.log = log
        self.retryFor = retryFor
        self.slots = slots
    }

    func waitBeforeRetry(of error: WalrelayError, attempt: Int) throws {
        board.record(error)
        board.beat(.sink)
        slots.holdToBudget()
        log.error("\(error.message) Waiting for it to mend", metadata: TaskRunner.metadata(error))
        // The same rhythm as everywhere, but looked at more often: room on a disk comes suddenly.
        let delay = min(RetryPolicy.delay(attempt: attempt), .seconds(2))
        let since = wait.withLock { wait in
            let since = attempt == 1 ? .now : wait?.since ?? .now
            wait = Wait(since: since, code: error.code, attempts: attempt)
            return since
        }
        board.count { counters in
            counters.sinkRetries += 1
            counters.isSinkWaiting = true
        }
        if let retryFor = retryFor(), ContinuousClock.now - since > retryFor {
            var final = error
            final.isTransient = false
            final.message += " (tried for \(retryFor), \(attempt) times)"
            throw final
        }
        let deadline = ContinuousClock.now + delay
        while ContinuousClock.now < deadline {
            board.beat(.sink)
            let begin = ContinuousClock.now
            let isStopped = stop.sleep(for: min(.milliseconds(500), deadline - .now))
            let waited = ContinuousClock.now - begin
            board.count { $0.sinkWaited += waited }
            // Without its slot the task has nothing to wait for.
            if isStopped || slots.isRaised { throw CancellationError() }
        }
    }

    /// The sink has done what it was given: says so where it had to wait for that.
    func sinkSucceeded() {
        guard let wait = wait.withLock({ $0.take() }) else { return }
        board.count { $0.isSinkWaiting = false }
        let time = ContinuousClock.now - wait.since
        log.notice(
            """
            the sink goes on, after \(Prose.count(wait.attempts, "failure")) \
            in \(Prose.time(milliseconds: time.milliseconds)), \(wait.code)
            """,
            metadata: [
                "code": "\(wait.code)",
                "figures": [
                    "failures": .stringConvertible(wait.attempts),
                    "afterMilliseconds": .stringConvertible(Int(time.milliseconds)),
                ],
            ]
        )
    }

    /// The sink is given up as it is: what it waited for is the next attempt's trouble.
    func sinkFailed() {
        wait.withLock { $0 = nil }
        board.count { $0.isSinkWaiting = false }
    }

    func keepWaiting() -> Bool {
        board.beat(.sink)
        return !stop.isRequested && !slots.isRaised
    }

    func note(_ error: WalrelayError) {
        board.record(error)
        slots.holdToBudget()
        wait.withLock { $0 = $0 ?? Wait(since: .now, code: error.code, attempts: 1) }
        board.count { $0.isSinkWaiting = true }
        log.warning(
            "\(error.message); waiting for it to mend",
            metadata: TaskRunner.metadata(error)
        )
    }

    func tell(_ findings: [Finding]) {
        for finding in findings where finding.level == .warning {
            let text = "\(finding.subject): \(finding.found)"
            guard told.withLock({ $0.insert("\(finding.id) \(text)").inserted }) else { continue }
            var metadata: Logger.Metadata = ["check": "\(finding.id)"]
            if !finding.mend.isEmpty { metadata["try"] = "\(finding.mend)" }
            log.warning("\(text)", metadata: metadata)
        }
    }
}
