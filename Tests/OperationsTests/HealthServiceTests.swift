// SPDX-License-Identifier: Apache-2.0
//
// The HTTP endpoints through a real socket.

import ChangeModel
import Foundation
import Glibc
import Pipeline
import ServiceLifecycle
import Testing

@testable import Operations

@Suite(.timeLimit(.minutes(1))) struct HealthServiceTests {
    @Test func `a task that streams is healthy and ready`() async throws {
        try await withHealthServer(board: makeBoard()) { port in
            let health = try await RawHTTP.get("/healthz", port: port)
            #expect(health.status == "HTTP/1.1 200 OK")
            #expect(health.body == "ok\n")
            #expect(health.header("Content-Type") == "text/plain; charset=utf-8")
            #expect(health.header("Content-Length") == "3")
            #expect(try await RawHTTP.get("/readyz", port: port).body == "ok\n")
        }
    }

    @Test(arguments: TaskStatus.Phase.allCases)
    func `only a streaming task is ready and only a failed one is ill`(
        phase: TaskStatus.Phase
    ) async throws {
        try await withHealthServer(board: makeBoard(phase: phase)) { port in
            let ready = try await RawHTTP.get("/readyz", port: port)
            let health = try await RawHTTP.get("/healthz", port: port)
            #expect(ready.status.contains(phase == .streaming ? "200" : "503"))
            #expect(health.status.contains(phase == .failed ? "503" : "200"))
            switch phase {
            case .streaming: #expect(ready.body == "ok\n")
            case .standby: #expect(ready.body == "standby: another walrelay runs the task\n")
            default: #expect(ready.body == "not ready: \(phase.rawValue)\n")
            }
        }
    }

    @Test func `a failed task says why in one line`() async throws {
        let board = makeBoard()
        board.record(
            WalrelayError("slot.wal_lost", exit: .checkpointMismatch, "the slot\nis lost"),
            phase: .failed
        )
        try await withHealthServer(board: board) { port in
            let reply = try await RawHTTP.get("/healthz", port: port)
            #expect(reply.status == "HTTP/1.1 503 Service Unavailable")
            #expect(reply.body == "failed: the slot\\nis lost [slot.wal_lost]\n")
        }
    }

    @Test func `a warning is told with 200`() async throws {
        let board = makeBoard()
        board.warn("slot.retention", "The slot\nholds back 6 GiB of WAL")
        try await withHealthServer(board: board) { port in
            let reply = try await RawHTTP.get("/healthz", port: port)
            #expect(reply.status == "HTTP/1.1 200 OK")
            #expect(reply.body == "ok; warning: The slot\\nholds back 6 GiB of WAL\n")
        }
    }

    @Test func `a part that falls silent makes the task ill until it moves again`() async throws {
        let board = makeBoard()
        board.begin(.sink)
        try await withHealthServer(board: board, stallLimit: .milliseconds(20)) { port in
            try await Task.sleep(for: .milliseconds(60))
            let reply = try await RawHTTP.get("/healthz", port: port)
            #expect(reply.status.contains("503"))
            #expect(reply.body.hasPrefix("stuck: sink has not moved for"))
            #expect(
                try await RawHTTP.get("/metrics", port: port).body
                    .contains("walrelay_task_stalled{task=\"orders\"} 1\n")
            )
            board.end(.sink)
            #expect(try await RawHTTP.get("/healthz", port: port).body == "ok\n")
        }
    }

    @Test func `status is the board as JSON`() async throws {
        let board = makeBoard()
        try await withHealthServer(board: board) { port in
            let reply = try await RawHTTP.get("/status?pretty=1", port: port)
            #expect(reply.header("Content-Type") == "application/json")
            #expect(reply.body.hasSuffix("}\n"))
            let status = try JSONDecoder().decode(TaskStatus.self, from: Data(reply.body.utf8))
            #expect(status.task == "orders")
            #expect(status.sink == board.status.sink)
            #expect(status.snapshot == board.status.snapshot)
            #expect(reply.body.contains("\"lastError\" : null"))
        }
    }

    @Test(arguments: HealthRoutes.paths)
    func `HEAD says the length and sends no body`(path: String) async throws {
        try await withHealthServer(board: makeBoard()) { port in
            let head = try await RawHTTP.get(path, port: port, method: "HEAD")
            #expect(head.status == "HTTP/1.1 200 OK")
            #expect(head.body.isEmpty)
            let length = try #require(head.header("Content-Length").flatMap { Int($0) })
            #expect(length > 0)
            let full = try await RawHTTP.get(path, port: port)
            #expect(full.header("Content-Type") == head.header("Content-Type"))
            #expect(full.header("Content-Length") == String(full.body.utf8.count))
            #expect(full.body.hasSuffix("\n"))
        }
    }

    @Test func `other paths are 404 and other methods 405 with Allow`() async throws {
        try await withHealthServer(board: makeBoard()) { port in
            for path in ["/nothing", "/healthzz", "/../etc/passwd", "/status/x", "/%2e%2e/"] {
                let reply = try await RawHTTP.get(path, port: port)
                #expect(reply.status == "HTTP/1.1 404 Not Found", "\(path)")
                #expect(reply.body.hasSuffix("\n"))
            }
            for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
                let reply = try await RawHTTP.get("/status", port: port, method: method)
                #expect(reply.status == "HTTP/1.1 405 Method Not Allowed", "\(method)")
                #expect(reply.header("Allow") == "GET, HEAD")
            }
        }
    }

    @Test(arguments: HealthRoutes.paths + ["/nothing"])
    func `every reply keeps other sites out`(path: String) async throws {
        try await withHealthServer(board: makeBoard()) { port in
            let reply = try await RawHTTP.get(path, port: port)
            #expect(reply.header("Cache-Control") == "no-store")
            #expect(reply.header("X-Content-Type-Options") == "nosniff")
            #expect(reply.header("X-Frame-Options") == "DENY")
            #expect(reply.header("Cross-Origin-Resource-Policy") == "same-origin")
            #expect(reply.header("Referrer-Policy") == "no-referrer")
            #expect(!reply.head.contains("Access-Control"))
            #expect(reply.header("Date")?.hasSuffix(" GMT") == true)
        }
    }

    @Test func `a date is written as HTTP has it`() {
        #expect(HTTPReply.date(784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(HTTPReply.date(951_782_400) == "Tue, 29 Feb 2000 00:00:00 GMT")
    }

    @Test func `a port in use is an error of the settings`() async throws {
        try await withHealthServer(board: makeBoard()) { port in
            let second = HealthService(
                listen: ListenAddress(host: "127.0.0.1", port: port),
                board: makeBoard(),
                logger: quietLogger
            )
            let error = await #expect(throws: WalrelayError.self) { try await second.run() }
            #expect(error?.code == "http.address_in_use")
            let probed = #expect(throws: WalrelayError.self) {
                try ListenAddress(host: "127.0.0.1", port: port).probe()
            }
            #expect(probed == error)
            #expect(error?.exit == .settings)
            #expect(error?.message.contains("127.0.0.1:\(port)") == true)
            #expect(error?.hint.contains("http.listen") == true)
        }
    }

    @Test func `an address that is not of this machine is an error of the settings`() async {
        let service = HealthService(
            listen: ListenAddress(host: "192.0.2.1", port: 0),
            board: makeBoard(),
            logger: quietLogger
        )
        let error = await #expect(throws: WalrelayError.self) { try await service.run() }
        #expect(error?.code == "http.address_unavailable")
    }

    @Test(arguments: ["localhost", "127.0.0.1", "::1"])
    func `names and both families can be listened on`(host: String) async throws {
        let (addresses, continuation) = AsyncStream.makeStream(of: ListenAddress.self)
        let service = HealthService(
            listen: ListenAddress(host: host, port: 0),
            board: makeBoard(),
            logger: quietLogger
        ) { continuation.yield($0) }
        let run = Task {
            defer { continuation.finish() }
            try await service.run()
        }
        let address = await addresses.first { _ in true }
        run.cancel()
        if let address {
            #expect(address.port != 0)
            #expect(["127.0.0.1", "::1"].contains(address.host))
        } else {
            // A machine without IPv6 cannot listen on ::1, and says so.
            #expect(host == "::1")
            let error = await #expect(throws: WalrelayError.self) { try await run.value }
            #expect(error?.code == "http.address_unavailable")
        }
    }

    @Test func `shutdown ends the server while a client keeps its connection open`() async throws {
        let idle = try await withHealthServer(board: makeBoard()) { port in
            // Left open on purpose: the server, whose end is awaited, must end without it.
            let idle = try RawHTTP.connectLoopback(port: port)
            #expect(try await RawHTTP.get("/healthz", port: port).body == "ok\n")
            return idle
        }
        close(idle)
    }
}
