// SPDX-License-Identifier: Apache-2.0
//
// The daemon as a service, seen from outside: what it tells systemd over a real datagram socket,
// what it serves over HTTP in each phase, how it ends on a signal, and `walrelay check`.
import Foundation
import FoundationNetworking
import Glibc
import Support
import Synchronization
import Testing

struct ServiceTests {
    // MARK: systemd

    @Test
    func `systemd is told of readiness, progress and stopping`() async throws {
        let (task, cluster) = try await SharedCluster.trusting.task("n_ready")
        let systemd = try NotifySocket()
        let daemon = try task.start(environment: systemd.environment(watchdog: .seconds(1)))
        try await daemon.until { systemd.lines.contains("READY=1") }
        // Ready says that the prerequisites hold.
        #expect(try task.objects(on: cluster).contains("publication \(task.publication)"))
        try await daemon.until { systemd.lines.contains { $0.hasPrefix("STATUS=streaming: ") } }
        let fed = systemd.count("WATCHDOG=1")
        try await daemon.until { systemd.count("WATCHDOG=1") >= fed + 3 }
        let status = try await daemon.stop()
        #expect(status == .code(0))
        try await eventually { systemd.lines.contains("STOPPING=1") }
        let lines = systemd.lines
        #expect(systemd.count("READY=1") == 1)
        #expect(systemd.count("STOPPING=1") == 1)
        let ready = try #require(lines.firstIndex(of: "READY=1"))
        let stopping = try #require(lines.firstIndex(of: "STOPPING=1"))
        #expect(ready < stopping)
        let checking = try #require(lines.firstIndex(of: "STATUS=checking prerequisites"))
        #expect(checking < ready)
    }

