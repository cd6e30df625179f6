// SPDX-License-Identifier: Apache-2.0
//
// Encodings, COPY's binary format, and rows that are large.

import ChangeModel
import Settings
import Support
import Testing

@testable import BatchJobs

struct ReadingBytesTests {
    @Test(arguments: [nil, 2])
    func `bytes that are no text are dirty records`(_ fetchSize: Int?) async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.createDatabase("bytes", encoding: "SQL_ASCII")
        try cluster.psql(
            """
            CREATE TABLE t (id int, "b" text);
            INSERT INTO t VALUES (1, 'ok'), (2, E'a\\xffz'), (3, '中'), (4, E'\\xe4\\xb8'),
                (5, NULL), (6, '\\');
            """,
            database: "bytes"
        )
        let records = try cluster.read(table: "t", fetchSize: fetchSize, database: "bytes")
        #expect(records.lines == ["1\tok", "3\t中", "5\t\\N", "6\t\\\\"])
        #expect(records.dirty.map(\.values) == [["2", "a\u{FFFD}z"], ["4", "\u{FFFD}"]])
        #expect(records.dirty.allSatisfy { $0.side == .reader && $0.reason.contains("column b") })
        #expect(records.warnings.first?.contains("SQL_ASCII") == true)
        #expect(!records.shape.allowsBinary)
    }

    @Test func `another encoding comes as UTF-8, or the error says why not`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.createDatabase("chinese", encoding: "EUC_CN")
        try cluster.psql(
            """
            SET client_encoding = 'UTF8';
            CREATE TABLE "表" (id int, "名" text); INSERT INTO "表" VALUES (1, '中文'), (2, '万');
            """,
            database: "chinese"
        )
        let records = try cluster.read(table: "表", splitPk: "名", channels: 2, database: "chinese")
        #expect(records.sorted == ["1\t中文", "2\t万"])
        let place = refusal {
            _ = try cluster.read(table: "表", where: "\"名\" = '中' AND x = 1", database: "chinese")
        }
        #expect(place?.message.hasSuffix("\"名\" = '中' AND x = 1\n                  ^") == true)
        // Not assigned in GB 2312, so that no UTF-8 is known for it.
        try cluster.psql(
            """
            SET client_encoding = 'EUC_CN'; CREATE TABLE spoilt (id int, t text);
            INSERT INTO spoilt VALUES (3, E'\\xfe\\xfe');
            """,
            database: "chinese"
        )
        let own = refusal {
            _ = try cluster.read(table: "spoilt", where: "t = '😀'", database: "chinese")
        }
        #expect(own?.code == "job.sql")
        #expect(own?.exit == .settings)
        for fetchSize in [nil, 10] {
            let error = refusal {
                _ = try cluster.read(table: "spoilt", fetchSize: fetchSize, database: "chinese")
            }
            #expect(error?.code == "job.encoding")
            #expect(error?.message.hasPrefix("reading public.spoilt:") == true)
        }
    }

    @Test func `binary records are tuples without header and trailer`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t AS SELECT i, NULL::text FROM generate_series(1, 300) i")
        let source = try cluster.source(.tables(.init(["t"])))
        #expect(source.shape.allowsBinary)
        let reader = try source.open(.binary)
        var tuples: [[UInt8]] = []
        try reader.read(0) { _ in
        } _: {
            tuples.append(Array($0))
        }
        #expect(tuples.count == 300)
        #expect(tuples.first == [0, 2, 0, 0, 0, 4, 0, 0, 0, 1, 255, 255, 255, 255])
        #expect(tuples.last == [0, 2, 0, 0, 0, 4, 0, 0, 1, 44, 255, 255, 255, 255])
        let none = try cluster.source(.tables(.init(["t"], ["*"], "i < 0"))).open(.binary)
        try none.read(0) { _ in
        } _: { _ in
            Issue.record("a record of an empty table")
        }
    }

    @Test func `a message is taken apart wherever the server cuts it`() {
        let header: [UInt8] =
            Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0] + [0, 0, 0, 0, 0, 0, 0, 2, 9, 9]
        let tuple: [UInt8] = [0, 1, 0, 0, 0, 1, 65]
        func taken(_ messages: [[UInt8]]) -> [[UInt8]] {
            var tuples = BinaryTuples()
            return messages.compactMap { message in
                message.withUnsafeBytes { tuples.tuple(in: $0).map { Array($0) } }
            }
        }
        #expect(taken([header + tuple, tuple, [255, 255]]) == [tuple, tuple])
        #expect(taken([header, tuple, [255, 255]]) == [tuple])
        #expect(taken([header + [255, 255]]).isEmpty)
        #expect(taken([[1, 2, 3], [], [0]]).isEmpty)
    }

    @Test(arguments: [nil, 3])
    func `rows of ten megabytes come whole`(_ fetchSize: Int?) async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            "CREATE TABLE t AS SELECT repeat('x', 10000000) || E'\\n' || i FROM generate_series(1, 5) i"
        )
        let source = try cluster.source(.tables(.init(["t"])), fetchSize: fetchSize)
        let reader = try source.open(.text)
        var counts: [Int] = []
        try reader.read(0) { _ in
        } _: {
            counts.append($0.count)
        }
        #expect(counts == Array(repeating: 10_000_004, count: 5))
    }
}
