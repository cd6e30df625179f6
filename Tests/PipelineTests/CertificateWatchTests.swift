// SPDX-License-Identifier: Apache-2.0
//
// The watch over certificates beside a task, and a task through the moments in which they are
// renewed.

import ChangeModel
import Foundation
import LibPQ
import Logging
import Support
import Synchronization
import Testing

@testable import Pipeline

@Suite struct CertificateWatchTests {
    private static func parameters(
        _ cluster: PostgresCluster,
        _ more: [String: String] = [:]
    ) throws -> ConnectionParameters {
        var parameters = cluster.parameters
        parameters.keywords["sslmode"] = "verify-full"
        parameters.keywords["sslrootcert"] = try TestPKI.shared().serverAuthority.certificate
        parameters.keywords.merge(more) { $1 }
        return parameters
    }

    /// A watch that looks all the time, on a board of a task that streams.
    private static func watch(
        _ parameters: ConnectionParameters,
        _ board: StatusBoard,
        _ stop: StopSignal,
        _ lines: Lines = Lines()
    ) -> CertificateWatch {
        var pace = CertificateWatch.Pace()
        (pace.interval, pace.afterFailure) = (.milliseconds(20), .milliseconds(20))
        let end = CertificateWatch.End(.source, setting: "source", parameters: parameters)
        let log = Logger(label: "watch") { _ in LineHandler(lines: lines) }
        return CertificateWatch([end], board: board, stop: stop, log: log, pace: pace)
    }

    @Test func `a certificate that the server renewed is seen by the next look`() async throws {
        let cluster = try await PostgresCluster.start(
            authentication: .hostssl("trust"),
            tls: .shared()
        )
        let board = StatusBoard(task: "t", version: "0", sinkKind: "memory")
        let stop = StopSignal()
        defer { stop.request() }
        Self.watch(try Self.parameters(cluster), board, stop).start()
        #expect(board.status.certificates == nil, "a task that is checking is left alone")
        board.update { $0.phase = .streaming }
        func subjects() -> [String] {
            (board.status.certificates ?? []).map { "\($0.certificate) \($0.subject)" }
        }
        try await eventually("the first look") {
            subjects() == ["server CN=127.0.0.1", "authority CN=server-authority"]
        }
        let renewed = try TestPKI.shared().serverAuthority.issue(
            "renewed",
            hosts: ["IP:127.0.0.1"]
        )
        try await cluster.present(ServerTLS(renewed))
        try await eventually("the new certificate") { subjects().first == "server CN=renewed" }
        try cluster.stop()
        try await Task.sleep(for: .milliseconds(100))
        #expect(subjects().first == "server CN=renewed", "what was seen stays")
    }

    @Test func `what expires or cannot be read is said once, not each time`() async throws {
        let cluster = try await PostgresCluster.start(
            authentication: .hostssl("trust"),
            tls: .shared(.expired)
        )
        let directory = try TemporaryDirectory()
        let root = directory.file("root.pem")
        var parameters = try Self.parameters(cluster, ["sslmode": "require"])
        parameters.keywords["sslrootcert"] = nil
        let looks = Lines()
        parameters.refresh = { () throws(WalrelayError) in
            looks.add("")
            return looks.all.count > 10 ? ["sslrootcert": root] : [:]
        }
        let board = StatusBoard(task: "t", version: "0", sinkKind: "memory")
        board.update { $0.phase = .streaming }
        let (stop, lines) = (StopSignal(), Lines())
        defer { stop.request() }
        let watch = Self.watch(parameters, board, stop, lines)
        watch.start()
        try await eventually("the file's fault") {
            lines.all.contains { $0.contains("next connection will fail") }
        }
        try await eventually("more looks") { looks.all.count > 20 }
        stop.request()
        watch.waitForEnd()
        #expect(lines.all.count { $0.contains("source server certificate: ") } == 1, "\(lines.all)")
        #expect(lines.all.count { $0.contains("expired on") } == 1)
        #expect(lines.all.count { $0.contains("tls.file_unreadable") } == 1)
        #expect(lines.all.count { $0.contains("source encryption: ") } == 1)
        #expect(lines.all.count == 3)
    }

    @Test func `a server that is never reached by TLS is not looked at`() async throws {
        let cluster = try await PostgresCluster.start()
        let board = StatusBoard(task: "t", version: "0", sinkKind: "memory")
        board.update { $0.phase = .streaming }
        let (stop, looks) = (StopSignal(), Lines())
        var parameters = try Self.parameters(cluster, ["sslmode": "disable"])
        parameters.refresh = { () throws(WalrelayError) in
            looks.add("")
            return [:]
        }
        let watch = Self.watch(parameters, board, stop)
        watch.start()
        stop.request()
        watch.waitForEnd()
        #expect(looks.all.isEmpty)
        #expect(board.status.certificates == nil)
    }

    // MARK: The task

    /// The files of a client, at places where they can be replaced.
    private struct Client {
        let directory = try? TemporaryDirectory()
        let keywords: [String: String]

        init(_ identity: TestIdentity) throws {
            let directory = try #require(directory)
            keywords = [
                "sslcert": directory.file("client.crt"), "sslkey": directory.file("client.key"),
            ]
            try place(identity.certificate, "sslcert")
            try place(identity.key, "sslkey")
        }

        func place(_ file: String, _ keyword: String) throws {
            let path = keywords[keyword] ?? ""
            unlink(path)
            try FileManager.default.copyItem(atPath: file, toPath: path)
            chmod(path, 0o600)
        }
    }

    @Test func `a task lives through a renewal that is half done, and a start does not`()
        async throws
    {
        let pki = try TestPKI.shared()
        let cluster = try await PostgresCluster.start(
            authentication: .hostssl("cert"),
            tls: .shared()
        )
        try cluster.psql("CREATE TABLE t (id int PRIMARY KEY, v text)")
        let (first, second) = try (
            pki.clientAuthority.issue("postgres"), pki.clientAuthority.issue("postgres")
        )
        let client = try Client(first)
        let parameters = try Self.parameters(cluster, client.keywords)
        let store = MemoryStore()
        let task = TaskFixture(cluster, store) { $0.source = parameters }
        func streams(after code: String) async throws {
            try await eventually(code, timeout: .seconds(60)) {
                task.board.status.phase == .reconnecting
                    && task.board.status.lastError?.code == code
            }
        }
        try await eventually("the stream runs") { task.board.status.phase == .streaming }

        try client.place(second.key, "sslkey")
        try await cluster.restart(.immediate)
        try await streams(after: "tls.key_mismatch")
        try client.place(second.certificate, "sslcert")
        try await eventually("the stream runs") { task.board.status.phase == .streaming }

        try await cluster.present(.shared(.otherAuthority))
        try await cluster.restart(.immediate)
        try await streams(after: "source.tls")
        try await cluster.present(.shared())
        try await eventually("the stream runs", timeout: .seconds(60)) {
            task.board.status.phase == .streaming
        }
        try cluster.psql("INSERT INTO t VALUES (1, 'a')")
        try await eventually("the row") { store.lines.count == 1 }
        task.stop.request()
        try await task.end()

        try client.place(first.key, "sslkey")
        let start = TaskFixture(cluster, MemoryStore()) { $0.source = parameters }
        let error = try await start.failure()
        #expect(error.code == "tls.key_mismatch" && error.exit == .settings)
    }
}

/// Lines of a log, in the order in which they came.
private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
}

private struct LineHandler: LogHandler {
    let lines: Lines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.add("\(event.message)") }
}
