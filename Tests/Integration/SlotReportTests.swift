// SPDX-License-Identifier: Apache-2.0
//
// Slots as scripts and standbys see them: the timer's example that reports stale ones, and copies
// of a primary's slots, which are listed and never dropped.
import Foundation
import Glibc
import Support
import Testing

@Suite struct SlotReportTests {
    private static let script = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "scripts/report-stale-slots").path

    private static func report(
        _ arguments: [String],
        on cluster: PostgresCluster
    ) async throws -> ProcessOutput {
        var environment = ProcessInfo.processInfo.environment
        environment["WALRELAY"] = DaemonProcess.executable
        environment["PGHOST"] = cluster.host
        environment["PGPORT"] = "\(cluster.port)"
        environment["PGUSER"] = cluster.superuser
        environment["PGDATABASE"] = "postgres"
        environment["JOURNAL_STREAM"] = nil
        return try await onThread { [environment] in
            try runProcess(script, ["--conninfo", ""] + arguments, environment: environment)
        }
    }

    @Test func `the timer's script reports what is stale and drops nothing`() async throws {
        let cluster = try await PostgresCluster.start()
        for name in ["di_slot_old", "debezium"] {
            try cluster.psql("SELECT pg_create_logical_replication_slot('\(name)', 'pgoutput')")
        }
        let bound = ["--retained-more-than", "1MiB"]
        let none = try await Self.report(bound, on: cluster)
        #expect(none.status == .code(0) && none.stdout == "", "\(none.stdout)\(none.stderr)")
        try cluster.psql(
            "CREATE TABLE w AS SELECT repeat('x', 1000) FROM generate_series(1, 3000);"
                + "SELECT pg_switch_wal()"
        )
        let some = try await Self.report(bound, on: cluster)
        #expect(some.status == .code(1), "\(some.stdout)\(some.stderr)")
        let lines = some.stdout.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[0].hasPrefix("stale slot: di_slot_old  holds back "))
        #expect(try cluster.psql("SELECT count(*) FROM pg_replication_slots") == "2")
        // What walrelay refuses is no report.
        let vague = try await Self.report([], on: cluster)
        #expect(vague.status == .code(64) && vague.stderr.contains("--retained-more-than"))
        try cluster.stop()
        #expect(try await Self.report(bound, on: cluster).status == .code(75))
    }

    @Test(.enabled(if: access("/usr/bin/systemd-analyze", X_OK) == 0))
    func `systemd finds no fault in the timer's units`() async throws {
        let directory = try TemporaryDirectory()
        let written = try runProcess(Self.script, ["units", directory.path])
        #expect(written.status == .code(0), "\(written.stderr)")
        let service = directory.file("walrelay-stale-slots.service")
        // verify wants the executable to exist.
        let text = try String(contentsOfFile: service, encoding: .utf8)
            .replacing("/usr/local/bin/walrelay-report-stale-slots", with: "/bin/true")
        try text.write(toFile: service, atomically: true, encoding: .utf8)
        let verdict = try await onThread {
            try runProcess(
                "/usr/bin/systemd-analyze",
                [
                    "verify", "--man=no", service,
                    directory.file("walrelay-stale-slots.timer"),
                ]
            )
        }
        #expect(verdict.stdout + verdict.stderr == "")
        #expect(try runProcess(Self.script, ["units", "/nonexistent"]).status == .code(64))
    }

    @Test(.enabled(if: PostgresVersion.v17.isAvailable), .timeLimit(.minutes(2)))
    func `a standby's copy of a slot is listed, and dropped on the primary only`() async throws {
        let primary = try await PostgresCluster.start(version: .v17)
        try primary.psql(
            """
            SELECT pg_create_physical_replication_slot('sb');
            SELECT pg_create_logical_replication_slot('di_slot_orders','pgoutput',false,false,true)
            """
        )
        let standby = try await primary.startStandby(
            settings: ["hot_standby_feedback": "on", "primary_slot_name": "sb"]
        )
        try standby.psql(
            "ALTER SYSTEM SET primary_conninfo = 'host=\(primary.socketDirectory) "
                + "port=\(primary.port) user=postgres dbname=postgres'"
        )
        try standby.reload()
        try await eventually("the slot is copied", timeout: .seconds(60)) {
            // A copy is kept once the primary's slot has come past where the standby began.
            try primary.psql(
                """
                SELECT pg_log_standby_snapshot();
                SELECT pg_replication_slot_advance('di_slot_orders', pg_current_wal_lsn())
                """
            )
            try standby.psql("SELECT pg_sync_replication_slots()")
            return try standby.psql(
                "SELECT synced AND NOT temporary FROM pg_replication_slots "
                    + "WHERE slot_name = 'di_slot_orders'"
            ) == "t"
        }
        func slots(_ arguments: String..., on cluster: PostgresCluster) throws -> ProcessOutput {
            try runProcess(
                DaemonProcess.executable,
                ["slots"] + arguments + ["--conninfo", cluster.conninfo()]
            )
        }
        let list = try slots("list", on: standby)
        #expect(list.stdout.contains("  copy of the primary's  "), "\(list.stdout)\(list.stderr)")
        let named = try slots("drop", "orders", "--yes", on: standby)
        #expect(named.status == .code(77))
        #expect(named.stderr.contains("[slot.synced]") && named.stderr.contains("on the primary"))
        let stale = try slots("drop", "--stale", "--older-than", "0s", "--yes", on: standby)
        #expect(stale.status == .code(0))
        #expect(stale.stdout.contains("keep  di_slot_orders  a copy of the primary's"))
        let json = try slots(
            "drop",
            "--stale",
            "--older-than",
            "0s",
            "--dry-run",
            "--json",
            on: primary
        )
        let items = try #require(
            JSONSerialization.jsonObject(with: Data(json.stdout.utf8)) as? [[String: Any]]
        )
        #expect(items.map { $0["slot"] as? String } == ["di_slot_orders"])
        #expect(items.map { $0["drop"] as? Bool } == [true])
    }
}