    @Test
    func `a task that cannot run is never ready`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("n_unfit")
        task.tables = ["public.none"]
        let systemd = try NotifySocket()
        let daemon = try task.start(environment: systemd.environment(watchdog: .seconds(1)))
        #expect(try await daemon.wait() == .code(77))
        #expect(systemd.count("READY=1") == 0)
        task.tables = ["public.orders"]
        task.port = try FreePort.find()
        let waiting = try task.start(environment: systemd.environment(watchdog: .seconds(1)))
        // While it cannot reach the server it lives, asks for time, and is not ready.
        try await waiting.until { systemd.count("EXTEND_TIMEOUT_USEC=60000000") > 0 }
        try await waiting.until {
            systemd.lines.contains { $0.hasPrefix("STATUS=reconnecting: connecting to the source") }
        }
        #expect(try await waiting.stop() == .code(0))
        #expect(systemd.count("READY=1") == 0)
    }

    @Test(.enabled(if: OddTask.hasFailpoints))
    func `a sink that hangs starves the watchdog and is told by healthz`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("n_hang")
        task.httpPort = try FreePort.find()
        let systemd = try NotifySocket()
        var environment = systemd.environment(watchdog: .seconds(1))
        environment["WALRELAY_FAILPOINT_PAUSE"] = "sink.before_write=90s"
        let daemon = try task.start(environment: environment)
        try await daemon.until {
            systemd.lines.contains { $0.hasPrefix("STATUS=stuck: sink has not moved") }
        }
        #expect(try await task.get("/healthz").code == 200)
        try await daemon.until(.seconds(60), "healthz to say 503") {
            try await task.get("/healthz").code == 503
        }
        // Not fed between the last two lines, ten seconds apart: systemd would have ended it.
        let lines = systemd.lines
        let stuck = lines.indices.filter { lines[$0].hasPrefix("STATUS=stuck: sink has not moved") }
        #expect(stuck.count >= 2)
        #expect(!lines[(stuck.suffix(2).first ?? 0)...].contains("WATCHDOG=1"))
        #expect(try await task.get("/healthz").body.hasPrefix("stuck: sink has not moved for "))
        #expect(try await task.get("/metrics").body.contains("walrelay_task_stalled"))
        daemon.kill(SIGKILL)
        try await daemon.wait()
        try await task.catchUp()
        #expect(try task.ids() == ["1", "2"])
    }

    // MARK: HTTP

    @Test
    func `health, readiness and status follow the phases`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(SharedCluster.orders)
        try cluster.stop()
        var task = try OddTask("h_phases", on: cluster)
        task.httpPort = try FreePort.find()
        let daemon = try task.start()
        func expectPhase(_ phase: String, ready: Int) async throws {
            try await daemon.until(.seconds(60), "phase \(phase)") {
                try await task.statusDocument()["phase"] as? String == phase
            }
            #expect(try await task.get("/healthz").code == 200)
            try await daemon.until { try await task.get("/readyz").code == ready }
            let metrics = try await task.get("/metrics").body
            #expect(metrics.contains("walrelay_task_phase"))
        }
        try await expectPhase("reconnecting", ready: 503)
        let failure = try await task.statusDocument()["lastError"] as? [String: Any]
        #expect(failure?["code"] as? String == "source.unreachable")
        #expect((failure?["message"] as? String)?.contains("127.0.0.1:\(cluster.port)") == true)
        try await cluster.start()
        try await expectPhase("streaming", ready: 200)
        try cluster.stop(mode: .immediate)
        try await expectPhase("reconnecting", ready: 503)
        #expect(try await task.get("/readyz").body.contains("not ready: "))
        try await cluster.start()
        try cluster.psql("INSERT INTO orders VALUES (3)")
        try await expectPhase("streaming", ready: 200)
        try await daemon.until { try task.ids() == ["1", "2", "3"] }
        #expect(try await task.get("/nonsense").code == 404)
        #expect(try await task.get("/").body.contains("<html"))
        #expect(try await daemon.stop() == .code(0))
    }

    @Test
    func `every key of the status has a sensible value under load`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("h_load")
        task.httpPort = try FreePort.find()
        let daemon = try task.start()
        let load = try Load(cluster, database: task.database, files: task.files)
        defer { load.end() }
        try await daemon.until(.seconds(60), "a status with all values") {
            let status = try await task.statusDocument()
            let source = status["source"] as? [String: Any] ?? [:]
            let stream = status["stream"] as? [String: Any] ?? [:]
            return status["phase"] as? String == "streaming" && source["lagBytes"] is Int
                && stream["lagMilliseconds"] is Int
                && stream["changesPerSecond"] as? Double ?? 0 > 1
        }
        let status = try await task.statusDocument()
        #expect(
            Set(status.keys) == [
                "task", "phase", "version", "source", "snapshot", "stream", "sink", "certificates",
                "lastError", "standby", "warnings", "recentErrors", "startedAt", "uptimeSeconds",
            ]
        )
        #expect(status["task"] as? String == "h_load")
        #expect(status["lastError"] is NSNull)
        try expectSource(try #require(status["source"] as? [String: Any]), task, cluster)
        let stream = try #require(status["stream"] as? [String: Any])
        #expect(
            Set(stream.keys) == [
                "tables", "receivedLSN", "durableLSN", "changes", "transactions",
                "changesPerSecond", "lagMilliseconds",
            ]
        )
        #expect(try lsn(stream["durableLSN"]) <= lsn(stream["receivedLSN"]))
        let (changes, transactions) = (stream["changes"] as? Int, stream["transactions"] as? Int)
        #expect(try #require(changes) >= #require(transactions))
        #expect(try #require(transactions) > 0)
        #expect((0..<60_000).contains(try #require(stream["lagMilliseconds"] as? Int)))
        let snapshot = try #require(status["snapshot"] as? [String: Any])
        let table = try #require((snapshot["tables"] as? [[String: Any]])?.first)
        #expect(table["table"] as? String == "public.orders")
        #expect(table["state"] as? String == "done")
        #expect(table["rowsCopied"] as? Int ?? 0 >= 2)
        #expect(table["bytesCopied"] as? Int ?? 0 > 0)
        #expect(table.keys.contains("rowsEstimated"))
        #expect((status["sink"] as? [String: Any])?["kind"] as? String == "ndjson")
        #expect(try await daemon.stop() == .code(0))
    }

    private func expectSource(
        _ source: [String: Any],
        _ task: OddTask,
        _ cluster: PostgresCluster
    ) throws {
        #expect(
            Set(source.keys) == [
                "serverVersion", "systemIdentifier", "slot", "publication", "walLSN", "restartLSN",
                "confirmedFlushLSN", "lagBytes", "retainedBytes", "walStatus", "retention",
            ]
        )
        let version = try cluster.psql("SHOW server_version")
        #expect(version.hasPrefix(source["serverVersion"] as? String ?? "?"))
        #expect(
            source["systemIdentifier"] as? String
                == (try cluster.psql("SELECT system_identifier FROM pg_control_system()"))
        )
        #expect(source["slot"] as? String == task.slot)
        #expect(source["publication"] as? String == task.publication)
        #expect(source["walStatus"] as? String == "reserved")
        #expect(try lsn(source["restartLSN"]) <= lsn(source["confirmedFlushLSN"]))
        #expect(try lsn(source["confirmedFlushLSN"]) <= lsn(source["walLSN"]))
        let behind = try lsn(source["walLSN"]) - lsn(source["confirmedFlushLSN"])
        #expect(source["lagBytes"] as? UInt64 == behind)
        #expect(source["retainedBytes"] as? UInt64 ?? 0 >= behind)
    }

    private func lsn(_ value: Any?) throws -> UInt64 {
        let parts = try #require(value as? String).split(separator: "/")
        return try #require(UInt64(parts[0], radix: 16)) << 32
            | #require(UInt64(parts[1], radix: 16))
    }

    // MARK: Signals

    @Test(arguments: [SIGTERM, SIGINT])
    func `a signal drains, and the next run has everything once`(signal: Int32) async throws {
        let (task, cluster) = try await SharedCluster.trusting.task("drain_\(signal)")
        let load = try Load(cluster, database: task.database, files: task.files)
        defer { load.end() }
        for _ in 0..<3 {
            let daemon = try await task.stream()
            try await Task.sleep(for: .milliseconds(300))
            daemon.kill(signal)
            #expect(try await task.outcome(of: daemon, .seconds(30)).status == .code(0))
            // What the server was told is what the sink holds.
            let position = try task.events.checkpoint()?["position"] as? String
            try await eventually(timeout: .seconds(5)) {
                try task.slot("confirmed_flush_lsn", on: cluster) == position
            }
        }
        load.end()
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '\(task.database)' "
            + "AND application_name = 'pgbench'"
        try await eventually { try cluster.psql(sessions) == "0" }
        try await task.catchUp()
        let ids = try cluster.psql("SELECT id FROM orders ORDER BY id", database: task.database)
        let expected = ids.components(separatedBy: "\n")
        #expect(expected.count > 10)
        #expect(try task.ids().sorted { Int($0) ?? 0 < Int($1) ?? 0 } == expected)
    }

    // MARK: check

    @Test
    func `check tells what it found and changes nothing`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("check_it")
        let good = try await task.run("check")
        #expect(good.status == .code(0))
        #expect(good.stdout.contains("wal_level"))
        #expect(good.stdout.contains("public.orders"))
        #expect(good.stdout.hasSuffix("0 failed\n"))
        #expect(good.stderr.isEmpty)
        let json = try await task.run("check", ["--json"])
        #expect(json.status == .code(0))
        let findings = try #require(
            JSONSerialization.jsonObject(with: Data(json.stdout.utf8)) as? [[String: String]]
        )
        #expect(findings.count > 8)
        #expect(
            findings.allSatisfy { Set($0.keys) == ["id", "level", "subject", "found", "mend"] }
        )
        #expect(!findings.contains { $0["level"] == "failed" })
        task.tables = ["public.orders", "public.oders"]
        let bad = try await task.run("check", ["--json"])
        #expect(bad.status == .code(77))
        let failed = try #require(
            JSONSerialization.jsonObject(with: Data(bad.stdout.utf8)) as? [[String: String]]
        ).filter { $0["level"] == "failed" }
        #expect(failed.map { $0["id"] } == ["table.missing"])
        #expect(failed.first?["mend"] == "correct tables.include: public.orders")
        let text = try await task.run("check")
        #expect(text.status == .code(77))
        #expect(text.stdout.contains("failed  public.oders"))
        #expect(text.stdout.hasSuffix("1 failed\n"))
        try await task.expectNothingLeft(on: cluster)
        #expect(!FileManager.default.fileExists(atPath: task.sinkDirectory))
    }
}

