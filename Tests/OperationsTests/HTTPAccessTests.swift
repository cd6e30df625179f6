// SPDX-License-Identifier: Apache-2.0
//
// Who is answered: with a token, without one, and under which names.

import ChangeModel
import Foundation
import Logging
import Pipeline
import Synchronization
import Testing

@testable import Operations

@Suite struct HTTPAccessTests {
    private static let secret = "0123456789abcdef-token"

    private static func basic(_ pair: String) -> String {
        "Basic " + Data(pair.utf8).base64EncodedString()
    }

    private static let access = HTTPAccess(
        token: AccessToken(logger: quietLogger) { () throws(WalrelayError) in secret }
    )

    private func code(
        _ path: String,
        _ authorization: String? = nil,
        access: HTTPAccess = Self.access,
        host: String? = "h"
    ) -> Int {
        var request = HTTPRequest(method: "GET", path: path, host: host)
        request.authorization = authorization
        return HealthRoutes(board: makeBoard(), access: access).reply(to: request).code
    }

    @Test(arguments: [
        "Bearer \(secret)", "bearer \(secret)", basic("admin:\(secret)"), basic(":\(secret)"),
        "BASIC " + Data("x:\(secret)".utf8).base64EncodedString(),
    ])
    func `the token opens every page`(authorization: String) {
        for path in HealthRoutes.paths { #expect(code(path, authorization) == 200) }
        #expect(code("/nothing", authorization) == 404)
    }

    @Test(arguments: [
        nil, "", "Bearer", "Bearer ", "Bearer x", "Bearer \(secret)x",
        "Bearer \(secret.dropLast())",
        "Bearer \(secret)\(secret)", "Bearer  \(secret)", "Basic \(secret)", "Basic !", secret,
        basic(secret), basic("\(secret):"), basic("x:\(secret):"), "Digest \(secret)",
    ])
    func `anything else opens only what probes ask`(authorization: String?) {
        for path in ["/", "/status", "/metrics", "/nothing"] {
            #expect(code(path, authorization) == 401, "\(path)")
        }
        for path in HealthRoutes.probes { #expect(code(path, authorization) == 200) }
    }

    @Test func `a browser is asked for a password`() {
        let reply = HealthRoutes(board: makeBoard(), access: Self.access)
            .reply(to: HTTPRequest(method: "GET", path: "/", host: "h"))
        #expect(
            reply.headers.filter { $0.name == "WWW-Authenticate" }.map(\.value)
                == ["Basic realm=\"walrelay\"", "Bearer realm=\"walrelay\""]
        )
    }

    @Test func `a probe without the token is told no warning`() {
        let board = makeBoard()
        board.warn("slot.retention", "slot secret_name holds back much")
        let routes = HealthRoutes(board: board, access: Self.access)
        var request = HTTPRequest(method: "GET", path: "/healthz", host: "h")
        #expect(routes.reply(to: request).body == "ok\n")
        request.authorization = "Bearer \(Self.secret)"
        #expect(routes.reply(to: request).body.contains("secret_name"))
    }

    @Test func `a probe without the token is told no reason`() {
        let board = makeBoard()
        board.record(
            WalrelayError("slot.wal_lost", exit: .checkpointMismatch, "slot secret_name is lost"),
            phase: .failed
        )
        let routes = HealthRoutes(board: board, access: Self.access)
        for path in HealthRoutes.probes {
            var request = HTTPRequest(method: "GET", path: path, host: "h")
            let told = routes.reply(to: request)
            #expect(told.code == 503)
            #expect(told.body.hasPrefix("not ok;"))
            request.authorization = "Bearer \(Self.secret)"
            let reason = routes.reply(to: request)
            #expect(reason.code == 503)
            #expect(reason.body.contains(path == "/healthz" ? "secret_name" : "not ready: failed"))
        }
    }

    @Test func `the token is that of the moment, and none where it cannot be read`() {
        final class File: Sendable {
            let token = Mutex<String?>(HTTPAccessTests.secret)
        }
        final class LoggedText: Sendable {
            let lines = Mutex<[String]>([])
        }
        let file = File()
        let log = LoggedText()
        let output = LogOutput(
            style: LogStyle(format: .text, isColoured: false, isJournal: false),
            now: { UTCTimestamp(unixMilliseconds: 0) },
            sink: { line in log.lines.withLock { $0.append(line) } }
        )
        let logger = Logger(label: "http") { _ in
            LineLogHandler(output: output)
        }
        let token = AccessToken(logger: logger) { () throws(WalrelayError) in
            guard let token = file.token.withLock(\.self) else {
                throw WalrelayError("settings.secret_file", exit: .settings, "it is gone")
            }
            return token
        }
        let access = HTTPAccess(token: token)
        #expect(code("/status", "Bearer \(Self.secret)", access: access) == 200)
        file.token.withLock { $0 = "another-token-of-now" }
        #expect(code("/status", "Bearer \(Self.secret)", access: access) == 401)
        #expect(code("/status", "Bearer another-token-of-now", access: access) == 200)
        file.token.withLock { $0 = nil }
        for _ in 0..<3 {
            #expect(code("/status", "Bearer another-token-of-now", access: access) == 503)
            #expect(code("/status", access: access) == 401)
            #expect(code("/healthz", access: access) == 200)
        }
        output.flush()
        let logged = log.lines.withLock(\.self)
        #expect(logged.count == 1)
        #expect(logged.first?.contains("it is gone [settings.secret_file]") == true)
        file.token.withLock { $0 = "another-token-of-now" }
        #expect(code("/status", "Bearer another-token-of-now", access: access) == 200)
    }

    @Test func `a wish is taken with a token, or on loopback without one`() {
        let board = makeBoard()
        board.update { $0.phase = .streaming }
        func code(_ access: HTTPAccess, _ authorization: String? = nil) -> Int {
            var request = HTTPRequest(method: "POST", path: HealthRoutes.snapshot, host: "[::1]")
            request.authorization = authorization
            request.tables = "public.a"
            return HealthRoutes(board: board, access: access, ask: { _ in true })
                .reply(to: request).code
        }
        #expect(code(HTTPAccess()) == 403)
        #expect(code(HTTPAccess(localNames: ["localhost"])) == 202)
        #expect(code(Self.access) == 401)
        #expect(code(Self.access, "Bearer \(Self.secret)") == 202)
    }

    @Test func `on loopback a page of another name is not answered`() {
        let access = HTTPAccess(localNames: ["Box"])
        for host in [
            nil, "127.0.0.1", "127.0.0.1:8085", "10.1.2.3", "[::1]", "[::1]:8085", "localhost",
            "LOCALHOST:9", "localhost.", "a.localhost:1", "box", "BOX:8085", "box.",
        ] {
            #expect(code("/status", access: access, host: host) == 200, "\(host ?? "nil")")
        }
        for host in [
            "", "evil.example", "evil.example:8085", "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil", "xlocalhost", "0x7f.1", "2130706433",
        ] {
            #expect(code("/status", access: access, host: host) == 421, "\(host)")
            #expect(code("/healthz", access: access, host: host) == 421, "\(host)")
            #expect(code("/status", access: HTTPAccess(), host: host) == 200)
        }
    }
}
