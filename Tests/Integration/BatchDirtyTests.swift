// SPDX-License-Identifier: Apache-2.0
//
// Dirty records: of a million rows seven are bad. A job that allows seven ends well with exactly
// those seven left out and told; a job that allows six fails.
//
// WALRELAY_LONG_TESTS=1 has the whole million, as for an acceptance; otherwise a tenth.
import Foundation
import Support
import Testing

@Suite(.serialized) struct BatchDirtyTests {
    /// A way of writing, and why the target refuses what it refuses.
    struct Way: Sendable, CustomTestStringConvertible {
        let mode: String
        /// The bad value: of a type that has to be read from text, or against a constraint.
        let isText: Bool

        var testDescription: String { "\(mode), \(isText ? "no number" : "a constraint")" }

        static let all = ["insert", "copy", "upsert"].flatMap { mode in
            [Way(mode: mode, isText: true), Way(mode: mode, isText: false)]
        }
    }

    private static let rows = TestKnob.isLong ? 1_000_000 : 100_000
    /// The first, the last, two neighbours, and some by themselves.
    private static let bad = [1, 2_000, 2_001, 50_007, 77_777, rows - 1_024, rows]

    private static func task(_ way: Way) async throws -> BatchTask {
        let list = bad.map(String.init).joined(separator: ", ")
        let value = way.isText ? "'no number'" : "'-1'"
        return try await BatchTask(
            "dirty",
            sql: """
                CREATE TABLE t (id int PRIMARY KEY, v \(way.isText ? "text" : "int"), note text);
                INSERT INTO t SELECT g, (CASE WHEN g IN (\(list)) THEN \(value) ELSE g::text END)
                    ::\(way.isText ? "text" : "int"), 'tab\t, "quote" and \\ ' || g
                    FROM generate_series(1, \(rows)) g;
                ANALYZE t
                """,
            targetSQL: "CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v > 0), note text)"
        )
    }

    private static func job(_ way: Way, allowed: Int) -> BatchTask.Document {
        var job = BatchTask.Document()
        let key = way.mode == "upsert" ? #", "uniqueKey": ["id"]"# : ""
        job.writer = """
            "datasource": "target", "table": "t", "column": ["*"], "writeMode": "\(way.mode)"\(key)
            """
        job.setting = """
            "errorLimit": { "record": "\(allowed)" }, "speed": { "concurrent": 2 },
            "dirtyRecords": "dirty.jsonl"
            """
        job.reader += #", "splitPk": "id""#
        return job
    }

    @Test(.timeLimit(.minutes(5)), arguments: Way.all)
    func `seven bad rows are left out, told and counted`(way: Way) async throws {
        let task = try await Self.task(way)
        let end = try await task.runWell(Self.job(way, allowed: 7))
        let copied = try await task.target("SELECT count(*), count(DISTINCT id) FROM t")
        #expect(copied == "\(Self.rows - 7)|\(Self.rows - 7)", "\(end.text)")
        let sums = "SELECT sum(id::bigint), sum(hashtext(note)::bigint) FROM t WHERE v::text"
        #expect(
            try await task.target("\(sums) NOT IN ('no number', '-1')")
                == task.source("\(sums) NOT IN ('no number', '-1')")
        )

        let dirty = try task.dirtyRecords()
        #expect(dirty.count == 7)
        var ids: [Int] = []
        for record in dirty {
            #expect(Set(record.keys).isSuperset(of: ["type", "message", "exception", "record"]))
            #expect(record["type"] as? String == "writer")
            let values = try #require(record["record"] as? [String])
            #expect(values[2] == "tab\t, \"quote\" and \\ \(values[0])")
            ids.append(try #require(Int(values[0])))
        }
        #expect(ids.sorted() == Self.bad)
        #expect(end.text.contains(way.isText ? "22P02" : "23514"), "the reason: \(end.text)")
        try await task.end()
    }

    @Test(.timeLimit(.minutes(5)), arguments: Way.all)
    func `one more than is allowed fails the job`(way: Way) async throws {
        let task = try await Self.task(way)
        let end = try await task.run(Self.job(way, allowed: 6))
        end.outcome.expectRefusal(65, "job.dirty_records", "6")
        // What was committed before stays, each row once, and none of the bad ones.
        let odd = try await task.target("SELECT count(*) - count(DISTINCT id) FROM t")
        #expect(odd == "0")
        try await task.end()
    }

    @Test func `a share of the records may be the limit, which is looked at in the end`()
        async throws
    {
        let task = try await BatchTask(
            "dirty_share",
            sql: """
                CREATE TABLE t (id int, v int);
                INSERT INTO t SELECT g, CASE WHEN g % 100 > 0 THEN g END
                    FROM generate_series(1, 10000) g
                """,
            targetSQL: "CREATE TABLE t (id int, v int NOT NULL)"
        )
        var job = BatchTask.Document()
        job.setting = #""errorLimit": { "percentage": "0.01" }"#
        try await task.runWell(job)
        #expect(try await task.target("SELECT count(*) FROM t") == "9900")
        job.setting = #""errorLimit": { "percentage": 0.0099 }"#
        let end = try await task.run(job)
        end.outcome.expectRefusal(65, "job.dirty_records", "0.0099")
        #expect(try await task.target("SELECT count(*) FROM t") == "19800")
        job.setting = #""errorLimit": {}"#
        try await task.runWell(job)
        try await task.end()
    }

    @Test func `at most ten are printed, all are in the file`() async throws {
        let task = try await BatchTask(
            "dirty_many",
            sql: """
                CREATE TABLE t (id int, v text);
                INSERT INTO t SELECT g, repeat('x', 100000) || g FROM generate_series(1, 50) g
                """,
            targetSQL: "CREATE TABLE t (id int, v varchar(10))"
        )
        var job = BatchTask.Document()
        job.setting = #""errorLimit": { "record": 50 }, "dirtyRecords": "many.jsonl""#
        let end = try await task.runWell(job)
        #expect(end.outcome.stderr.components(separatedBy: "22001").count <= 11)
        #expect(end.text.utf8.count < 100_000, "what is printed is bounded")
        let dirty = try task.dirtyRecords("many.jsonl")
        #expect(dirty.count == 50)
        let values = dirty[49]["record"] as? [String]
        #expect(values?[1].utf8.count == 100_002)
        try await task.end()
    }
}