// MARK: - Fixtures

extension OddTask {
    /// Whether the daemon under test has failpoints: the one that was built with the tests has.
    static var hasFailpoints: Bool {
        (ProcessInfo.processInfo.environment["WALRELAY_BINARY"] ?? "").isEmpty
    }

    /// A reply of the task's HTTP server.
    func get(_ path: String) async throws -> (code: Int, body: String) {
        guard let port = httpPort, let url = URL(string: "http://127.0.0.1:\(port)\(path)") else {
            throw SupportError("the task serves no HTTP")
        }
        let (data, response) = try await URLSession.shared.data(for: URLRequest(url: url))
        let code = (response as? HTTPURLResponse)?.statusCode ?? 0
        return (code, String(decoding: data, as: UTF8.self))
    }

    /// The document of /status.
    func statusDocument() async throws -> [String: Any] {
        let body = try await get("/status").body
        return try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any] ?? [:]
    }
}

/// Inserts rows with growing ids from two sessions until it is ended.
final class Load: Sendable {
    private let pgbench: ChildProcess

    init(_ cluster: PostgresCluster, database: String, files: TemporaryDirectory) throws {
        try cluster.psql(
            "CREATE SEQUENCE ids START 100; ALTER TABLE orders ALTER id SET DEFAULT nextval('ids')",
            database: database
        )
        let script = try files.write("INSERT INTO orders (note) VALUES ('load');\n", to: "load.sql")
        pgbench = try cluster.spawn(
            "pgbench",
            ["-n", "-c", "2", "-T", "120", "-R", "400", "-f", script, database]
        )
    }

