// SPDX-License-Identifier: Apache-2.0
//
// The notifier against a real datagram socket, and its machine against a clock of our own.

import Glibc
import Logging
import Pipeline
import ServiceLifecycle
import Support
import Synchronization
import Testing

@testable import Operations

@Suite(.timeLimit(.minutes(1))) struct SystemdNotifierTests {
    /// Runs a notifier for the time of the body, and then shuts it down gracefully.
    private func withNotifier(
        board: StatusBoard,
        environment: [String: String],
        logger: Logger = quietLogger,
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        let notifier = SystemdNotifier(board: board, logger: logger, environment: environment)
        let group = ServiceGroup(
            services: [notifier],
            gracefulShutdownSignals: [],
            logger: quietLogger
        )
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await body()
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private static let quick = "200000"

    @Test func `a datagram socket receives READY, STATUS, WATCHDOG and STOPPING`() async throws {
        let systemd = try NotificationReceiver()
        let board = makeBoard(phase: .checking)
        let environment = ["NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": Self.quick]
        try await withNotifier(board: board, environment: environment) {
            let before = try await systemd.until("WATCHDOG=1").joined(separator: "\n")
            #expect(before.contains("STATUS=checking prerequisites"))
            #expect(before.contains("EXTEND_TIMEOUT_USEC=60000000"))
            #expect(!before.contains("READY=1"))
            board.update { $0.phase = .snapshotting }
            let ready = try await systemd.until("READY=1").joined(separator: "\n")
            #expect(ready.contains("STATUS=snapshot: 0 of 1 tables, 1234 rows"))
            board.update { $0.phase = .streaming }
            _ = try await systemd.until("WATCHDOG=1")
            _ = try await systemd.until("WATCHDOG=1")
        }
        let last = systemd.pending().joined(separator: "\n")
        #expect(last.contains("STOPPING=1"))
        #expect(!last.contains("READY=1"), "READY is told once")
    }

    @Test func `a socket with a path serves as well`() async throws {
        let path = "/tmp/walrelay-notify-\(getpid())-\(UInt32.random(in: .min ... .max))"
        defer { unlink(path) }
        let systemd = try NotificationReceiver(path: path)
        try await withNotifier(board: makeBoard(), environment: ["NOTIFY_SOCKET": path]) {
            _ = try await systemd.until("READY=1")
        }
        #expect(systemd.pending().joined().contains("STOPPING=1"))
    }

    @Test func `the watchdog is not fed while a part is stalled`() async throws {
        let systemd = try NotificationReceiver()
        let board = makeBoard()
        let environment = ["NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": Self.quick]
        try await withNotifier(board: board, environment: environment) {
            _ = try await systemd.until("WATCHDOG=1")
            board.begin(.sink)
            // The sink beats no more: from the interval's end on nothing may feed the watchdog.
            var stalled = ""
            while !stalled.contains("STATUS=stuck: sink has not moved") {
                stalled = try await systemd.next()
            }
            #expect(!stalled.contains("WATCHDOG=1"))
            try await Task.sleep(for: .milliseconds(500))
            #expect(!systemd.pending().joined().contains("WATCHDOG=1"))
            // Again and again: the notifier has to look within an interval of a beat.
            try await eventually("the watchdog is fed again", timeout: .seconds(20)) {
                board.beat(.sink)
                return systemd.pending().joined().contains("WATCHDOG=1")
            }
        }
    }

    @Test func `an unreachable socket is a warning, once, and never an error`() async throws {
        let lines = Mutex<[String]>([])
        let output = LogOutput(style: LogStyle(format: .text)) { line in
            lines.withLock { $0.append(line) }
        }
        let logger = Logger(label: "test") { _ in LineLogHandler(output: output) }
        for address in ["/no/such/socket", "vsock:2:1", "@", String(repeating: "/x", count: 90)] {
            let environment = ["NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000"]
            try await withNotifier(board: makeBoard(), environment: environment, logger: logger) {
                try await Task.sleep(for: .milliseconds(60))
            }
        }
        let warnings = lines.withLock { $0 }
        #expect(warnings.count == 4)
        #expect(warnings.allSatisfy { $0.contains("warn  systemd cannot be notified") })
    }

    @Test func `without systemd the notifier only waits for the shutdown`() async throws {
        try await withNotifier(board: makeBoard(), environment: [:]) {}
    }

    @Test func `a watchdog of another process is not ours`() {
        let set = ["WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "42"]
        #expect(SystemdNotifier.watchdog(in: set, process: 42) == .seconds(1))
        #expect(SystemdNotifier.watchdog(in: set, process: 43) == nil)
        #expect(SystemdNotifier.watchdog(in: ["WATCHDOG_USEC": "5"], process: 1) != nil)
        for broken in ["", "0", "-1", "x", "99999999999999999999"] {
            #expect(SystemdNotifier.watchdog(in: ["WATCHDOG_USEC": broken], process: 1) == nil)
        }
    }
}

@Suite struct NotifyProtocolTests {
    private func lines(
        _ state: inout NotifyProtocol,
        _ phase: TaskStatus.Phase,
        at seconds: Int,
        stall: String? = nil,
        isShuttingDown: Bool = false
    ) -> [String] {
        var status = TaskStatus(task: "t", version: "v", sinkKind: "ndjson")
        status.phase = phase
        let message = state.message(
            status: status,
            stall: stall,
            isShuttingDown: isShuttingDown,
            now: .seconds(seconds)
        )
        return (message ?? "").split(separator: "\n").map(String.init)
    }

    @Test func `a slow start is extended until READY and not after it`() {
        var state = NotifyProtocol(watchdog: nil)
        let extend = "EXTEND_TIMEOUT_USEC=60000000"
        #expect(lines(&state, .checking, at: 0) == [extend, "STATUS=checking prerequisites"])
        #expect(lines(&state, .checking, at: 5) == [])
        #expect(lines(&state, .reconnecting, at: 10).contains(extend))
        #expect(lines(&state, .streaming, at: 20).first == "READY=1")
        #expect(!lines(&state, .reconnecting, at: 40).contains(extend))
        #expect(!lines(&state, .streaming, at: 50).contains("READY=1"))
    }

    @Test func `a standby is ready for systemd, and says for whom it waits`() {
        var state = NotifyProtocol(watchdog: .seconds(20))
        _ = lines(&state, .checking, at: 0)
        #expect(lines(&state, .standby, at: 1) == ["READY=1", "STATUS=standby"])
        #expect(lines(&state, .standby, at: 10).contains("WATCHDOG=1"))
        #expect(!lines(&state, .streaming, at: 20).contains("READY=1"))
        var status = TaskStatus(task: "t", version: "v", sinkKind: "ndjson")
        status.phase = .standby
        status.standby = .init(since: "2026-01-05T12:00:00.000Z", holder: nil)
        #expect(StatusLine.text(of: status) == "standby: the task is run by another walrelay")
    }

    @Test func `nothing is extended and nothing fed while stalled`() {
        var state = NotifyProtocol(watchdog: .seconds(20))
        _ = lines(&state, .checking, at: 0)
        #expect(lines(&state, .checking, at: 15, stall: "stuck") == ["STATUS=stuck"])
        #expect(lines(&state, .checking, at: 24, stall: "stuck") == [])
        #expect(lines(&state, .checking, at: 26).contains("WATCHDOG=1"))
    }

    @Test func `draining is extended as long as it moves`() {
        var state = NotifyProtocol(watchdog: nil)
        _ = lines(&state, .streaming, at: 0)
        let first = lines(&state, .stopping, at: 1)
        #expect(first.prefix(2) == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=60000000"])
        #expect(lines(&state, .stopping, at: 5) == [])
        #expect(lines(&state, .stopping, at: 11).contains("EXTEND_TIMEOUT_USEC=60000000"))
        let stalled = lines(&state, .stopping, at: 30, stall: "stuck")
        #expect(!stalled.contains { $0.hasPrefix("EXTEND") })
    }

    @Test func `the watchdog is fed at half of its interval or sooner`() {
        var state = NotifyProtocol(watchdog: .seconds(20))
        #expect(state.tick == .seconds(1))
        var fed: [Int] = []
        for second in 0...40 where lines(&state, .streaming, at: second).contains("WATCHDOG=1") {
            fed.append(second)
        }
        #expect(fed.first == 0)
        #expect(zip(fed, fed.dropFirst()).allSatisfy { $1 - $0 <= 10 })
        #expect(fed.count <= 6)
    }

    @Test(arguments: attacks) func `a status is one line whatever the server said`(text: String) {
        var status = TaskStatus(task: "t", version: "v", sinkKind: "ndjson")
        status.phase = .failed
        status.lastError = .init(code: "x.y", message: text, hint: "", at: "")
        let line = StatusLine.text(of: status)
        #expect(!line.unicodeScalars.contains { $0.value < 0x20 })
        status.lastError?.message = String(repeating: text, count: 5000)
        #expect(StatusLine.text(of: status).utf8.count < 1100)
    }
}
