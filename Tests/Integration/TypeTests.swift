// SPDX-License-Identifier: Apache-2.0
//
// One encoder: a row has the same values whether the snapshot copied it or the stream brought it,
// as new row or as old one, whatever the server's settings are, and they are the documented ones.
import Foundation
import Support
import Testing

@Suite(.serialized)
struct TypeTests {
    /// Settings of the database that would change how values are printed.
    private static let oddSettings = [
        ("DateStyle", "German, DMY"), ("IntervalStyle", "postgres_verbose"),
        ("TimeZone", "Asia/Kolkata"), ("bytea_output", "escape"), ("extra_float_digits", "-15"),
        ("client_encoding", "LATIN1"), ("xmloption", "document"), ("search_path", "nowhere"),
        ("standard_conforming_strings", "off"), ("array_nulls", "off"),
        ("quote_all_identifiers", "on"), ("default_transaction_read_only", "off"),
    ]

    /// A value of JSON as the reader of events sees it.
    private static func value(_ json: String) throws -> JSONValue? {
        try ChangeEvent(#"{"op":"c","after":{"x":\#(json)}}"#).after?["x"]
    }

    /// The cases that this server can hold.
    private static func cases(
        _ version: PostgresVersion,
        _ task: DatabaseTask
    ) async throws -> [TypeCase] {
        var there: Set<String> = []
        for name in ["hstore", "citext"]
        where (try? await task.sql("CREATE EXTENSION \(name)")) != nil { there.insert(name) }
        if (try? await task.sql("SELECT '<a/>'::xml")) != nil { there.insert("xml") }
        return TypeCase.all.filter { example in
            example.since <= version && example.needs.map(there.contains) != false
        }
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `each type has one value, in the snapshot, the stream and the documents`(
        version: PostgresVersion
    ) async throws {
        let task = try await DatabaseTask("types_all", on: VersionClusters.all.cluster(version))
        try await task.sql(TypeCase.prelude)
        let cases = try await Self.cases(version, task)
        let columns = cases.enumerated().map { "c\($0) \($1.type)" }.joined(separator: ", ")
        try await task.sql(
            "CREATE TABLE old (id int PRIMARY KEY, touched int, \(columns));"
                + "ALTER TABLE old REPLICA IDENTITY FULL;"
                + "CREATE TABLE live (LIKE old INCLUDING ALL);"
                + "ALTER TABLE live REPLICA IDENTITY FULL;"
        )
        // The last row has NULL everywhere.
        let count = (cases.map(\.values.count).max() ?? 0) + 1
        let rows = (0..<count).map { row in
            let values = cases.map { $0.values.indices.contains(row) ? $0.values[row].sql : "NULL" }
            return "INSERT INTO old VALUES (\(row), 0, \(values.joined(separator: ", ")));"
        }
        try await task.sql(rows.joined(separator: "\n"))
        let odd = Self.oddSettings.map {
            #"ALTER DATABASE "\#(task.name)" SET \#($0) = \#($0 == "search_path" ? $1 : "'\($1)'");"#
        }
        try await task.sql(odd.joined())
        try task.write(tables: "{ include: [public.old, public.live] }")
        try await task.runToNow()
        try await task.sql(
            """
            INSERT INTO public.live SELECT * FROM public.old;
            UPDATE public.live SET touched = 1;
            DELETE FROM public.live;
            """
        )
        try await task.runToNow()

        let events = try task.reader.events()
        #expect(events.count == 4 * count)
        for event in events {
            let row = try #require(event.op == "d" ? event.before : event.after)
            try check(row, cases, event)
            if event.op == "u" { try check(try #require(event.before), cases, event) }
        }
        try await task.end()
    }

    private func check(
        _ row: ChangeEvent.Row,
        _ cases: [TypeCase],
        _ event: ChangeEvent
    ) throws {
        let number = try #require(row["id"]?.text.flatMap { Int($0) })
        for (index, example) in cases.enumerated() {
            let isGiven = example.values.indices.contains(number)
            let json = isGiven ? example.values[number].json : "null"
            let wanted = try Self.value(json)
            let own = row["c\(index)"]
            #expect(own == wanted, "\(example.type) in \(event.op) of \(event.table)")
        }
    }

    /// A column, its value and the JSON under one line of `format:`.
    struct Variant: Sendable, CustomTestStringConvertible {
        let format: String
        let values: [(type: String, sql: String, json: String)]

        var testDescription: String { format }

        static let all = [
            Variant(
                format: "{ decimals: precise, temporal: epoch, binary: hex }",
                values: [
                    ("numeric(10,2)", "1.5", #""AJY=""#), ("numeric(8,-2)", "12300", #""ew==""#),
                    ("numeric", "1.50", #"{"scale":2,"value":"AJY="}"#),
                    ("numeric", "NaN", #""NaN""#), ("money", "-1234.56", #""/h3A""#),
                    ("date", "2024-02-29", "19782"), ("time", "12:34:56.5", "45296500000"),
                    ("time(3)", "12:34:56.5", "45296500"),
                    ("timestamp", "2024-01-01 12:34:56.123456", "1704112496123456"),
                    ("timestamp(3)", "2024-01-01 12:34:56.12", "1704112496120"),
                    ("timestamptz", "2024-01-01 12:00:00.5+00", #""2024-01-01T12:00:00.5Z""#),
                    ("interval", "1 month", "2629800000000"), ("bytea", #"\x00ff10"#, #""00ff10""#),
                    ("numeric(10,2)[]", "{1.5,NULL}", #"["AJY=",null]"#),
                    ("date[]", "{1970-01-02}", "[1]"),
                ]
            ),
            Variant(
                format: "{ decimals: double }",
                values: [
                    ("numeric(10,2)", "1.5", "1.50"), ("numeric", "NaN", #""NaN""#),
                    ("money", "-1234.56", "-1234.56"),
                    ("numeric", "12345678901234567890.5", "12345678901234567890.5"),
                    ("date", "2024-02-29", #""2024-02-29""#), ("bytea", #"\x00ff10"#, #""AP8Q""#),
                ]
            ),
        ]
    }

    @Test(arguments: Variant.all)
    func `the format's settings hold for the snapshot and the stream`(
        variant: Variant
    ) async throws {
        let name = "format_\(variant.values.count)"
        let task = try await DatabaseTask(name, on: VersionClusters.all.cluster())
        let columns = variant.values.enumerated().map { "c\($0) \($1.type)" }
        let values = variant.values.map { "'\($0.sql)'" }.joined(separator: ", ")
        try await task.sql(
            """
            CREATE TABLE t (\(columns.joined(separator: ", ")), id int PRIMARY KEY);
            INSERT INTO t VALUES (\(values), 1)
            """
        )
        try task.write(more: "format: \(variant.format)")
        try await task.runToNow()
        try await task.sql("INSERT INTO t VALUES (\(values), 2)")
        try await task.runToNow()
        let events = try task.reader.events()
        #expect(events.map(\.op) == ["r", "c"])
        for event in events {
            for (index, value) in variant.values.enumerated() {
                let wanted = try Self.value(value.json)
                #expect(event.after?["c\(index)"] == wanted, "\(value.type) in \(event.op)")
            }
        }
        try await task.end()
    }

    @Test(arguments: ["DEFAULT", "FULL"])
    func `a large value that an update leaves alone is told so, or filled in`(
        identity: String
    ) async throws {
        let task = try await DatabaseTask(
            "toast_\(identity.lowercased())",
            on: VersionClusters.all.cluster()
        )
        try await task.sql(
            """
            CREATE TABLE t (id int PRIMARY KEY, n int, s text, b bytea, l text[], j jsonb);
            ALTER TABLE t REPLICA IDENTITY \(identity);
            CREATE FUNCTION large(n int) RETURNS text LANGUAGE sql IMMUTABLE AS
            'SELECT string_agg(md5(i::text), '''') FROM generate_series(n, n + 32767) i';
            INSERT INTO t SELECT 1, 0, large(1), large(2)::bytea, ARRAY[large(3), NULL],
                jsonb_build_array(large(4));
            """
        )
        try task.write()
        try await task.runToNow()
        try await task.sql(
            """
            UPDATE t SET n = 1;
            UPDATE t SET s = 'small';
            UPDATE t SET id = 2;
            DELETE FROM t;
            """
        )
        try await task.runToNow()
        let events = try task.reader.events()
        #expect(events.map(\.op) == ["r", "u", "u", "u", "d"])
        let first = try #require(events[0].after)
        #expect(first["s"]?.text?.utf8.count == 1 << 20)
        let unavailable = JSONValue.string("__debezium_unavailable_value")
        for (event, isSmall) in zip(events[1...3], [false, true, true]) {
            let after = try #require(event.after)
            for name in ["s", "b", "l", "j"] {
                let old = identity == "FULL" ? first[name] : unavailable
                let wanted = name == "s" && isSmall ? .string("small") : old
                #expect(after[name] == wanted, "\(name) of \(after["n"]?.text ?? "")")
            }
        }
        let before = try #require(events[4].before)
        #expect(before["id"]?.text == "2")
        #expect(before["b"] == (identity == "FULL" ? first["b"] : nil))
        try await task.end()
    }
}