    /// Ends it; a second time does nothing.
    func end() {
        pgbench.signal(SIGKILL)
        _ = pgbench.waitBlocking(.seconds(5))
    }
}

/// The end of the notification socket that systemd holds; keeps every line that came.
final class NotifySocket: Sendable {
    private let directory: TemporaryDirectory
    private let descriptor: Int32
    private let received = Mutex<[String]>([])

    init() throws {
        directory = try TemporaryDirectory()
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = directory.file("notify")
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0 else { throw SupportError("bind \(path): \(errno)") }
        Thread.detachNewThread { [weak self, descriptor] in
            var buffer = [UInt8](repeating: 0, count: 8_192)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count > 0, let self else { return }
                let text = String(decoding: buffer[..<count], as: UTF8.self)
                self.received.withLock { $0 += text.components(separatedBy: "\n") }
            }
        }
    }

    deinit {
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
    }

    /// What systemd gives the daemon.
    func environment(watchdog: Duration) -> [String: String] {
        let microseconds = watchdog.components.seconds * 1_000_000
        return [
            "NOTIFY_SOCKET": directory.file("notify"), "WATCHDOG_USEC": "\(microseconds)",
        ]
    }

    /// Every line so far.
    var lines: [String] { received.withLock { $0 } }

    /// How often a line came.
    func count(_ line: String) -> Int { lines.count { $0 == line } }
}
