// SPDX-License-Identifier: Apache-2.0

import BatchJobs
import ChangeModel
import LibPQ
import Settings
import Support
import Testing

@Suite struct WritingTests {
    private static let items = "CREATE TABLE items (id int PRIMARY KEY, v text, n numeric(6,2));"

    @Test(arguments: [Job.PostgreSQLWriter.Mode.insert, .copy])
    func `every value arrives as it is`(mode: Job.PostgreSQLWriter.Mode) async throws {
        let odd = [
            "", "\\", "\\N", "a\tb", "\t", "\n", "a\r\nb\\.", "żółć 🐘", "12345678\\", "1234567\t8",
        ]
        let rows: [[String?]] =
            odd.enumerated().map { ["\($0)", $1, "1.5"] } + [["100", nil, nil]]
        try await WritingServer.run(Self.items) { target throws in
            let result = try target.write(rows, step("items", mode))
            #expect(result.dirty == [])
            #expect(result.written == rows.count)
            for (id, text) in odd.enumerated() {
                let found = try target.rows(
                    "SELECT v = \(SQL.literal(text)), n FROM items WHERE id = \(id)"
                )
                #expect(found == "t|1.50", "\(text)")
            }
            #expect(
                try target.rows("SELECT v IS NULL AND n IS NULL FROM items WHERE id = 100") == "t"
            )
        }
    }

    @Test(arguments: [Job.PostgreSQLWriter.Mode.insert, .copy])
    func `only the bad rows of many are dirty`(mode: Job.PostgreSQLWriter.Mode) async throws {
        try await WritingServer.run(Self.items) { target throws in
            var rows: [[String?]] = (1...30_000).map { ["\($0)", "row \($0)", "\($0 % 100)"] }
            rows[0][0] = "x"
            rows[1][2] = "99999"
            rows[1023][0] = "1"
            rows[9_000][0] = "9000"
            rows[9_001][2] = "much"
            rows[20_000][0] = nil
            rows[29_999][0] = "99999999999"
            let result = try target.write(rows, step("items", mode))
            let places = [0, 1, 9_000, 9_001, 20_000, 29_999]
            #expect(result.dirtyKeys == places.map { rows[$0][0] ?? "NULL" })
            #expect(
                result.dirty.map(\.sqlState)
                    == ["22P02", "22003", "23505", "22P02", "23502", "22003"]
            )
            #expect(result.dirty.map(\.values) == places.map { rows[$0] })
            #expect(result.written == 29_994)
            let sum = (1...30_000).reduce(0, +) - places.reduce(0) { $0 + $1 + 1 } - 1024 + 1
            #expect(try target.rows("SELECT count(*), sum(id) FROM items") == "29994|\(sum)")
        }
    }

    @Test(arguments: [Job.PostgreSQLWriter.Mode.insert, .copy])
    func `a batch of nothing but bad rows leaves each of them dirty`(
        mode: Job.PostgreSQLWriter.Mode
    ) async throws {
        try await WritingServer.run(Self.items) { target throws in
            try target.rows("INSERT INTO items SELECT i FROM generate_series(1, 500) i")
            let rows: [[String?]] = (1...500).map { ["\($0)", "x", nil] }
            let result = try target.write(rows, step("items", mode))
            #expect(result.dirtyKeys == (1...500).map(String.init))
            #expect(result.written == 0)
            #expect(result.dirty.allSatisfy { $0.reason.contains("items_pkey") })
        }
    }

    @Test func `too many dirty records end the writing`() async throws {
        try await WritingServer.run(Self.items) { target throws in
            let rows: [[String?]] = (1...100).map { [$0 % 10 == 0 ? "x" : "\($0)", nil, nil] }
            let records = rows.map(WritingFixture.record)
            #expect(throws: WalrelayError.self) {
                _ = try target.write(records, step("items"), dirtyLimit: 3)
            }
            #expect(try target.rows("SELECT count(*) FROM items") == "36")
        }
    }

    @Test func `records that are equal in type go in binary, dirty ones are told as text`()
        async throws
    {
        let definition = """
            CREATE TABLE t (id int PRIMARY KEY, a numeric, b timestamptz, c bytea, d text[], e bool);
            INSERT INTO t VALUES (2)
            """
        try await WritingServer.run(definition) { target throws in
            try target.rows("ALTER DATABASE \(target.database) SET timezone = 'Asia/Tokyo'")
            let records = try target.records(
                """
                SELECT i, 1.50::numeric, '2024-01-01 00:00+00'::timestamptz, '\\x00ff'::bytea,
                ARRAY['a b', NULL], NULL::bool FROM generate_series(1, 3) i
                """,
                .binary
            )
            let types: [UInt32] = [23, 1700, 1184, 17, 1009, 16]
            let result = try target.write(records, step("t", .copy), types: types)
            #expect(result.format == .binary)
            #expect(result.written == 2)
            #expect(
                result.dirty.map(\.values)
                    == [["2", "1.50", "2024-01-01 09:00:00+09", "\\x00ff", "{\"a b\",NULL}", nil]]
            )
            #expect(try target.rows("SELECT count(*), sum(a) FROM t") == "3|3.00")
        }
    }

    @Test func `characters go in binary into columns of any length, which is checked`() async throws
    {
        let definition = "CREATE TABLE t (a varchar(3), b text, c char(4))"
        try await WritingServer.run(definition) { target throws in
            let query =
                "SELECT v::text, v::varchar, v::text FROM (VALUES ('abc'), ('ż  '), ('abcd'), (NULL)) x (v)"
            let records = try target.records(query, .binary)
            let result = try target.write(records, step("t", .copy), types: [25, 1043, 25])
            #expect(result.format == .binary)
            #expect(result.dirty.map(\.values) == [["abcd", "abcd", "abcd"]])
            #expect(result.dirty.map(\.sqlState) == ["22001"])
            #expect(
                try target.rows("SELECT count(*), count(a), bool_or(b = 'ż  ') FROM t") == "3|2|t"
            )
            // An int4 is no int8 in binary: then both go as text.
            let numbers = try target.records("SELECT 1::int4, 'x', 'y'")
            try target.rows("ALTER TABLE t ALTER a TYPE int8 USING 1")
            let asText = try target.write(numbers, step("t", .copy), types: [23, 25, 25])
            #expect(asText.format == .text)
            #expect(asText.written == 1)
        }
    }

    @Test func `statements run before and after, and what fails is named`() async throws {
        try await WritingServer.run(Self.items) { target throws in
            let made = step("orders", .copy) {
                $0.preSQL = [
                    "CREATE TABLE @table (id int, v text)",
                    "INSERT INTO orders VALUES (0, 'first')",
                ]
                $0.postSQL = ["UPDATE @table SET v = 'last' WHERE id = 1; ANALYZE orders"]
            }
            #expect(try target.write([["1", "x"]], made).written == 1)
            #expect(try target.rows("SELECT * FROM orders ORDER BY id") == "0|first\n1|last")

            var error = try target.failure(
                [["1", "x", "1"]],
                step("items") { $0.preSQL = ["SELECT 1", "DELETE FROM\n  itms"] }
            )
            #expect(error?.code == "job.sql")
            #expect(error?.exit == .settings)
            let message = try #require(error?.message)
            #expect(message.contains("preSql statement 2 of 2"))
            #expect(message.hasSuffix("    itms\n    ^"))
            error = try target.failure(
                [["1", "x", "1"]],
                step("items") { $0.postSQL = ["SELECT 1/0"] }
            )
            #expect(error?.exit == .refused)
            #expect(try target.rows("SELECT count(*) FROM items") == "1")
            error = try target.failure([["1", "x", "1"]], step("items") { $0.preSQL = ["BEGIN"] })
            #expect(error?.message.contains("transaction") == true)
            error = try target.failure(
                [["1", "x", "1"]],
                step("items") { $0.preSQL = ["COPY items FROM STDIN"] }
            )
            #expect(error?.message.contains("nothing to copy") == true)
        }
    }
}

/// A step that writes all columns of a table.
private func step(
    _ table: String,
    _ mode: Job.PostgreSQLWriter.Mode = .insert,
    change: (inout Job.PostgreSQLWriter) -> Void = { _ in }
) -> Job.PostgreSQLWriter {
    step(table, ["*"], mode, change: change)
}
