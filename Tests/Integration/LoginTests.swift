// SPDX-License-Identifier: Apache-2.0
//
// Every way to prove who one is, at the source and at the target alike, and passwords that change
// while the task runs.
import Foundation
import Support
import Testing

struct LoginTests {
    private static let shared = Task { try await LoginServer() }

    /// Expects that a command ended so, without a word of the password.
    private static func expect(
        _ daemon: DaemonProcess,
        _ code: Int32,
        _ texts: String...
    ) async throws {
        let status = try await daemon.wait()
        let output = daemon.stdout + daemon.stderr
        #expect(status == .code(code), "\(output.suffix(3_000))")
        for text in texts { #expect(output.contains(text), "\(text) in: \(output.suffix(3_000))") }
        #expect(!output.contains(LoginServer.password))
    }

    // MARK: Ways

    @Test(.serialized, arguments: LoginWay.allCases)
    func `both ends are reached in every way`(way: LoginWay) async throws {
        let server = try await Self.shared.value
        let task = try LoginTask(server, by: way)
        try await Self.expect(task.start("run", ["--until", "now"]), 0)
        #expect(try server.copied() == "1")
        let check = try task.start("check", ["--json"])
        try await Self.expect(check, 0)
        let method = way == .certificate ? "by the client's certificate" : "scram-sha-256"
        #expect(check.stdout.ranges(of: "\"login.method\"").count == 2)
        #expect(check.stdout.ranges(of: method).count == 2, "\(check.stdout)")
        try await Self.expect(task.start("teardown", ["--yes"]), 0)
        try server.cluster.psql("DROP TABLE t", database: "copy")
    }

    @Test(arguments: [true, false])
    func `a password that is not right is refused at once, with the end's own settings`(
        isSource: Bool
    ) async throws {
        let server = try await Self.shared.value
        // Beside a task that runs at the same server it would wait as its standby.
        var task = try LoginTask(server)
        task.name = "wrong"
        let end = ["user: \(LoginServer.role)", "password: '\(LoginServer.password)-but-wrong'"]
        if isSource { task.source = end } else { task.sink = end }
        let section = isSource ? "source" : "sink.postgresql"
        try await Self.expect(
            task.start(),
            77,
            isSource ? "[source.login_refused]" : "[sink.login_refused]",
            "check \(section).user, the password"
        )
    }

    // MARK: Methods

    @Test(arguments: [("md5", "md5"), ("password", "password in clear"), ("trust", "trust")])
    func `a weak method works and is warned of once at each end`(
        method: String,
        word: String
    ) async throws {
        let server = try await LoginServer(method)
        var task = try LoginTask(server, by: .file)
        task.source.append("tls: { mode: disable }")
        task.sink.append("tls: { mode: disable }")
        let check = try task.start("check", ["--json"])
        try await Self.expect(check, 0)
        // Whoever is let in without proof from this machine only is no news.
        let isWarned = method != "trust"
        if isWarned {
            #expect(check.stdout.ranges(of: word).count >= 2, "\(check.stdout)")
            #expect(
                check.stdout.contains("ALTER SYSTEM SET password_encryption") == (word == "md5")
            )
        }
        task.more = "retry: { for: 1m }"
        let daemon = try task.start()
        try await daemon.waitForLog("streaming")
        try server.endSessions(of: LoginServer.role)
        try await daemon.waitForLog("trying again")
        try server.cluster.psql("INSERT INTO t VALUES (2)", database: "shop")
        try await daemon.until { try server.copied() == "1,2" }
        #expect(try await daemon.stop() == .code(0))
        let warnings = daemon.stderr.ranges(of: "check=login.method").count
        #expect(warnings == (isWarned ? 2 : 0), "\(daemon.stderr)")
    }

    // MARK: Rotation

    @Test(arguments: [true, false])
    func `a password changes at the server first, and the task waits for the file`(
        isSource: Bool
    ) async throws {
        let server = try await LoginServer()
        var task = try LoginTask(server)
        let end = try task.lines(for: .file)
        if isSource { task.source = end } else { task.sink = end }
        let daemon = try task.start()
        try await daemon.waitForLog("streaming")
        let next = "next-\(LoginServer.password)"
        try server.changePassword(to: next)
        try server.cluster.psql("INSERT INTO t VALUES (2)", database: "shop")
        try await daemon.waitForLog(isSource ? "source.login_refused" : "sink.login_refused")
        // While it is replaced there may be no file at all.
        try FileManager.default.removeItem(atPath: task.files.file("password"))
        try await Task.sleep(for: .milliseconds(500))
        try task.writeSecret(next + "\n", to: "password")
        try await daemon.until { try server.copied() == "1,2" }
        // And once more in the other order.
        try task.writeSecret("third\n", to: "password")
        try server.changePassword(to: "third")
        try server.cluster.psql("INSERT INTO t VALUES (3)", database: "shop")
        try await daemon.until { try server.copied() == "1,2,3" }
        #expect(try await daemon.stop() == .code(0))
        #expect(!daemon.stderr.contains(LoginServer.password))
    }

    @Test(arguments: [true, false])
    func `a password that stays wrong ends a running task after retry for`(
        isSource: Bool
    ) async throws {
        let server = try await LoginServer()
        var task = try LoginTask(server)
        let end = try task.lines(for: .file)
        if isSource { task.source = end } else { task.sink = end }
        task.more = "retry: { for: 2s }"
        let daemon = try task.start()
        try await daemon.waitForLog("streaming")
        try server.changePassword(to: "another")
        try server.cluster.psql("INSERT INTO t VALUES (2)", database: "shop")
        try await Self.expect(
            daemon,
            77,
            isSource ? "[source.login_refused]" : "[sink.login_refused]",
            "(tried for"
        )
    }
}
