// SPDX-License-Identifier: Apache-2.0
//
// Incremental jobs as docs/batch-jobs.md shows them: by a timestamp, by an increasing number.
import Support
import Testing

struct BatchIncrementalTests {
    @Test func `a day at a time, and the same day again`() async throws {
        let task = try await BatchTask(
            "by_day",
            sql: """
                CREATE TABLE t (id int PRIMARY KEY, v text, gmt_modified timestamp);
                INSERT INTO t SELECT g, 'first', timestamp '2026-01-01' + g * interval '1 hour'
                    FROM generate_series(0, 47) g
                """,
            targetSQL: "CREATE TABLE t (id int PRIMARY KEY, v text, gmt_modified timestamp)"
        )
        var job = BatchTask.Document()
        job.reader += """
            , "where": "gmt_modified >= to_date('${bizdate}', 'YYYYMMDD') AND gmt_modified \
            < to_date('${bizdate}', 'YYYYMMDD') + 1"
            """
        job.writer += #", "writeMode": "upsert", "uniqueKey": ["id"]"#
        try await task.runWell(job, ["-p", "bizdate=20260101"])
        #expect(try await task.target("SELECT count(*), max(id) FROM t") == "24|23")
        // A row of the first day changes on the second.
        try await task.source(
            "UPDATE t SET v = 'changed', gmt_modified = '2026-01-02 12:00' WHERE id = 5"
        )
        try await task.runWell(job, ["-p", "bizdate=20260102"])
        #expect(try await task.target("SELECT count(*), max(id) FROM t") == "48|47")
        #expect(try await task.target("SELECT v FROM t WHERE id = 5") == "changed")
        try await task.runWell(job, ["-p", "bizdate=20260102"])
        let rows = "SELECT * FROM t ORDER BY id"
        #expect(try await task.target(rows) == task.source(rows))
        try await task.end()
    }

    @Test func `what came after the greatest number of the last time`() async throws {
        let task = try await BatchTask(
            "by_number",
            sql: """
                CREATE TABLE t (id bigint PRIMARY KEY, v text);
                INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 1000) g
                """,
            targetSQL: "CREATE TABLE t (id bigint PRIMARY KEY, v text)"
        )
        var job = BatchTask.Document()
        job.reader += #", "where": "id > ${last} OR id = 0", "splitPk": "id""#
        job.setting = #""errorLimit": { "record": 0 }, "speed": { "concurrent": 4 }"#
        for expected in [1_000, 1_500, 1_500] {
            let last = try await task.target("SELECT coalesce(max(id), 0) FROM t")
            let end = try await task.runWell(job, ["-p", "last=\(last)"])
            let copied = try await task.target("SELECT count(*), max(id) FROM t")
            #expect(copied == "\(expected)|\(expected)", "\(end.text)")
            try await task.source(
                """
                INSERT INTO t SELECT g, 'v' || g FROM generate_series(1001, 1500) g
                ON CONFLICT DO NOTHING
                """
            )
        }
        try await task.end()
    }

    @Test func `a parameter that is not given is an error with its place`() async throws {
        let task = try await BatchTask("no_parameter", sql: "CREATE TABLE t (id int)")
        var job = BatchTask.Document()
        job.reader += #", "where": "id > ${last}""#
        let end = try await task.run(job)
        end.outcome.expectRefusal(78, "job.invalid", "job.json:5:", "last", "-p last=")
        let other = try await task.run(job, ["-p", "lsat=1"])
        other.outcome.expectRefusal(78, "job.invalid", "job.json:5:", "last")
        try await task.end()
    }
}
