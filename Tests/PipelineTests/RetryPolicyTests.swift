// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ
import Logging
import Support
import Testing

@testable import Pipeline

@Suite struct RetryPolicyTests {
    private let start = ContinuousClock.now

    @Test func `the wait doubles up to its bound, and never by the same amount for all`() {
        for attempt in 1...40 {
            let plain = min(30_000, 200 << min(attempt - 1, 10))
            for _ in 0..<20 {
                let delay = RetryPolicy.delay(attempt: attempt)
                #expect(delay >= .milliseconds(plain) * 0.8 && delay <= .milliseconds(plain) * 1.2)
            }
        }
        #expect(Set((0..<20).map { _ in RetryPolicy.delay(attempt: 5) }).count > 1)
        #expect(RetryPolicy.delay(attempt: 0) <= .milliseconds(240), "nor is nonsense a trap")
        #expect(RetryPolicy.delay(attempt: .max) <= .seconds(36))
    }

    @Test func `the last attempt is made when the time is over, and then it ends`() throws {
        var policy = RetryPolicy(limit: .seconds(60))
        _ = try policy.delay(after: .passing, now: start)
        for second in 1...58 {
            _ = try policy.delay(after: .passing, now: start + .seconds(second))
        }
        let last = try policy.delay(after: .passing, now: start + .seconds(59))
        #expect(last == .seconds(1))
        let error = #expect(throws: WalrelayError.self) {
            try policy.delay(after: .passing, now: start + .seconds(60))
        }
        #expect(error?.isTransient == false && error?.exit == .unreachable)
        #expect(error?.message.contains("61 times") == true)
    }

    @Test func `what might have mended itself ends as unreachable, a fault as what it is`() {
        func end(_ error: WalrelayError) -> ExitCode? {
            var policy = RetryPolicy(limit: .zero)
            let end = #expect(throws: WalrelayError.self) { try policy.delay(after: error) }
            return end?.exit
        }
        var standby = WalrelayError("server.standby", exit: .prerequisite, "", isTransient: true)
        #expect(end(standby) == .unreachable)
        standby.isTransient = false
        #expect(end(standby) == .prerequisite)
    }

    @Test func `success begins the counting anew`() throws {
        var policy = RetryPolicy(limit: .seconds(60))
        _ = try policy.delay(after: .passing, now: start)
        #expect(policy.failures == 1)
        policy.succeed()
        #expect(policy.failures == 0)
        _ = try policy.delay(after: .passing, now: start + .seconds(3_600))
        #expect(policy.failures == 1)
    }

    @Test func `without a limit it goes on for ever, with none at all it ends at once`() throws {
        var forever = RetryPolicy(limit: nil)
        for day in 0..<400 {
            _ = try forever.delay(after: .passing, now: start + .seconds(86_400 * day))
        }
        var never = RetryPolicy(limit: .zero)
        #expect(throws: WalrelayError.self) { try never.delay(after: .passing, now: start) }
    }

    private func supervisor(_ stop: StopSignal, retryFor: Duration?) -> TaskSupervisor {
        let board = StatusBoard(task: "t", version: "0", sinkKind: "memory")
        let log = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let options = TaskOptions(
            task: "t",
            source: ConnectionParameters(keywords: [:]),
            tables: TableSelection(include: [])
        )
        return TaskSupervisor(
            board: board,
            stop: stop,
            log: log,
            retryFor: { retryFor },
            slots: SlotMonitor(options: options, board: board, log: log)
        )
    }

    @Test func `a sink's wait ends with the task, and with its time`() async throws {
        let stop = StopSignal()
        let patient = supervisor(stop, retryFor: nil)
        #expect(patient.keepWaiting())
        stop.request()
        #expect(!patient.keepWaiting())
        #expect(throws: CancellationError.self) {
            try patient.waitBeforeRetry(of: .passing, attempt: 1)
        }
        let hasty = supervisor(StopSignal(), retryFor: .zero)
        let error = try await onThread {
            #expect(throws: WalrelayError.self) {
                try hasty.waitBeforeRetry(of: .passing, attempt: 1)
            }
        }
        #expect(error?.isTransient == false)
    }

    @Test func `a worker gives its value or its error, once it has ended`() async throws {
        let release = StopSignal()
        let worker = Worker(named: "w") { release.sleep(for: .seconds(60)) }
        #expect(!worker.hasEnded)
        release.request()
        #expect(try await onThread { try worker.join(beat: {}) })
        #expect(worker.hasEnded)
        let failing = Worker<Int>(named: "w") { throw WalrelayError.lasting }
        await #expect(throws: WalrelayError.lasting) {
            try await onThread { try failing.join(beat: {}) }
        }
    }
}
