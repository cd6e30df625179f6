// SPDX-License-Identifier: Apache-2.0
//
// Values of every kind on every way into a table: COPY, INSERT from arrays, UPDATE, ON CONFLICT,
// and the search for a whole row. What arrives is what the server itself makes of the text.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

struct AppliedValueTests {
    private static let types: [(type: String, values: [String])] = [
        ("smallint", ["-32768", "32767"]), ("bigint", ["-9223372036854775808", "0"]),
        ("numeric(12,3)", ["-123456789.125", "NaN"]), ("numeric", ["1.10", "1.100"]),
        ("real", ["1.1", "-Infinity"]), ("double precision", ["0.1", "1e+300"]),
        ("boolean", ["t", "f"]), ("money", ["$1.25", "-$3.00"]),
        ("text", ["a\tb\nc\rd\\e", "\\.", "\\N", "", "'\"{},", "é漢🎈", "\u{1}\u{8}\u{b}\u{c}"]),
        ("varchar(5)", ["abcde", "ab   "]), ("char(4)", ["ab  ", "abcd"]), ("\"char\"", ["x", ""]),
        ("name", ["n"]), ("bytea", ["\\x00ff5c0a", "\\x"]), ("bit(5)", ["10110"]),
        ("varbit(8)", ["101", ""]), ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        ("json", [#"{"a": [1, "x\ty\\"]}"#, "  1 "]), ("jsonb", [#"{"a": [1, "\\n"]}"#, "null"]),
        ("date", ["2026-02-28", "infinity", "0044-03-15 BC"]),
        ("time(3)", ["23:59:59.999"]), ("timetz", ["12:00:00+02"]),
        ("timestamp", ["2026-01-01 00:00:00.123456", "-infinity"]),
        ("timestamptz", ["2026-01-01 00:00:00.5+00"]), ("interval", ["1 year 2 mons -3 days"]),
        ("inet", ["10.0.0.1/8"]), ("cidr", ["10.0.0.0/8"]), ("macaddr", ["08:00:2b:01:02:03"]),
        ("point", ["(1.5,-2)"]), ("polygon", ["((0,0),(1,1),(1,0))"]), ("tsvector", ["'a':1 'b'"]),
        ("tsquery", ["'a' & 'b'"]), ("int4range", ["[1,5)", "empty"]), ("pg_lsn", ["16/B374D848"]),
        ("int[]", ["{1,NULL,3}", "{{1,2},{3,4}}", "{}", "[0:1]={7,8}"]),
        ("text[]", [#"{a,"b c","d\"e\\f",NULL,"NULL",""}"#]),
        ("timestamp[]", [#"{"2026-01-01 00:00:00"}"#]),
        ("mood", ["sad", "it's \"fine\""]), ("mood[]", [#"{sad,"it's \"fine\""}"#]),
        ("small", ["5"]), ("small[]", ["{1,2}"]), ("pair", [#"(1,"a ""b"" \\,c")"#]),
        ("numrange[]", [#"{"[1.5,2)",empty}"#]), ("oid", ["4294967295"]), ("regtype", ["integer"]),
        ("tid", ["(1,2)"]),
    ]

    private static let made = """
        CREATE TYPE mood AS ENUM ('sad', 'it''s "fine"'); \
        CREATE DOMAIN small AS int CHECK (value < 10); CREATE TYPE pair AS (a int, b text);
        """

    /// Rows of `count` ids with the values of each type in turn, NULL where they have ended.
    private static func tuple(_ id: Int, _ number: Int) -> [Held] {
        ["\(id)"] + types.map { number < $0.values.count ? .text($0.values[number]) : .null }
    }

    /// The oldest and the newest that are here, and the one that is always here.
    private static let versions = Set(
        [PostgresVersion.available.first, .v15, PostgresVersion.available.last].compactMap(\.self)
    )

    @Test(arguments: versions)
    func `values arrive as they are on every way`(version: PostgresVersion) async throws {
        let columns = Self.types.indices.map { "c\($0) \(Self.types[$0].type)" }
            .joined(separator: ", ")
        let names = Self.types.indices.map { "c\($0)::text" }.joined(separator: ", ")
        let rounds = Self.types.map(\.values.count).max() ?? 0
        let differing = try await ApplyServer.run(
            Self.made + "CREATE TABLE items (id int PRIMARY KEY, \(columns));"
                + "CREATE TABLE wanted (LIKE items)",
            version: version
        ) { target in
            let items = try target.table("items", key: ["id"])
            let nulls = [Held](repeating: .null, count: Self.types.count)
            // By COPY and by INSERT, then by UPDATE from NULL, then over what is there already.
            for id in 0..<4 {
                let tuples = (0..<rounds).map { Self.tuple(id * 100 + $0, $0) }
                var history = History(items)
                if id == 0 { for round in 50..<70 { history.insert(["\(round)"] + nulls) } }
                if id == 2 {
                    for round in 0..<rounds { history.insert(["\(200 + round)"] + nulls) }
                    try target.apply(history)
                    history = History(items)
                }
                if id == 3 {
                    for round in 50..<70 { history.insert(["\(round)"] + nulls) }
                }
                for tuple in tuples where id != 2 { history.insert(tuple) }
                for tuple in tuples where id == 2 { history.update(tuple) }
                try target.apply(history)
            }
            for id in 0..<4 {
                for round in 0..<rounds {
                    let values = Self.tuple(id * 100 + round, round).map { held in
                        if case .text(let value) = held { SQL.literal(value) } else { "NULL" }
                    }
                    try target.connection.query(
                        "INSERT INTO wanted VALUES (\(values.joined(separator: ", ")))"
                    )
                }
            }
            return try target.rows(
                "(SELECT id, \(names) FROM wanted EXCEPT SELECT id, \(names) FROM items)"
                    + " UNION ALL (SELECT id, \(names) FROM items WHERE id NOT BETWEEN 50 AND 69"
                    + " EXCEPT SELECT id, \(names) FROM wanted)"
            )
        }
        #expect(differing.isEmpty)
    }

    @Test(arguments: versions)
    func `whole rows of all types are found by their image`(
        version: PostgresVersion
    ) async throws {
        let columns = Self.types.indices.map { "c\($0) \(Self.types[$0].type)" }
            .joined(separator: ", ")
        let rounds = Self.types.map(\.values.count).max() ?? 0
        let (rows, counts) = try await ApplyServer.run(
            Self.made + "CREATE TABLE bag (id int, \(columns))",
            version: version
        ) { target in
            let bag = try target.table("bag")
            var history = History(bag)
            for round in 0..<rounds {
                for _ in 0..<2 { history.insert(Self.tuple(round, round)) }
            }
            try target.apply(history)
            history = History(bag)
            for round in 0..<rounds {
                history.delete(full: Self.tuple(round, round))
                history.update(Self.tuple(-1, round), full: Self.tuple(round, round))
            }
            try target.apply(history)
            return (try target.rows("SELECT DISTINCT id FROM bag"), target.applier.counts)
        }
        #expect(rows == ["-1"])
        #expect(counts.missed == 0)
        #expect(counts.deleted == UInt64(rounds * 2))
    }

    @Test func `names that need quotes, wide tables and keys of several columns`() async throws {
        let columns = (0..<300).map { "\"c\($0) \"\"x\"\"\" int" }.joined(separator: ", ")
        let rows = try await ApplyServer.run(
            "CREATE TABLE \"Odd \"\"name\" (\"a b\" text, \"order\" numeric(6,2), \(columns),"
                + " PRIMARY KEY (\"order\", \"a b\"))"
        ) { target in
            let table = try target.table("Odd \"name", key: ["a b", "order"])
            let rest = [Held](repeating: "7", count: 300)
            var history = History(table)
            for id in 1...10 { history.insert(["k'\(id)", "\(id).50"] + rest) }
            try target.apply(history)
            history = History(table)
            history.update(["k'1", "1.50"] + rest.map { _ in Held.unchanged })
            history.update(["k'2", "2.50"] + rest.dropLast() + ["8"])
            history.update(
                ["m", "3.50"] + rest.map { _ in Held.unchanged },
                key: ["k'3", "3.50"] + rest.map { _ in Held.absent }
            )
            history.delete(key: ["k'4", "4.50"] + rest.map { _ in Held.absent })
            history.insert(["n", "5.50"] + rest)
            history.insert(["k'5", "6"] + rest)
            try target.apply(history)
            history = History(table)
            history.insert(["n", "5.50"] + rest.map { _ in Held.null })
            try target.apply(history)
            return try target.rows(
                "SELECT \"a b\", \"order\", \"c0 \"\"x\"\"\", \"c299 \"\"x\"\"\" FROM \"Odd \"\"name\""
                    + " WHERE \"order\" < 7 ORDER BY 2, 1"
            )
        }
        #expect(
            rows == [
                "k'1|1.50|7|7", "k'2|2.50|7|8", "m|3.50|7|7", "k'5|5.50|7|7", "n|5.50|null|null",
                "k'5|6.00|7|7", "k'6|6.50|7|7",
            ]
        )
    }

    @Test func `a table that is only key, and one without columns`() async throws {
        let (rows, counts) = try await ApplyServer.run(
            "CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b)); CREATE TABLE nothing ()"
        ) { target in
            let pairs = try target.table("pairs", key: ["a", "b"])
            let nothing = try target.table("nothing")
            var history = History(pairs, nothing)
            for id in 1...10 { history.insert(["1", "\(id)"]) }
            history.insert([], into: 1)
            history.insert([], into: 1)
            try target.apply(history)
            history = History(pairs, nothing)
            history.update(["1", "1"])
            history.update(["1", "11"])
            history.insert(["1", "2"])
            history.delete(key: ["1", "3"])
            history.delete(full: [], from: 1)
            try target.apply(history)
            return (
                try target.rows("SELECT count(*), (SELECT count(*) FROM nothing) FROM pairs"),
                target.applier.counts
            )
        }
        #expect(rows == ["10|1"])
        #expect(counts.restored == 1)
    }

    @Test func `values of a megabyte`() async throws {
        let large = String(repeating: "a\\b\tc\n", count: 180_000)
        let rows = try await ApplyServer.run(
            "CREATE TABLE items (id int PRIMARY KEY, v text); CREATE TABLE bag (id int, v text)"
        ) { target in
            let items = try target.table("items", key: ["id"])
            let bag = try target.table("bag")
            var history = History(items, bag)
            for id in 1...3 { history.insert(["\(id)", "\(id)\(large)"]) }
            for id in 10...20 { history.insert(["\(id)", .text(large)]) }
            for id in 1...2 { history.insert(["\(id)", .text(large)], into: 1) }
            try target.apply(history)
            history = History(items, bag)
            for id in 1...3 { history.update(["\(id)", .text(large)]) }
            history.update(["99", .unchanged], key: ["20", .absent])
            history.delete(full: ["1", .text(large)], from: 1)
            try target.apply(history)
            return try target.rows(
                "SELECT count(*), count(DISTINCT v), max(v) = \(SQL.literal(large)), max(id),"
                    + " (SELECT count(*) FROM bag) FROM items"
            )
        }
        #expect(rows == ["14|1|t|99|1"])
    }
}
