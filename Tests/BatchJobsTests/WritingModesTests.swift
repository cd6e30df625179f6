// SPDX-License-Identifier: Apache-2.0

import BatchJobs
import ChangeModel
import LibPQ
import Settings
import Support
import Testing

@Suite struct WritingModesTests {
    private static let items = "CREATE TABLE items (id int PRIMARY KEY, v text, n numeric(6,2));"

    @Test func `an upsert overwrites, and of equal keys the last one counts`() async throws {
        try await WritingServer.run(
            Self.items + "INSERT INTO items VALUES (1, 'old', 1), (9, 'other', 9)"
        ) {
            target throws in
            let rows: [[String?]] = [
                ["2", "a", "1"], ["1", "b", "1"], ["2", "c", nil], ["3", nil, "3"],
                ["2", "d", "2"],
                ["x", "e", "1"], [nil, "f", "1"],
            ]
            let result = try target.write(rows, step("items", ["*"], .upsert, key: ["id"]))
            #expect(result.dirtyKeys == ["x", "NULL"])
            #expect(result.written == 5)
            #expect(
                try target.rows("SELECT * FROM items ORDER BY id")
                    == "1|b|1.00\n2|d|2.00\n3||3.00\n9|other|9.00"
            )
        }
    }

    @Test func `rows with NULL in their key are rows of their own`() async throws {
        let definition = "CREATE TABLE t (a int, b text, c int, UNIQUE (a, b))"
        try await WritingServer.run(definition) { target throws in
            let rows: [[String?]] = [
                ["1", nil, "1"], ["1", nil, "2"], ["1", "x", "3"], ["1", "x", "4"],
            ]
            let result = try target.write(
                rows,
                step("t", ["a", "b", "c"], .upsert, key: ["b", "a"])
            )
            #expect(result.dirty == [])
            #expect(try target.rows("SELECT * FROM t ORDER BY c") == "1||1\n1||2\n1|x|4")
        }
    }

    @Test func `keys that only the column's type makes equal are resolved one by one`() async throws
    {
        let definition = "CREATE TABLE t (a numeric(6,1) PRIMARY KEY, v int)"
        try await WritingServer.run(definition) { target throws in
            let rows: [[String?]] = [["1.01", "1"], ["1.02", "2"], ["2", "3"], ["1.04", "4"]]
            let result = try target.write(rows, step("t", ["a", "v"], .upsert, key: ["a"]))
            #expect(result.dirty == [])
            #expect(try target.rows("SELECT * FROM t ORDER BY a") == "1.0|4\n2.0|3")
        }
    }

    @Test func `an upsert of nothing but keys keeps what is there`() async throws {
        try await WritingServer.run("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)")
        {
            target throws in
            let result = try target.write([["1"], ["2"]], step("t", ["a"], .upsert, key: ["A"]))
            #expect(result.dirty == [])
            #expect(try target.rows("SELECT * FROM t ORDER BY a") == "1\n2")
        }
    }

    @Test func `an update changes what is there and counts what is not`() async throws {
        try await WritingServer.run(
            Self.items + "INSERT INTO items VALUES (1, 'a', 1), (2, 'b', 2)"
        ) {
            target throws in
            let rows: [[String?]] = [
                ["x", "2"], ["y", "7"], ["z", "2"], ["u", "7"], ["v", nil], ["w", "1"],
                ["q", "much"],
            ]
            let result = try target.write(rows, step("items", ["v", "id"], .update, key: ["id"]))
            #expect(result.dirty.map(\.values) == [["q", "much"]])
            #expect(result.dirty.first?.reason.hasPrefix("column id: ") == true)
            #expect(result.written == 3)
            #expect(result.unmatched == 3)
            #expect(try target.rows("SELECT * FROM items ORDER BY id") == "1|w|1.00\n2|z|2.00")
        }
    }

    @Test func `an update by a key that is not unique changes each row`() async throws {
        let definition = "CREATE TABLE t (a int, v text); INSERT INTO t VALUES (1, 'x'), (1, 'y')"
        try await WritingServer.run(definition) { target throws in
            let result = try target.write(
                [["1", "z"], ["2", "z"]],
                step("t", ["a", "v"], .update, key: ["a"])
            )
            #expect(result.written == 1)
            #expect(result.unmatched == 1)
            #expect(result.warnings.contains { $0.contains("no unique index on (\"a\")") })
            #expect(try target.rows("SELECT DISTINCT v FROM t") == "z")
        }
    }

    @Test func `the types of the page's sample, and others, cast what they are given`() async throws
    {
        let definition = """
            CREATE TABLE t (id int, bigint_arr bigint[], double_arr double precision[], text_arr text[],
            jsonb_obj jsonb, json_obj json, cash money, address inet, bits bit(4), short text, "when" date)
            """
        let columns = [
            "id", "bigint_arr", "double_arr", "text_arr", "jsonb_obj", "json_obj", "cash",
            "address",
            "bits", "short", "\"when\"",
        ]
        try await WritingServer.run(definition) { target throws in
            let sample = step("t", columns) {
                $0.types = [
                    "bigint_arr": "bigint[]", "double_arr": "double[]", "text_arr": "text[]",
                    "jsonb_obj": "jsonb", "json_obj": "json", "short": "varchar(3)",
                    "when": "timestamp",
                ]
            }
            let rows: [[String?]] = [
                [
                    "1", "{1,2}", "{1.5,NaN}", "{a,\"b c\"}", "{\"a\": 1}", "[1, 2]", "$1,234.50",
                    "10.0.0.1/8", "1010", "abcdef", "2024-05-27 10:00:00",
                ],
                [
                    "2", " [1, [null]", "[1.5, 2]", "[\"a,b\", \"c\\\"\\u00e9\", null, \"[x]\"]",
                    "null", "{}", "5",
                    "::1", "0000", "", "2024-05-27",
                ],
                ["3", "[[1,2],[3,4]]", "[]", "[0:1]={x,y}", nil, nil, nil, nil, nil, nil, nil],
                ["4", nil, nil, nil, nil, nil, nil, nil, nil, nil, nil],
                ["5", "[1, \"x\"]", nil, nil, nil, nil, nil, nil, nil, nil, nil],
                ["6", nil, nil, nil, nil, nil, nil, nil, "10", nil, nil],
            ]
            let result = try target.write(rows, sample)
            #expect(result.dirtyKeys == ["2", "5", "6"])
            #expect(result.dirty.first?.reason.hasPrefix("column bigint_arr: ") == true)
            let fixed = try target.write([["2", " [1, null]"] + rows[1][2...]], sample)
            #expect(fixed.dirty == [])
            #expect(
                try target.rows("SELECT * FROM t ORDER BY id") == """
                    1|{1,2}|{1.5,NaN}|{a,"b c"}|{"a": 1}|[1, 2]|$1,234.50|10.0.0.1/8|1010|abc|2024-05-27
                    2|{1,NULL}|{1.5,2}|{"a,b","c\\"é",NULL,[x]}|null|{}|$5.00|::1|0000||2024-05-27
                    3|{{1,2},{3,4}}|{}|[0:1]={x,y}|||||||
                    4||||||||||
                    """
            )
        }
    }

    @Test func `a type that is unknown, or that COPY cannot cast to, is an error`() async throws {
        try await WritingServer.run(Self.items) { target throws in
            func code(
                _ mode: Job.PostgreSQLWriter.Mode,
                _ types: [String: String]
            ) throws -> String? {
                try target.failure(
                    [["1", "x", "1"]],
                    step("items", ["*"], mode) { $0.types = types }
                )?.code
            }
            #expect(try code(.insert, ["v": "bigintt"]) == "job.type_unknown")
            #expect(try code(.insert, ["v": "text; DROP TABLE items"]) == "job.type_unknown")
            #expect(try code(.insert, ["v": "int)::text--"]) == "job.type_unknown")
            #expect(try code(.insert, ["w": "text"]) == "job.column_missing")
            #expect(try code(.insert, ["id": "text"]) == "job.sql")
            #expect(try code(.copy, ["v": "jsonb"]) == "job.type_needs_insert")
            #expect(try code(.copy, ["id": "int4", "v": "text"]) == nil)
        }
    }
}
