// SPDX-License-Identifier: Apache-2.0
//
// The token, from the settings to the reply: right, wrong, absent, changed under the daemon; and
// what is said of a server that other machines reach.
import Foundation
import Glibc
import Support
import Testing

struct HTTPTokenTests {
    private static let first = "first-token-0123456789"
    private static let second = "second-token-0123456789"

    private static func bearer(_ token: String) -> String { "Authorization: Bearer \(token)" }

    /// Runs `walrelay status` and gives its end and all that it printed.
    private func status(
        _ arguments: [String],
        environment: [String: String] = [:]
    ) async throws -> (exit: Support.ExitStatus, text: String) {
        let command = try DaemonProcess(["status"] + arguments, environment: environment)
        let exit = try await command.wait()
        return (exit, command.stdout + command.stderr)
    }

    @Test
    func `only who has the token reads more than a code, and it can be changed`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("token")
        let port = try FreePort.find()
        let file = try task.files.write(Self.first + "\n", to: "token")
        task.httpPort = port
        task.httpMore = ", tokenFile: token"
        let daemon = try task.start()
        let wire = HTTPWire(port: port)
        try await daemon.until { try wire.get("/readyz").code == 200 }
        #expect(try wire.get("/healthz").body == "ok\n")
        for path in ["/status", "/metrics", "/", "/nothing"] {
            #expect(try wire.get(path).code == 401)
            #expect(try wire.get(path, Self.bearer(Self.second)).code == 401)
            let found = try wire.get(path, Self.bearer(Self.first)).code
            #expect(found == (path == "/nothing" ? 404 : 200))
        }
        let pair = Data("anybody:\(Self.first)".utf8).base64EncodedString()
        #expect(try wire.get("/", "Authorization: Basic \(pair)").body.contains("<html"))
        #expect(try wire.get("/").text.contains("WWW-Authenticate: Basic realm=\"walrelay\""))
        // By any name: who has the token is no page of another site.
        #expect(try wire.get("/status", Self.bearer(Self.first)).body.contains("\"task\""))

        try task.files.write(Self.second, to: "token.new")
        #expect(rename(task.files.file("token.new"), file) == 0)
        #expect(try wire.get("/status", Self.bearer(Self.first)).code == 401)
        #expect(try wire.get("/status", Self.bearer(Self.second)).code == 200)
        try FileManager.default.removeItem(atPath: file)
        #expect(try wire.get("/status", Self.bearer(Self.second)).code == 503)
        #expect(try wire.get("/status").code == 401)
        #expect(try wire.get("/healthz").code == 200)
        try await daemon.waitForLog("The token file \(file) cannot be read")
        try task.files.write(Self.second, to: "token")
        #expect(try wire.get("/status", Self.bearer(Self.second)).code == 200)
        let outcome = try await stopped(task, daemon)
        for token in [Self.first, Self.second] { #expect(!outcome.stderr.contains(token)) }
    }

    private func stopped(_ task: OddTask, _ daemon: DaemonProcess) async throws -> Outcome {
        daemon.kill(SIGTERM)
        let outcome = try await task.outcome(of: daemon)
        #expect(outcome.status == .code(0))
        return outcome
    }

    @Test
    func `status takes the token from the settings, a file or the environment`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("token_status")
        let port = try FreePort.find()
        task.httpPort = port
        task.httpMore = ", token: '${HTTP_TOKEN}'"
        task.environment["HTTP_TOKEN"] = Self.first
        let running = try await task.stream()
        let settings = ["--config", task.files.file("task.yaml")]
        let url = ["--url", "http://127.0.0.1:\(port)"]
        let right = try task.files.write(Self.first, to: "right")
        let wrong = try task.files.write(Self.second, to: "wrong")
        for (arguments, environment) in [
            (settings, ["HTTP_TOKEN": Self.first]), (url + ["--token-file", right], [:]),
            (url, ["WALRELAY_HTTP_TOKEN": Self.first]),
            (settings + ["--token-file", right], ["HTTP_TOKEN": Self.second]),
        ] {
            let found = try await status(arguments, environment: environment)
            #expect(found.exit == .code(0), "\(found.text)")
            #expect(found.text.contains("token_status, streaming"))
        }
        for (arguments, environment, told) in [
            (url, [:], "asks for a token"),
            (url + ["--token-file", wrong], [:], "refuses the token"),
            (url, ["WALRELAY_HTTP_TOKEN": Self.second], "refuses the token"),
            (settings, ["HTTP_TOKEN": Self.second], "refuses the token"),
        ] {
            let found = try await status(arguments, environment: environment)
            #expect(found.exit == .code(77), "\(found.text)")
            #expect(found.text.contains(told))
            #expect(found.text.contains("[status.token_refused]"))
            #expect(!found.text.contains(Self.second))
        }
        let missing = try await status(url + ["--token-file", task.files.file("none")])
        #expect(missing.exit == .code(78), "\(missing.text)")
        _ = try await stopped(task, running)
    }

    @Test
    func `a token that is weak or cannot be read ends run and check`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("token_weak")
        task.httpPort = try FreePort.find()
        task.httpMore = ", tokenFile: token"
        for command in ["run", "check"] {
            try await task.run(command).expectRefusal(
                78,
                "settings.secret_file",
                "The token file \(task.files.file("token")) cannot be read"
            )
        }
        try task.files.write("weak-and-short\n", to: "token")
        for command in ["run", "check"] {
            let outcome = try await task.run(command)
            outcome.expectRefusal(
                78,
                "http.token_weak",
                "has 14 characters",
                "openssl rand -hex 32"
            )
            #expect(!outcome.stderr.contains("weak-and-short"))
        }
        try await task.expectNothingLeft(on: cluster)
    }

    @Test(arguments: [
        ("", "asks for no token"), (", token: '${TOKEN}'", "the token travels in clear"),
        (", behindProxy: true", nil), (", token: '${TOKEN}', behindProxy: true", nil),
    ])
    func `a server that other machines reach is warned of, unless a proxy protects it`(
        more: String,
        warning: String?
    ) async throws {
        var (task, _) = try await SharedCluster.trusting.task(
            "open_\(more.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff })"
        )
        let port = try FreePort.find()
        task.httpPort = port
        task.httpHost = "0.0.0.0"
        task.environment["TOKEN"] = Self.first
        task.httpMore = more
        let check = try await task.run("check", ["--json"])
        #expect(check.status == .code(0))
        let findings = try #require(
            JSONSerialization.jsonObject(with: Data(check.stdout.utf8)) as? [[String: String]]
        ).filter { $0["id"] == "settings.unwise" }
        #expect(findings.map { $0["level"] } == (warning == nil ? [] : ["warning"]))
        let daemon = try await task.stream()
        // Monitors ask by the name of the machine.
        let reply = try HTTPWire(port: port).exchange(
            Array("GET /healthz HTTP/1.1\r\nHost: db.example:1\r\nConnection: close\r\n\r\n".utf8)
        )
        #expect(reply.code == 200)
        let outcome = try await stopped(task, daemon)
        for text in ["asks for no token", "the token travels in clear"] {
            #expect(outcome.stderr.contains(text) == (text == warning))
            #expect((findings.first?["found"] ?? "").contains(text) == (text == warning))
        }
        #expect(!outcome.stderr.contains(Self.first))
    }
}
