// SPDX-License-Identifier: Apache-2.0
//
// How a task ends when it is asked to: with exit 0 within its bound, whatever it is at, and with
// the server knowing what the sink has. Beside it what keeps a quiet task from holding WAL back,
// and the sink that is a pipe.
import Foundation
import FoundationNetworking
import Glibc
import Support
import Testing

@Suite(.serialized)
struct StopTests {
    private static let keys = ["public.t": ["id"]]
    private static let bound = Duration.seconds(20)

    private static func source(rows: Int = 100) async throws -> PostgresCluster {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, s text);
            INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, \(rows)) i;
            """
        )
        return cluster
    }

    @Test(.enabled(if: TestKnob.hasFailpoints, "it needs a slow sink"))
    func `a stop within the snapshot leaves nothing behind`() async throws {
        let cluster = try await Self.source(rows: 50_000)
        let task = try RelayTask(cluster, rotate: "1MiB")
        let daemon = try task.start(pause: "sink.before_write=300ms")
        try await daemon.waitForLog("snapshot taken")
        #expect(try await daemon.stop(Self.bound) == .code(0))
        #expect(try task.checkpoint("snapshot") == "running")
        try await task.waitUntilNothingIsLeft()
        try await task.runUntilNow()
        #expect(try await task.differences(Self.keys) == [])
        try await task.waitUntilNothingIsLeft()
    }

    @Test(.enabled(if: TestKnob.hasFailpoints, "it needs a slow sink"))
    func `a task that drains says that it stops, and is not ready`() async throws {
        let cluster = try await Self.source(rows: 0)
        let task = try RelayTask(cluster)
        let daemon = try task.start(pause: "sink.before_write=8000ms")
        try await task.waitForPhase("streaming", of: daemon)
        try cluster.psql("INSERT INTO t VALUES (1, 'x')")
        let end = try cluster.psql("SELECT pg_current_wal_lsn()")
        try await daemon.until(.seconds(30), "a change on its way to the sink") {
            let received = try await task.status("stream", "receivedLSN") ?? "0/0"
            return try cluster.psql("SELECT '\(received)'::pg_lsn >= '\(end)'") == "t"
        }
        daemon.kill(SIGTERM)
        try await task.waitForPhase("stopping", of: daemon)
        let ready = try #require(URL(string: "http://127.0.0.1:\(task.port)/readyz"))
        let (body, response) = try await URLSession.shared.data(for: URLRequest(url: ready))
        #expect((response as? HTTPURLResponse)?.statusCode == 503)
        #expect(String(decoding: body, as: UTF8.self).contains("stopping"))
        #expect(try await daemon.wait(Self.bound) == .code(0))
        #expect(try await task.differences(Self.keys) == [])
        let phases = daemon.stderr.split(separator: "\n").filter { $0.contains(" stopping") }
        #expect(phases.count == 1, "\(daemon.stderr)")
    }

    @Test
    func `a stop under load tells the server exactly what the sink has`() async throws {
        let cluster = try await PostgresCluster.start()
        try PgbenchLoad.createTables(in: cluster)
        try cluster.psql("DELETE FROM pgbench_accounts WHERE aid > 5000")
        let task = try RelayTask(cluster)
        let load = PgbenchLoad(cluster, seconds: 60)
        for _ in 0..<3 {
            let daemon = try task.start()
            try await daemon.until(.seconds(60), "changes") {
                (try await task.status("stream", "changes")).flatMap { Int($0) } ?? 0 > 100
            }
            #expect(try await daemon.stop(Self.bound) == .code(0))
            #expect(try task.slot("confirmed_flush_lsn") == task.checkpoint("position"))
            #expect(try task.slot("active") == "f")
        }
        try await load.stop()
        try await task.runUntilNow()
        #expect(try await task.differences(PgbenchLoad.keys) == [])
        try await task.waitUntilNothingIsLeft()
    }

    @Test
    func `a stop ends the waiting for a server that is away`() async throws {
        let cluster = try await Self.source()
        let task = try RelayTask(cluster)
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        try cluster.stop(mode: .immediate)
        try await task.waitForPhase("reconnecting", of: daemon)
        #expect(try await daemon.stop(Self.bound) == .code(0))
        let second = try task.start()
        try await task.waitForPhase("reconnecting", of: second)
        #expect(try await second.stop(Self.bound) == .code(0))
        try await cluster.start()
        try await task.runUntilNow()
        #expect(try await task.differences(Self.keys) == [])
    }

    @Test
    func `a stop while the slot waits for an open transaction`() async throws {
        let cluster = try await Self.source()
        let task = try RelayTask(cluster)
        let writer = try cluster.spawn(
            "psql",
            ["-Xq", "-c", "BEGIN; INSERT INTO t VALUES (500); SELECT pg_sleep(60)", "postgres"]
        )
        try await eventually {
            try cluster.psql(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
                    + " AND pid <> pg_backend_pid()"
            ) == "1"
        }
        let daemon = try task.start()
        try await daemon.until { try !task.slot("slot_name").isEmpty }
        #expect(try await daemon.stop(Self.bound) == .code(0))
        // The wish to stop reaches the session that makes the slot, too.
        try await eventually { try task.slot("slot_name").isEmpty }
        writer.signal(SIGKILL)
        try cluster.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%'"
                + " AND pid <> pg_backend_pid()"
        )
        try await task.runUntilNow()
        #expect(try await task.differences(Self.keys) == [])
    }

    @Test
    func `an idle slot moves on while others write`() async throws {
        let cluster = try await Self.source()
        try cluster.psql("CREATE TABLE unpublished (id int)")
        let task = try RelayTask(cluster, tables: ["public.t"])
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        for _ in 0..<3 {
            try cluster.psql("INSERT INTO unpublished SELECT generate_series(1, 10000)")
            let end = try cluster.psql("SELECT pg_current_wal_insert_lsn()")
            try await daemon.until(.seconds(30), "a confirmed position past \(end)") {
                try task.slot("confirmed_flush_lsn >= '\(end)'") == "t"
            }
        }
        #expect(try task.events.count() == 100)
        #expect(try await daemon.stop(Self.bound) == .code(0))
        #expect(try task.slot("confirmed_flush_lsn") == task.checkpoint("position"))
    }
}

@Suite(.serialized)
struct StreamSinkProcessTests {
    private static func source() async throws -> (PostgresCluster, RelayTask) {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, s text);
            INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 1000) i;
            """
        )
        return (cluster, try RelayTask(cluster, sink: "{ kind: stream }"))
    }

    @Test
    func `events are lines on standard output, and nothing else is`() async throws {
        let (cluster, task) = try await Self.source()
        let first = try await task.runUntilNow()
        var tables = RebuiltTables()
        for line in first.stdout.split(separator: "\n") {
            tables.apply(try ChangeEvent(String(line)))
        }
        #expect(tables.counts == ["r": 1000])
        try cluster.psql("UPDATE t SET s = 'new' WHERE id <= 10; DELETE FROM t WHERE id > 990")
        let second = try await task.runUntilNow()
        for line in second.stdout.split(separator: "\n") {
            tables.apply(try ChangeEvent(String(line)))
        }
        #expect(tables.counts == ["r": 1000, "u": 10, "d": 10])
        #expect(tables.faults == [])
        #expect(try tables.tables["public.t"]?.differences(from: cluster.rows(of: "t")) == [])
    }

    @Test
    func `a pipe that its reader closes ends the run with exit 0`() async throws {
        let (cluster, task) = try await Self.source()
        let piped = try DaemonProcess(
            [
                "-c", #""$0" run --config "$1" | head -n 1; exit "${PIPESTATUS[0]}""#,
                DaemonProcess.executable, task.settingsPath,
            ],
            executable: "/bin/bash"
        )
        // It is only when it writes again that it can see the reader gone.
        try await eventually("the end of the pipe") {
            if piped.status != nil { return true }
            try cluster.psql("UPDATE t SET s = s || 'y'")
            return false
        }
        #expect(try await piped.wait() == .code(0))
        #expect(piped.stdout.split(separator: "\n").count == 1)
    }

    @Test
    func `a stop does not wait for a reader that does not read`() async throws {
        let (_, task) = try await Self.source()
        let pipe = Pipe()
        let child = try ChildProcess(
            DaemonProcess.executable,
            ["run", "--config", task.settingsPath],
            stdout: pipe.fileHandleForWriting.fileDescriptor
        )
        try await eventually("it is at the snapshot") {
            try await task.status()["phase"] as? String == "snapshotting"
        }
        child.signal(SIGTERM)
        let status = try await onThread { child.waitBlocking(.seconds(20)) }
        #expect(status == .code(0))
        try await task.waitUntilNothingIsLeft()
    }
}
