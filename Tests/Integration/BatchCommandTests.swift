// SPDX-License-Identifier: Apache-2.0
//
// `walrelay batch` as its operator sees it: what goes to which stream, what a dry run leaves alone,
// what a signal leaves behind.
import Foundation
import Glibc
import Support
import Testing

@Suite struct BatchCommandTests {
    private static let sql = """
        CREATE TABLE t (id int PRIMARY KEY, v text);
        INSERT INTO t SELECT g, CASE g % 3 WHEN 0 THEN NULL WHEN 1 THEN E'tab\\there' ELSE '' END
        FROM generate_series(1, 3000) g;
        """

    private static func printing() -> BatchTask.Document {
        var job = BatchTask.Document()
        job.writerType = "stream"
        job.writer = #""print": true"#
        return job
    }

    @Test func `printed rows have the standard output for themselves`() async throws {
        let task = try await BatchTask("printed", sql: Self.sql)
        let end = try await task.runWell(Self.printing())
        let copied = try await task.source("COPY t TO STDOUT")
        #expect(end.outcome.stdout == copied + "\n")
        #expect(
            end.outcome.stderr.contains(
                "total read     3000\ntotal written  3000\nfailed         0\n"
            )
        )

        var silent = Self.printing()
        silent.writer = ""
        let quiet = try await task.runWell(silent)
        #expect(quiet.outcome.stdout.contains("total read     3000\n"))
        let words = quiet.outcome.stdout.split(separator: "\n").map { $0.prefix { $0 != " " } }
        #expect(
            words == [
                "start", "end", "seconds", "bytes/s", "records/s", "total", "total", "failed",
            ]
        )
        #expect(quiet.outcome.stderr == "")
        try await task.end()
    }

    @Test func `a reader that has had enough is no error`() async throws {
        let task = try await BatchTask("piped", sql: Self.sql)
        var job = Self.printing()
        job.readerType = "stream"
        job.reader = """
            "sliceRecordCount": 100000000, "column": [ { "type": "long", "value": "7" } ]
            """
        let path = try task.files.write(job.text, to: "job.json")
        let end = try await onThread {
            try runProcess(
                "/bin/bash",
                [
                    "-c", #"set -o pipefail; "$0" batch "$1" | head -n 2"#,
                    DaemonProcess.executable, path,
                ]
            )
        }
        #expect(end.status == .code(0), "\(end.stderr)")
        #expect(end.stdout == "7\n7\n" && end.stderr == "")
        try await task.end()
    }

    @Test(arguments: ["insert", "copy"])
    func `a dry run tells all and changes nothing`(mode: String) async throws {
        let table = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (-1)"
        let task = try await BatchTask("dry", sql: Self.sql, targetSQL: table)
        var job = BatchTask.Document()
        job.reader += #", "splitPk": "id""#
        job.writer += """
            , "writeMode": "\(mode)", "preSql": ["DELETE FROM t"], "postSql": "DROP TABLE t",
            "dirtyRecords": "dirty.jsonl"
            """
        job.setting = #""speed": { "concurrent": 2 }"#
        let end = try await task.runWell(job, ["--dry-run"])
        for text in [
            "reader: ", "2 channels", "\"id\"", "writer:", "DELETE FROM t", "DROP TABLE t",
        ] {
            #expect(end.outcome.stdout.contains(text), "\(text) in: \(end.text)")
        }
        #expect(end.outcome.stdout.contains(mode == "copy" ? "COPY" : "INSERT INTO"))
        #expect(!end.text.contains("total read"))
        #expect(try await task.target("SELECT count(*) FROM t") == "1")
        #expect(!FileManager.default.fileExists(atPath: task.files.file("dirty.jsonl")))
        try await task.end()
    }

    @Test(.timeLimit(.minutes(2)), arguments: [("insert", SIGTERM), ("copy", SIGINT)])
    func `a signal rolls back what is open and ends with 143`(
        mode: String,
        signal: Int32
    ) async throws {
        let task = try await BatchTask(
            "signalled",
            sql: Self.sql,
            targetSQL: "CREATE TABLE t (id int, v text)"
        )
        var job = BatchTask.Document()
        // All in one batch, of which some hundred records are on their way by then.
        job.writer += #", "writeMode": "\#(mode)", "batchSize": 1000000"#
        job.setting = #""speed": { "concurrent": 1, "record": 20 }"#
        let process = try task.start(job)
        try await process.waitForLog(" records/s, ", timeout: .seconds(60))
        #expect(process.stderr.contains("throttled "))
        process.kill(signal)
        #expect(try await process.wait(.seconds(30)) == .code(143), "\(process.stderr)")
        #expect(process.stderr.contains("[job.killed]"))
        #expect(process.stdout.contains("total read  "))
        #expect(try await task.target("SELECT count(*) FROM t") == "0")
        let sessions = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        try await eventually("the end of the sessions") {
            let left = try await (task.source(sessions), task.target(sessions))
            return left.0 == "0" && left.1 == "0"
        }
        try await task.end()
    }

    /// What a job waits for when it is stopped.
    private static let waits = [
        ("before the rows", #", "preSql": ["SELECT pg_catalog.pg_sleep(120)"]"#, "PgSleep"),
        ("after the rows", #", "postSql": ["SELECT pg_catalog.pg_sleep(120)"]"#, "PgSleep"),
        ("for a lock", #", "writeMode": "copy""#, "relation"),
        ("for a lock of an insert", "", "relation"),
    ]

    @Test(.timeLimit(.minutes(2)), arguments: waits.indices)
    func `a signal ends every wait for a server`(number: Int) async throws {
        let wait = Self.waits[number]
        let task = try await BatchTask(
            "waiting",
            sql: Self.sql,
            targetSQL: "CREATE TABLE t (id int, v text)"
        )
        var job = BatchTask.Document()
        job.writer += wait.1
        var holder: ChildProcess?
        if wait.2 == "relation" {
            holder = try task.target.spawn(
                "psql",
                [
                    "-d", task.targetDatabase, "-c",
                    "BEGIN; LOCK t IN SHARE MODE; SELECT pg_sleep(90)",
                ]
            )
            try await eventually("the lock") {
                // Of this table: the server is one that other tests use as well.
                try await task.target(
                    """
                    SELECT count(*) FROM pg_locks
                    WHERE mode = 'ShareLock' AND granted AND relation = 't'::regclass
                    """
                ) != "0"
            }
        }
        let process = try task.start(job)
        let waiting = """
            SELECT count(*) FROM pg_stat_activity WHERE wait_event = '\(wait.2)'
            AND datname = current_database() AND application_name <> 'psql'
            """
        try await process.until(.seconds(60), "a wait \(wait.0)") {
            try await task.target(waiting) != "0"
        }
        process.kill(SIGTERM)
        #expect(try await process.wait(.seconds(30)) == .code(143), "\(process.stderr)")
        // The server itself was told: nobody goes on waiting there.
        try await eventually("the end of the wait") { try await task.target(waiting) == "0" }
        holder?.signal(SIGKILL)
        let rows = number == 1 ? "3000" : "0"
        #expect(try await task.target("SELECT count(*) FROM t") == rows)
        try await task.end()
    }

    @Test func `made-up rows fit the types of a table`() async throws {
        let task = try await BatchTask(
            "made_up",
            targetSQL: "CREATE TABLE t (a bigint, b text, c float8, d bool, e timestamp, f bytea)"
        )
        var job = BatchTask.Document()
        job.readerType = "stream"
        job.reader = """
            "sliceRecordCount": "500", "column": [
                { "type": "long", "random": "1,10" }, { "type": "string", "random": "3,5" },
                { "type": "double", "random": "0,1" }, { "type": "bool", "random": "1,1" },
                { "type": "date", "value": "2014-07-07 00:00:00" },
                { "type": "bytes", "value": "te\\\\st" } ]
            """
        job.setting = #""errorLimit": { "record": 0 }, "speed": { "concurrent": 3 }"#
        try await task.runWell(job)
        let facts = """
            SELECT count(*), min(a) >= 1 AND max(a) <= 10, min(length(b)) >= 3, max(c) <= 1,
                min(e) = '2014-07-07' AND max(e) = min(e), bool_and(f = 'te\\\\st')
            FROM t
            """
        #expect(try await task.target(facts) == "1500|t|t|t|t|t")
        try await task.end()
    }

    @Test func `a job in DataX's shape says itself where its servers are`() async throws {
        let task = try await BatchTask(
            "datax",
            sql: Self.sql,
            targetSQL: "CREATE TABLE t (id int, v text)"
        )
        func url(_ server: PostgresCluster, _ database: String) -> String {
            "jdbc:postgresql://\(server.host):\(server.port)/\(database)"
        }
        let path = try task.files.write(
            """
            { "job": { "setting": { "speed": { "channel": 3 } }, "content": [ {
                "reader": { "name": "postgresqlreader", "parameter": {
                    "username": "postgres", "password": "x", "column": ["id", "v"],
                    "splitPk": "id", "where": "id > ${from}", "connection": [ { "table": ["t"],
                    "jdbcUrl": ["\(url(task.source, task.database))"] } ] } },
                "writer": { "name": "postgresqlwriter", "parameter": {
                    "username": "postgres", "password": "x", "column": ["id", "v"],
                    "connection": [ { "table": ["t"],
                    "jdbcUrl": "\(url(task.target, task.targetDatabase))" } ] } }
            } ] } }
            """,
            to: "datax.json"
        )
        let process = try DaemonProcess(["batch", path, "-p", "from=1000"])
        #expect(try await process.wait() == .code(0), "\(process.stderr)")
        #expect(process.stdout.contains("total read     2000\n"))
        let sums = "SELECT count(*), sum(id), count(v), sum(length(v)) FROM t WHERE id > 1000"
        #expect(try await task.target(sums) == task.source(sums))
        try await task.end()
    }

    @Test func `without datasources a name is told to be unknown`() async throws {
        let task = try await BatchTask("nowhere")
        let path = try task.files.write(BatchTask.Document().text, to: "job.json")
        let process = try DaemonProcess(
            ["batch", path],
            workingDirectory: task.files.path
        )
        #expect(try await process.wait() == .code(78))
        #expect(process.stderr.contains("[job.unknown_datasource]"), "\(process.stderr)")
        #expect(process.stderr.contains("--datasources"))
        try await task.end()
    }
}
