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
    private let failingSince = Mutex(ContinuousClock.now)
    private let told = Mutex<Set<String>>([])

    init(
        board: StatusBoard,
        stop: StopSignal,
        log: Logger,
        retryFor: @escaping @Sendable () -> Duration?
    ) {
        self.board = board
        self.stop = stop
        self.log = log
        self.retryFor = retryFor
    }

    func waitBeforeRetry(of error: WalrelayError, attempt: Int) throws {
        board.record(error)
        board.beat(.sink)
        if attempt == 1 || attempt.isMultiple(of: 10) {
            log.error(
                "\(error.message) Waiting for it to mend",
                metadata: ["code": "\(error.code)", "try": "\(error.hint)"]
            )
        }
        // The same rhythm as everywhere, but looked at more often: room on a disk comes suddenly.
        let delay = min(RetryPolicy.delay(attempt: attempt), .seconds(2))
        if attempt == 1 { failingSince.withLock { $0 = .now } }
        if let retryFor = retryFor(), ContinuousClock.now - failingSince.withLock({ $0 }) > retryFor {
            var final = error
            final.isTransient = false
            final.message += " (tried for \(retryFor), \(attempt) times)"
            throw final
        }
        let deadline = ContinuousClock.now + delay
        while ContinuousClock.now < deadline {
            board.beat(.sink)
            if stop.sleep(for: min(.milliseconds(500), deadline - .now)) {
                throw CancellationError()
            }
        }
    }

    func keepWaiting() -> Bool {
        board.beat(.sink)
        return !stop.isRequested
    }

    func note(_ error: WalrelayError) {
        board.record(error)
        log.warning(
            "\(error.message); waiting for it to mend",
            metadata: ["code": "\(error.code)", "try": "\(error.hint)"]
        )
    }

    func tell(_ findings: [Finding]) {
        for finding in findings where finding.level == .warning {
            let text = "\(finding.subject): \(finding.found)"
            guard told.withLock({ $0.insert("\(finding.id) \(text)").inserted }) else { continue }
            log.warning("\(text)", metadata: ["check": "\(finding.id)", "try": "\(finding.mend)"])
        }
    }
}
