// SPDX-License-Identifier: Apache-2.0
//
// A slot that holds back too much WAL, as its operator sees it: in the log, over HTTP, by `status`
// and `check`, before and after; and the end of it, where the settings ask for one.
import Foundation
import FoundationNetworking
import Glibc
import Support
import Testing

@Suite struct RetentionTests {
    /// A server on which an open transaction keeps every slot from letting go of WAL.
    private struct Held {
        let cluster: PostgresCluster
        let task: RelayTask

        init(_ version: PostgresVersion, slot: String, limit: String? = nil) async throws {
            cluster = try await PostgresCluster.start(
                version: version,
                settings: limit.map { ["max_slot_wal_keep_size": $0] } ?? [:]
            )
            try cluster.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
            task = try RelayTask(cluster, more: "slot: { \(slot) }")
        }

        /// Opens a transaction; the server's session ends with the process.
        func hold() async throws -> ChildProcess {
            let session = try cluster.spawn(
                "psql",
                [
                    "-d", "postgres", "-c",
                    "BEGIN; INSERT INTO t VALUES (-1); SELECT pg_sleep(600)",
                ]
            )
            try await eventually("the transaction is open") {
                try cluster.psql(
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL "
                        + "AND query LIKE 'BEGIN%'"
                ) == "1"
            }
            return session
        }

        func writeWAL() throws {
            for _ in 0..<3 {
                try cluster.psql("CREATE TABLE w AS SELECT 1; DROP TABLE w; SELECT pg_switch_wal()")
            }
        }

        func get(_ path: String) async throws -> (code: Int, body: String) {
            let url = try #require(URL(string: "http://127.0.0.1:\(task.port)\(path)"))
            let (data, response) = try await URLSession.shared.data(for: URLRequest(url: url))
            return (
                (response as? HTTPURLResponse)?.statusCode ?? 0,
                String(decoding: data, as: UTF8.self)
            )
        }

        func retention() async throws -> [String: Any] {
            let source = try await task.status()["source"] as? [String: Any]
            return source?["retention"] as? [String: Any] ?? [:]
        }
    }

    @Test(
        .timeLimit(.minutes(5)),
        arguments: [.v11, .v13, .v15].filter(\PostgresVersion.isAvailable)
    )
    func `what is held back is told everywhere, and that it is over`(
        version: PostgresVersion
    ) async throws {
        let limit = version >= .v13 ? "1GB" : nil
        let held = try await Held(version, slot: "retainWarning: 16MiB", limit: limit)
        try await held.task.runUntilNow()
        let session = try await held.hold()
        let daemon = try held.task.start()
        try await daemon.until(.seconds(30), "it is looked at") {
            try await !held.retention().isEmpty
        }
        #expect(try await held.get("/healthz") == (200, "ok\n"))
        #expect(try await held.retention()["warningBytes"] as? Int == 16 << 20)
        try held.writeWAL()
        try await daemon.until(.seconds(30), "the warning") {
            try await held.retention()["warning"] is String
        }
        let health = try await held.get("/healthz")
        #expect(health.code == 200)
        #expect(health.body.hasPrefix("ok; warning: The slot di_slot_orders holds back "))
        #expect(health.body.contains("more than slot.retainWarning (16 MiB)"))
        let metrics = try await held.get("/metrics").body
        #expect(metrics.contains("walrelay_slot_retention_warning{task=\"orders\"} 1\n"))
        #expect(
            metrics.contains(
                "walrelay_slot_bound_bytes{task=\"orders\",bound=\"warning\"} 16777216\n"
            )
        )
        #expect(metrics.contains("status=\"reserved\"} 1\n") == (version >= .v13))
        #expect(metrics.contains("walrelay_slot_safe_wal_bytes{") == (version >= .v13))
        let status = try runProcess(
            DaemonProcess.executable,
            ["status", "--config", held.task.settingsPath]
        )
        #expect(status.stdout.contains("\nwarning      The slot di_slot_orders holds back "))
        session.signal(SIGKILL)
        try held.cluster.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN%'"
        )
        try await daemon.until(.seconds(60), "the end of the warning") {
            // Lets the slot's restart position move.
            try held.cluster.psql("CHECKPOINT; INSERT INTO t SELECT max(id) + 1 FROM t")
            return try await held.retention()["warning"] is NSNull
        }
        #expect(try await held.get("/healthz") == (200, "ok\n"))
        #expect(try await daemon.stop() == .code(0))
        let lines = daemon.stderr.split(separator: "\n")
        // As it begins, and once more where the next look has found twice as much.
        let warnings = lines.count { $0.contains("slot.retention") }
        #expect((1...2).contains(warnings), "\(daemon.stderr)")
        #expect(lines.count { $0.contains("of WAL: no more than it may") } == 1)
    }

    @Test(.timeLimit(.minutes(5)))
    func `a target that is down from the start does not keep the slot from being watched`()
        async throws
    {
        let servers = TwinServers(
            source: try await PostgresCluster.start(),
            target: try await PostgresCluster.start()
        )
        try servers.source.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        let task = try CopyTask(
            servers,
            more: "slot: { retainWarning: 16MiB }\nretry: { for: forever }"
        )
        try await task.runUntilNow()
        try await onThread { try servers.target.stop() }
        let daemon = try task.start()
        try await daemon.waitForLog("trying again")
        for _ in 0..<3 {
            try servers.source.psql(
                "CREATE TABLE w AS SELECT 1; DROP TABLE w; SELECT pg_switch_wal()"
            )
        }
        try await daemon.waitForLog("slot.retention")
        try servers.source.psql("SELECT pg_drop_replication_slot('\(task.relay.slot)')")
        #expect(try await daemon.wait() == .code(74))
        #expect(daemon.stderr.contains("[slot.missing]"), "\(daemon.stderr)")
    }

    @Test(
        .enabled(if: TestKnob.isLong, "waits for the half minute that such a slot has"),
        .timeLimit(.minutes(3))
    )
    func `past retainStop the daemon drops its slot and ends with 74`() async throws {
        let held = try await Held(.v15, slot: "retainWarning: 16MiB, retainStop: 32MiB")
        try await held.task.runUntilNow()
        let session = try await held.hold()
        defer { session.signal(SIGKILL) }
        let daemon = try held.task.start()
        try await held.task.waitForPhase("streaming", of: daemon)
        try held.writeWAL()
        try held.cluster.psql("INSERT INTO t VALUES (2)")
        #expect(try await daemon.wait(.seconds(90)) == .code(74))
        #expect(daemon.stderr.contains("[slot.retain_stop]"))
        #expect(daemon.stderr.contains("--resnapshot"))
        #expect(try held.task.slot("active") == "")
        #expect(try held.task.events.count() == 2)
    }

    @Test(arguments: [.v13, .v15].filter(\PostgresVersion.isAvailable))
    func `check says what the server's limit means for the warning`(
        version: PostgresVersion
    ) async throws {
        for (limit, warning, text) in [
            ("2GB", "5GiB", "2 GiB: the slot is lost before slot.retainWarning (5 GiB)"),
            ("-1", "5GiB", "no limit: while the task is stopped its slot can fill"),
            ("2GB", "1GiB", "ok      max_slot_wal_keep_size"),
        ] {
            let held = try await Held(version, slot: "retainWarning: \(warning)", limit: limit)
            let output = try runProcess(
                DaemonProcess.executable,
                ["check", "--config", held.task.settingsPath]
            )
            #expect(output.status == .code(0))
            #expect(output.stdout.contains(text), "\(output.stdout)")
        }
    }
}
