// SPDX-License-Identifier: Apache-2.0
//
// What dies in the middle of a job: the target, the source, the job itself. The job says so, no
// batch is there in part, no row stands twice, nothing is left on either server, and the same job
// run again makes it good where its preSql begins anew.
import Foundation
import Glibc
import Support
import Testing

@Suite(.serialized) struct BatchOutageTests {
    private static let rows = 300_000

    /// A task on servers of its own, of which one may die.
    private static func task(_ name: String) async throws -> BatchTask {
        let servers = try await TwinServers.start()
        return try await BatchTask(
            name,
            source: servers.source,
            target: servers.target,
            sql: """
                CREATE TABLE t (id int PRIMARY KEY, v text);
                INSERT INTO t SELECT g, repeat('v', 40) || g FROM generate_series(1, \(rows)) g;
                ANALYZE t
                """,
            targetSQL: "CREATE TABLE t (id int, v text)"
        )
    }

    private static func job(_ mode: String, recordsPerSecond: Int? = 20_000) -> BatchTask.Document {
        var job = BatchTask.Document()
        job.reader += #", "splitPk": "id""#
        job.writer += """
            , "writeMode": "\(mode)", "batchSize": 1000, "preSql": ["DELETE FROM t"]
            """
        let rate = recordsPerSecond.map { #", "record": \#($0)"# } ?? ""
        job.setting = #""errorLimit": { "record": 0 }, "speed": { "concurrent": 4\#(rate) }"#
        return job
    }

    /// Starts a job that takes its time and waits until some of its batches are committed.
    private static func startAndWait(
        _ task: BatchTask,
        _ mode: String
    ) async throws -> DaemonProcess {
        let process = try task.start(job(mode))
        // A crash takes the commits of the last moments with it: batches do not wait for the disk.
        try await process.until(.seconds(60), "more than a second of batches") {
            (Int(try await task.target("SELECT count(*) FROM t")) ?? 0) > 40_000
        }
        return process
    }

    /// Expects some rows but not all, each once, and no transaction larger than a batch.
    private static func expectPart(_ task: BatchTask) async throws {
        let counts = try await task.target("SELECT count(*), count(DISTINCT id) FROM t")
            .split(separator: "|").compactMap { Int($0) }
        try #require(counts.count == 2)
        #expect(counts[0] == counts[1], "a row stands twice")
        #expect(counts[0] > 0 && counts[0] < rows)
        let largest = try await task.target(
            "SELECT max(rows) FROM (SELECT count(*) AS rows FROM t GROUP BY xmin) AS batches"
        )
        #expect(Int(largest) ?? 0 <= 1_000, "a transaction of \(largest) rows")
    }

    /// Runs the same job again, without being slowed down, and expects all rows.
    private static func expectRepaired(_ task: BatchTask, _ mode: String) async throws {
        let end = try await task.runWell(job(mode, recordsPerSecond: nil))
        let sums = "SELECT count(*), sum(id::bigint), sum(hashtext(v)::bigint) FROM t"
        #expect(try await task.target(sums) == task.source(sums), "\(end.text)")
    }

    @Test(.timeLimit(.minutes(3)), arguments: ["insert", "copy"])
    func `a target that dies ends the job with 75`(mode: String) async throws {
        let task = try await Self.task("target_dies")
        let process = try await Self.startAndWait(task, mode)
        try await task.target.restart(.immediate)
        #expect(try await process.wait(.seconds(60)) == .code(75))
        #expect(process.stderr.contains("try: "), "\(process.stderr)")
        try await Self.expectPart(task)
        try await Self.expectRepaired(task, mode)
    }

    @Test(.timeLimit(.minutes(3)), arguments: ["insert", "copy"])
    func `a source that dies ends the job with 75`(mode: String) async throws {
        let task = try await Self.task("source_dies")
        let process = try await Self.startAndWait(task, mode)
        try await task.source.restart(.immediate)
        #expect(try await process.wait(.seconds(60)) == .code(75))
        try await Self.expectPart(task)
        try await Self.expectRepaired(task, mode)
    }

    @Test(.timeLimit(.minutes(3)), arguments: ["insert", "copy"])
    func `a job that is killed leaves whole batches and no session`(mode: String) async throws {
        let task = try await Self.task("job_dies")
        let process = try await Self.startAndWait(task, mode)
        process.kill(SIGKILL)
        try await process.wait(.seconds(20))
        let sessions = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        try await eventually("the end of the sessions") {
            let left = try await (task.source(sessions), task.target(sessions))
            return left.0 == "0" && left.1 == "0"
        }
        try await Self.expectPart(task)
        try await Self.expectRepaired(task, mode)
    }

    @Test(.timeLimit(.minutes(2)))
    func `a server that is not there is told with 75`() async throws {
        let task = try await Self.task("not_there")
        try task.target.stop()
        let end = try await task.run(Self.job("copy", recordsPerSecond: nil))
        #expect(end.status == .code(75), "\(end.text)")
        #expect(end.text.contains("\(task.target.port)"))
        try await task.target.start()
        try await Self.expectRepaired(task, "copy")
    }

    @Test(.timeLimit(.minutes(2)))
    func `a lock is waited for, and a stop ends the waiting`() async throws {
        let task = try await Self.task("locked")
        try await task.target("INSERT INTO t VALUES (0, 'there')")
        let holder = try task.target.spawn(
            "psql",
            ["-d", task.targetDatabase, "-c", "BEGIN; LOCK TABLE t; SELECT pg_sleep(100)"]
        )
        let process = try task.start(Self.job("copy", recordsPerSecond: nil))
        try await process.until(.seconds(30), "waiting for the lock") {
            try await task.target(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"
            ) != "0"
        }
        #expect(try await process.stop(.seconds(20)) == .code(143))
        holder.signal(SIGKILL)
        try await task.target(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        )
        #expect(try await task.target("SELECT count(*) FROM t") == "1")
    }
}
