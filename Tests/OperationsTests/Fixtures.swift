// SPDX-License-Identifier: Apache-2.0
//
// A board that says something in every field, and names that try to break out of each format.

import ChangeModel
import Logging
import ServiceLifecycle
import Synchronization

@testable import Operations
@testable import Pipeline

/// Names of tables and texts of servers that attack HTML, JSON, Prometheus text and log lines.
let attacks = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)",
    "back\\slash\\", "new\nline", "carriage\r\nreturn", "</style></script>", "&amp;&lt;",
    "\u{1b}[31mred", "nul\0byte", "{{x}} ${y} `z`", "\u{2028}separator", "naïve 表 😀",
]

func makeBoard(task: String = "orders", phase: TaskStatus.Phase = .streaming) -> StatusBoard {
    let board = StatusBoard(task: task, version: "1.2.3", sinkKind: "ndjson")
    board.update { status in
        status.phase = phase
        status.source.serverVersion = "15.18"
        status.source.walLSN = "16/B374D848"
        status.source.confirmedFlushLSN = "16/B374D000"
        status.source.lagBytes = 2120
        status.source.retainedBytes = 16_777_216
        status.source.walStatus = "reserved"
        status.stream.receivedLSN = "16/B374D848"
        status.stream.durableLSN = "16/B374D848"
        status.sink.details = [
            "file": "000000000001.ndjson.open", "commits": 7, "bytesWritten": 99,
        ]
        status.snapshot.tables = [
            .init(
                table: "public.orders",
                state: .copying,
                rowsEstimated: 4000,
                rowsCopied: 1234,
                bytesCopied: 56_789
            )
        ]
    }
    board.addChanges(12, transactions: 3)
    return board
}

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Runs a health server on a free loopback port for the time of the body.
func withHealthServer<R: Sendable>(
    board: StatusBoard,
    access: HTTPAccess = HTTPAccess(),
    stallLimit: Duration = .seconds(30),
    times: HTTPTimes = HTTPTimes(),
    clientLimit: Int = HTTPListener.clientLimit,
    port: UInt16 = 0,
    _ body: @escaping @Sendable (UInt16) async throws -> R
) async throws -> R {
    let (ports, continuation) = AsyncStream.makeStream(of: UInt16.self)
    let service = HealthService(
        listen: ListenAddress(host: "127.0.0.1", port: port),
        routes: HealthRoutes(board: board, access: access, stallLimit: stallLimit),
        logger: quietLogger,
        times: times,
        clientLimit: clientLimit
    ) { continuation.yield($0.port) }
    let group = ServiceGroup(
        services: [service],
        gracefulShutdownSignals: [],
        logger: quietLogger
    )
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        guard let port = await iterator.next() else { throw SocketFault("no port") }
        let result = try await body(port)
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return result
    }
}
