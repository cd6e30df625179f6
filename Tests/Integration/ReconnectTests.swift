// SPDX-License-Identifier: Apache-2.0
//
// The server goes away and comes back, or somebody else holds the slot: the task says so, waits
// with a bound and goes on from the durable position.
import Foundation
import Glibc
import Support
import Testing

@Suite(.serialized)
struct ReconnectTests {
    /// Ends the daemon after everything so far is durable, and judges the files.
    private static func finish(_ task: RelayTask, _ daemon: DaemonProcess) async throws {
        let end = try task.cluster.psql("SELECT pg_current_wal_insert_lsn()")
        try await daemon.until(.seconds(60), "everything confirmed") {
            try task.slot("confirmed_flush_lsn >= '\(end)'") == "t"
        }
        #expect(try await daemon.stop() == .code(0))
        #expect(try await task.differences(NumberedTable.keys) == [])
        try await task.waitUntilNothingIsLeft()
    }

    @Test
    func `a walsender that is terminated is replaced`() async throws {
        let cluster = try await NumberedTable.source()
        let task = try RelayTask(cluster)
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        for round in 1...3 {
            try NumberedTable.change(cluster, round * 1_000)
            let pid = try task.slot("active_pid")
            #expect(try cluster.psql("SELECT pg_terminate_backend(\(pid))") == "t")
            try await daemon.until(.seconds(30), "another walsender") {
                let other = try task.slot("active_pid")
                return !other.isEmpty && other != pid
            }
        }
        try NumberedTable.change(cluster, 4_000)
        try await Self.finish(task, daemon)
    }

    @Test
    func `a server that is away is waited for`() async throws {
        let cluster = try await NumberedTable.source()
        let task = try RelayTask(cluster)
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        try NumberedTable.change(cluster, 1_000)
        try cluster.stop(mode: .immediate)
        try await task.waitForPhase("reconnecting", of: daemon)
        let error = try await task.status()["lastError"] as? [String: Any]
        #expect(error?["code"] as? String == "source.unreachable")
        try await Task.sleep(for: .seconds(3))
        try await cluster.start()
        try await task.waitForPhase("streaming", of: daemon)
        try NumberedTable.change(cluster, 2_000)
        try await cluster.restart(.immediate)
        try NumberedTable.change(cluster, 3_000)
        try await cluster.restart(.fast)
        try NumberedTable.change(cluster, 4_000)
        try await Self.finish(task, daemon)
    }

    @Test
    func `retries end after retry for, with what failed and exit 75`() async throws {
        let cluster = try await NumberedTable.source()
        let task = try RelayTask(cluster, more: "retry: { for: 2s }")
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        try cluster.stop(mode: .immediate)
        #expect(try await daemon.wait(.seconds(30)) == .code(75))
        let last = daemon.stderr.split(separator: "\n").last(where: { $0.hasPrefix("walrelay:") })
        #expect(last?.contains("\(cluster.host):\(cluster.port)") == true, "\(daemon.stderr)")
        #expect(last?.contains("tried for") == true, "\(daemon.stderr)")
        try await cluster.start()
        try NumberedTable.change(cluster, 1_000)
        try await task.runUntilNow()
        #expect(try await task.differences(NumberedTable.keys) == [])
    }

    @Test
    func `a slot that somebody else reads is waited for`() async throws {
        let cluster = try await NumberedTable.source()
        let task = try RelayTask(cluster)
        try await task.runUntilNow()
        let holder = try cluster.spawn(
            "pg_recvlogical",
            [
                "-d", "postgres", "--slot", task.slot, "--start", "-f", "/dev/null", "-o",
                "proto_version=1", "-o", "publication_names=di_pub_orders", "-F", "0", "-s", "0",
            ]
        )
        try await eventually { try task.slot("active") == "t" }
        let daemon = try task.start()
        try await task.waitForPhase("reconnecting", of: daemon)
        try await daemon.waitForLog("slot.in_use")
        holder.signal(SIGKILL)
        try await task.waitForPhase("streaming", of: daemon)
        try NumberedTable.change(cluster, 1_000)
        try await Self.finish(task, daemon)
    }

    @Test
    func `another task on the same directory is refused at once`() async throws {
        let cluster = try await NumberedTable.source()
        let task = try RelayTask(cluster)
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        let other = try RelayTask(cluster, name: "other", sinkDirectory: task.sinkDirectory)
        let second = try other.start()
        #expect(try await second.wait(.seconds(30)) == .code(77))
        #expect(second.stderr.contains("\(daemon.pid)"))
        try NumberedTable.change(cluster, 1_000)
        try await Self.finish(task, daemon)
    }

    /// What can take a snapshot's connections away.
    enum SnapshotLoss: CaseIterable {
        case workersTerminated
        case everySessionTerminated
        case serverCrash

        func happen(to cluster: PostgresCluster) async throws {
            let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
            switch self {
            case .workersTerminated:
                let count = try cluster.psql(terminate + "state = 'active' AND query LIKE 'COPY %'")
                #expect(Int(count) ?? 0 > 0, "no worker was at work")
            case .everySessionTerminated:
                try cluster.psql(terminate + "application_name LIKE 'walrelay%'")
            case .serverCrash:
                try await cluster.restart(.immediate)
            }
        }
    }

    @Test(
        .enabled(if: TestKnob.hasFailpoints, "it needs a slow sink"),
        arguments: SnapshotLoss.allCases
    )
    func `a snapshot that loses its connections is taken anew`(loss: SnapshotLoss) async throws {
        let cluster = try await NumberedTable.source()
        // Rows that no socket's buffer takes all of, so that the workers are still at it.
        try cluster.psql(
            """
            CREATE TABLE wide (id int PRIMARY KEY, s text);
            INSERT INTO wide SELECT i, repeat(md5(i::text), 60) FROM generate_series(1, 12000) i;
            """
        )
        let task = try RelayTask(cluster, rotate: "4MiB")
        let daemon = try task.start(pause: "sink.before_write=200ms")
        try await daemon.until { try task.events.fileNames().count > 2 }
        try NumberedTable.change(cluster, 1_000)
        #expect(try task.checkpoint("snapshot") == "running")
        try await loss.happen(to: cluster)
        try NumberedTable.change(cluster, 2_000)
        try await daemon.waitForLog("trying again")
        try await task.waitForPhase("streaming", of: daemon)
        try NumberedTable.change(cluster, 3_000)
        #expect(try await daemon.stop() == .code(0))
        try await task.runUntilNow()
        #expect(try await task.differences(["public.t": ["id"], "public.wide": ["id"]]) == [])
        try await task.waitUntilNothingIsLeft()
    }

    @Test
    func `a kill while the slot is being made leaves a task that starts`() async throws {
        let cluster = try await NumberedTable.source()
        let task = try RelayTask(cluster)
        // The slot cannot be made before this transaction ends.
        let writer = try cluster.spawn(
            "psql",
            [
                "-Xq", "-c", "BEGIN; INSERT INTO t VALUES (500, 0); SELECT pg_sleep(4); COMMIT",
                "postgres",
            ]
        )
        try await eventually {
            try cluster.psql(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
                    + " AND pid <> pg_backend_pid()"
            ) == "1"
        }
        let first = try task.start()
        try await first.until { try !task.slot("slot_name").isEmpty }
        first.kill(SIGKILL)
        try await first.wait()
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        #expect(writer.waitBlocking(.seconds(30)) == .code(0))
        try NumberedTable.change(cluster, 1_000)
        try await Self.finish(task, daemon)
    }
}
