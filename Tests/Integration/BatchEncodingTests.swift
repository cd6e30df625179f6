// SPDX-License-Identifier: Apache-2.0
//
// Databases that are not UTF-8: what can be converted arrives exactly, what cannot is told, and
// nothing arrives garbled.
import Foundation
import Support
import Testing

struct BatchEncodingTests {
    private static let writers = ["insert", "copy"]

    private static func job(_ mode: String, allowed: Int = 0) -> BatchTask.Document {
        var job = BatchTask.Document()
        job.writer = """
            "datasource": "target", "table": "t", "column": ["*"], "writeMode": "\(mode)"
            """
        job.setting = """
            "errorLimit": { "record": \(allowed) }, "dirtyRecords": "dirty.jsonl"
            """
        return job
    }

    @Test(arguments: writers)
    func `EUC_CN arrives as the same characters`(mode: String) async throws {
        let task = try await BatchTask(
            "euc_\(mode)",
            encoding: "EUC_CN",
            sql: """
                SET client_encoding = 'UTF8';
                CREATE TABLE t (id int, v text);
                INSERT INTO t VALUES (1, '中文字符，数据'), (2, 'plain'), (3, NULL), (4, '啊')
                """,
            targetSQL: "CREATE TABLE t (id int, v text)"
        )
        try await task.runWell(Self.job(mode))
        let copied = try await task.target("SELECT id, v FROM t ORDER BY id")
        #expect(copied == "1|中文字符，数据\n2|plain\n3|\n4|啊")
        try await task.end()
    }

    @Test func `a character that cannot be converted on the way out ends the job`() async throws {
        let task = try await BatchTask(
            "euc_bad",
            encoding: "EUC_CN",
            sql: """
                SET client_encoding = 'EUC_CN';
                CREATE TABLE t (id int, v text);
                INSERT INTO t VALUES (1, 'good'), (2, E'\\xfe\\xfe')
                """,
            targetSQL: "CREATE TABLE t (id int, v text)"
        )
        let end = try await task.run(Self.job("copy", allowed: 10))
        end.outcome.expectRefusal(65, "job.encoding", "EUC_CN", "t")
        #expect(try await task.target("SELECT count(*) FROM t WHERE id = 2") == "0")
        try await task.end()
    }

    @Test(arguments: writers)
    func `bytes of a SQL_ASCII database that are no UTF-8 are dirty`(mode: String) async throws {
        let task = try await BatchTask(
            "ascii_\(mode)",
            encoding: "SQL_ASCII",
            sql: """
                CREATE TABLE t (id int, v text, w text);
                INSERT INTO t VALUES (1, 'plain', 'a'), (2, E'\\xff\\xfe', 'b'),
                    (3, E'\\xe4\\xb8\\xad', 'c'), (4, 'd', E'caf\\xe9'), (5, 'tab\t', E'\\\\xff')
                """,
            targetSQL: "CREATE TABLE t (id int, v text, w text)"
        )
        let end = try await task.runWell(Self.job(mode, allowed: 2))
        #expect(end.outcome.stderr.contains("SQL_ASCII"))
        let copied = try await task.target("SELECT id, v, w FROM t ORDER BY id")
        #expect(copied == "1|plain|a\n3|中|c\n5|tab\t|\\xff")
        let dirty = try task.dirtyRecords()
        #expect(dirty.map { $0["type"] as? String } == ["reader", "reader"])
        let told = dirty.map { "\($0["message"] ?? "") \($0["exception"] ?? "")" }
        #expect(told.contains { $0.contains("column v") || $0.contains("\"v\"") }, "\(told)")
        #expect(told.contains { $0.contains("column w") || $0.contains("\"w\"") }, "\(told)")
        try await task.target("TRUNCATE t")
        let refused = try await task.run(Self.job(mode, allowed: 1))
        refused.outcome.expectRefusal(65, "job.dirty_records", "1")
        try await task.end()
    }

    @Test(arguments: writers)
    func `what a target's encoding has no character for is dirty`(mode: String) async throws {
        let task = try await BatchTask(
            "latin_\(mode)",
            targetEncoding: "LATIN1",
            sql: """
                CREATE TABLE t (id int, v text);
                INSERT INTO t VALUES (1, 'café'), (2, '中'), (3, 'plain')
                """,
            targetSQL: "CREATE TABLE t (id int, v text)"
        )
        let end = try await task.runWell(Self.job(mode, allowed: 1))
        #expect(end.outcome.stderr.contains("22P05"))
        let copied = try await task.target(
            "SET client_encoding = 'UTF8'; SELECT id, v FROM t ORDER BY id"
        )
        #expect(copied == "1|café\n3|plain")
        try await task.end()
    }
}
