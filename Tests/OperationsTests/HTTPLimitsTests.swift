// SPDX-License-Identifier: Apache-2.0
//
// What a client may take, on a real socket: bytes, time, places. The server closes each connection
// of these tests by itself, which is what ends the reading of its reply.

import Foundation
import Glibc
import Pipeline
import Support
import Testing

@testable import Operations

@Suite(.timeLimit(.minutes(2))) struct HTTPLimitsTests {
    private static let get = "GET /healthz HTTP/1.1\r\nHost: h\r\n"

    private func exchange(_ text: String, halfClose: Bool = false) async throws -> String {
        try await withHealthServer(board: makeBoard()) { port in
            try await RawHTTP.exchange(text, port: port, halfClose: halfClose)
        }
    }

    private func codes(_ text: String) -> [String] {
        text.components(separatedBy: "HTTP/1.1 ").dropFirst().map { String($0.prefix(3)) }
    }

    /// What each client sends, by what is wrong with it; too long to stand in a test's name.
    private static let faulty: [String: (text: String, code: String)] = [
        "no HTTP": ("GET\r\n\r\n", "400"), "TLS": ("\u{16}\u{3}\u{1}", "400"),
        "bare LF": ("GET / HTTP/1.1\n\n", "400"), "HTTP/2": ("PRI * HTTP/2.0\r\n", "505"),
        "long target": ("GET /" + long, "414"), "long header": (get + "X: " + long, "431"),
        "many headers": (get + String(repeating: "X: a\r\n", count: 10_000), "431"),
        "body": (get + "Content-Length: 3\r\n\r\nabc", "413"),
        "long body": (get + "Content-Length: 9999999999\r\n\r\n" + long, "413"),
        "chunks": (get + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "413"),
        "body to be asked for": (
            get + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", "413"
        ),
        "POST": ("POST /status HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "405"),
        "PUT": ("PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "404"),
    ]
    private static let long = String(repeating: "a", count: 1 << 20)

    @Test(arguments: faulty.keys.sorted())
    func `what is too large or malformed gets its code, and the connection ends`(
        name: String
    ) async throws {
        let (text, code) = try #require(Self.faulty[name])
        let reply = try await exchange(text)
        #expect(codes(reply) == [code])
        #expect(RawHTTP.reply(reply).header("Connection") == "close")
    }

    @Test func `requests on one connection are answered in their order`() async throws {
        let head = "HEAD /readyz HTTP/1.1\r\nHost: h\r\n\r\n"
        let other = "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
        let last = Self.get + "Connection: close\r\n\r\n"
        let reply = try await exchange(Self.get + "\r\n" + head + other + last + other)
        #expect(codes(reply) == ["200", "200", "404", "200"])
    }

    @Test func `a connection serves a hundred requests`() async throws {
        let reply = try await exchange(String(repeating: Self.get + "\r\n", count: 150))
        #expect(codes(reply).count == HTTPLimits.requestsPerConnection)
        #expect(reply.components(separatedBy: "Connection: close").count == 2)
    }

    @Test func `a client that has closed its side is answered`() async throws {
        #expect(codes(try await exchange(Self.get + "\r\n", halfClose: true)) == ["200"])
        #expect(codes(try await exchange("GET / HT", halfClose: true)) == ["400"])
        #expect(try await exchange("", halfClose: true) == "")
    }

    @Test func `an old client gets one answer and the end`() async throws {
        let reply = try await exchange("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(codes(reply) == ["200"])
    }

    @Test func `a client that is silent is let go, one that began is told 408`() async throws {
        let times = HTTPTimes(exchange: .seconds(1), leave: .milliseconds(50))
        try await withHealthServer(board: makeBoard(), times: times) { port in
            #expect(try await RawHTTP.exchange("", port: port) == "")
            let slow = try await RawHTTP.exchange("GET / HTTP/1.1\r\nHost: ", port: port)
            #expect(RawHTTP.reply(slow).status == "HTTP/1.1 408 Request Timeout")
            #expect(try await RawHTTP.exchange(Self.get + "\r\n", port: port).hasSuffix("ok\n"))
        }
    }

    @Test func `a client that trickles has as little time as a silent one`() async throws {
        let times = HTTPTimes(exchange: .seconds(1), leave: .seconds(10))
        try await withHealthServer(board: makeBoard(), times: times) { port in
            let descriptor = try RawHTTP.connectLoopback(port: port)
            defer { close(descriptor) }
            let (sent, isLetGo) = try await blocking { () -> (Int, Bool) in
                var sent = 0
                var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                let end = ContinuousClock.now + .seconds(10)
                repeat {
                    sent += send(descriptor, "x", 1, Int32(MSG_NOSIGNAL))
                    if poll(&wait, 1, 5) == 1 { return (sent, true) }
                } while .now < end
                return (sent, false)
            }
            // Each byte came well within the limit: had each a limit of its own, none would end.
            #expect(isLetGo, "after \(sent) bytes")
        }
    }

    @Test func `a client that does not read is let go`() async throws {
        let board = makeBoard()
        board.update { status in
            status.snapshot.tables = (0..<60_000).map { .init(table: "public.t\($0)") }
        }
        let whole = HealthRoutes(board: board)
            .reply(to: HTTPRequest(method: "GET", path: "/status", host: "h")).body.utf8.count
        let times = HTTPTimes(exchange: .seconds(1), leave: .milliseconds(50))
        try await withHealthServer(board: board, times: times) { port in
            let request = "GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            let descriptor = try RawHTTP.connectLoopback(port: port)
            defer { close(descriptor) }
            _ = send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL))
            try await eventually("the connection is reset") {
                var wait = pollfd(fd: descriptor, events: 0, revents: 0)
                return poll(&wait, 1, 0) == 1 && wait.revents & Int16(POLLHUP | POLLERR) != 0
            }
            let taken = try await blocking {
                var (taken, buffer) = (0, [UInt8](repeating: 0, count: 65_536))
                while case let count = recv(descriptor, &buffer, buffer.count, 0), count > 0 {
                    taken += count
                }
                return taken
            }
            #expect(taken < whole)
        }
    }

    @Test func `replies that nobody reads have a bound all together`() async throws {
        let board = makeBoard()
        board.update { status in
            status.snapshot.tables = (0..<18_000).map { .init(table: "public.t\($0)") }
        }
        let times = HTTPTimes(exchange: .seconds(60))
        try await withHealthServer(board: board, times: times) { port in
            let request = "GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            let whole = try await RawHTTP.exchange(request, port: port).utf8.count
            // Two fit, three do not: then the first two of four have to go.
            #expect(whole * 2 < HTTPLimits.replyBytes && whole * 3 > HTTPLimits.replyBytes)
            let deaf = try (0..<4).map { _ in
                let descriptor = try RawHTTP.connectLoopback(port: port)
                _ = send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL))
                usleep(20_000)
                return descriptor
            }
            defer { for descriptor in deaf { close(descriptor) } }
            func isReset(_ descriptor: Int32) -> Bool {
                var wait = pollfd(fd: descriptor, events: 0, revents: 0)
                return poll(&wait, 1, 0) == 1 && wait.revents & Int16(POLLHUP | POLLERR) != 0
            }
            // Sooner than any of them has to be done.
            try await eventually("two make room", timeout: .seconds(50)) {
                deaf.map(isReset) == [true, true, false, false]
            }
        }
    }

    @Test func `who comes when all places are taken gets the oldest one`() async throws {
        try await withHealthServer(board: makeBoard(), clientLimit: 2) { port in
            let clients = try (0..<2).map { _ in
                let descriptor = try RawHTTP.connectLoopback(port: port)
                usleep(5_000)
                return descriptor
            }
            defer { for descriptor in clients { close(descriptor) } }
            #expect(try await RawHTTP.get("/healthz", port: port).body == "ok\n")
            let told = try await blocking {
                var buffer = [UInt8](repeating: 0, count: 4096)
                let count = recv(clients[0], &buffer, buffer.count, 0)
                return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
            }
            #expect(told.hasPrefix("HTTP/1.1 503 "))
            var wait = pollfd(fd: clients[1], events: Int16(POLLIN), revents: 0)
            #expect(poll(&wait, 1, 0) == 0)
        }
    }
}
