// SPDX-License-Identifier: Apache-2.0
//
// Names as written, places in statements, and streams of rows.

import LibPQ
import Support
import Testing

@Suite struct StatementTests {
    @Test(arguments: [
        ("orders", [#""orders""#]), ("Orders", [#""orders""#, #""Orders""#]),
        ("Sales.Orders", [#""sales"."orders""#, #""Sales"."Orders""#]),
        (#""Sales" . orders "#, [#""Sales"."orders""#]), (#""a""b.c""#, [#""a""b.c""#]),
        ("ÄB", [#""Äb""#, #""ÄB""#]), ("a b", [#""a b""#]), ("a.b.c", []),
    ])
    func `a name is folded as SQL folds it, and kept as it stands`(
        written: String,
        candidates: [String]
    ) {
        #expect(WrittenName(written)?.tableCandidates == candidates)
    }

    @Test(arguments: ["", " ", ".", "a.", ".a", "a..b", "\"", "\"a", "\"a\"b", "a\"b", "\"\""])
    func `what is no name is none`(written: String) {
        #expect(WrittenName(written) == nil)
    }

    @Test func `an excerpt shows the line and the place in it`() {
        #expect(SQL.excerpt(of: "SELECT a\nFORM t", at: 10) == "FORM t\n^")
        #expect(SQL.excerpt(of: "SELECT", at: 7) == "SELECT\n      ^")
        #expect(SQL.excerpt(of: "中\tx", at: 3) == "中 x\n   ^")
        let long = String(repeating: "a", count: 500) + "b" + String(repeating: "c", count: 500)
        let lines = SQL.excerpt(of: long, at: 501).split(separator: "\n")
        #expect(lines[0].hasPrefix("…aaa") && lines[0].hasSuffix("ccc…") && lines[0].count < 130)
        #expect(Array(lines[0])[lines[1].count - 1] == "b")
        for position in [0, -1, 8, .max, .min] {
            #expect(SQL.excerpt(of: "SELECT", at: position).isEmpty)
        }
    }

    @Test func `rows come one by one, and the connection goes on`() async throws {
        let cluster = try await PostgresCluster.start()
        let connection = try Connection.open(
            ConnectionParameters(keywords: [
                "host": cluster.socketDirectory, "port": "\(cluster.port)", "dbname": "postgres",
                "user": "postgres",
            ])
        )
        let query = "SELECT i, NULL, '' FROM generate_series(1, 1000) i"
        var sum = 0
        let count = try connection.forEachRow(of: query) { row in
            #expect(row.count == 3 && row[1] == nil && row[2]?.count == 0)
            sum += row[0].flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0
        }
        #expect((count, sum) == (1000, 500_500))
        #expect(throws: PostgresError.self) {
            _ = try connection.forEachRow(
                of: "SELECT 1 / (i - 500) FROM generate_series(1, 1000) i"
            ) { _ in }
        }
        let columns = try connection.describe("SELECT 1 AS one, 'x'::varchar(7), now()")
        #expect(columns.map(\.typeOID) == [23, 1043, 1184])
        #expect(columns.map(\.typeModifier) == [-1, 11, -1])
        #expect(columns[0].name == "one")
        var lines: [String] = []
        try connection.copyOut(of: "COPY (VALUES (1, 'a'), (2, NULL)) TO STDOUT") {
            lines.append(String(decoding: $0, as: UTF8.self))
        }
        #expect(lines == ["1\ta\n", "2\t\\N\n"])
    }
}
