// SPDX-License-Identifier: Apache-2.0
//
// New rows by binary COPY into a real server: what arrives is what the text would have made, what
// has to stay text does, and a trigger tells by which statement the rows came.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

struct BinaryCopyTests {
    private static let columns = """
        id int PRIMARY KEY, b bool, i2 smallint, i8 bigint, o oid, t text, vc varchar(12), \
        bc char(6), js json, by bytea, d date, ts timestamp, ts3 timestamp(3), tz timestamptz, \
        tz0 timestamptz(0), u uuid
        """
    private static let names = [
        "id", "b", "i2", "i8", "o", "t", "vc", "bc", "js", "by", "d", "ts", "ts3", "tz", "tz0", "u",
    ]

    /// A row each for the numbers of `FROM`: the whole range of every type, and NULLs.
    private static let random = """
        SELECT g, nullif(g % 3, 2)::bool, (random() * 65535 - 32768)::int,
        (random() * 2e18 - 1e18)::bigint * (1 + g % 9), (random() * 4294967295)::bigint::oid,
        CASE g % 5 WHEN 0 THEN '' WHEN 1 THEN NULL WHEN 2 THEN E'a\\t\\n\\\\N\\\\.é漢🎈'
        ELSE repeat(md5(g::text), g % 40) END, left(md5(g::text), g % 13), left('ab é ', g % 6),
        json_build_object('k', g, 'v', E'\\\\\\n"')::json, decode(md5(g::text), 'hex'),
        date '4714-11-24 BC' + (random() * 2147483492)::int, near, far, far AT TIME ZONE 'UTC',
        near AT TIME ZONE 'UTC', md5(g::text)::uuid FROM (SELECT g,
        date_trunc((ARRAY['microseconds', 'milliseconds', 'second', 'day'])[1 + g % 4],
        timestamp '1900-01-01' + random() * interval '200 years') AS near,
        (date '4714-11-24 BC' + (random() * 109203526)::int)::timestamp
        + random() * interval '1 day' AS far FROM generate_series(1, 5000) g OFFSET 0) AS made
        """
    private static let edges = """
        (6001, 't', -32768, -9223372036854775808, 0, '', '', '', '0', '\\x', 'infinity',
        'infinity', '-infinity', 'infinity', '-infinity', '00000000-0000-0000-0000-000000000000'),
        (6002, 'f', 32767, 9223372036854775807, 4294967295, ' ', ' ', ' ', ' [] ', '\\x00',
        '-infinity', '4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.9994',
        '294276-12-31 23:59:59.999999+00', '4714-11-24 00:00:00+00 BC',
        'ffffffff-ffff-ffff-ffff-ffffffffffff'), (6003, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, '5874897-12-31', '0001-12-31 23:59:59 BC', '2000-02-29 23:59:59.9995', NULL,
        NULL, NULL), (6004, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '4714-11-24 BC',
        '0001-01-01 00:00:00', '1999-12-31 23:59:59.999999', NULL, NULL, NULL)
        """

    /// Keeps the statements that inserted into a table.
    private static func watched(_ table: String) -> String {
        """
        ;CREATE TABLE asked (place serial, statement text);
        CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO asked (statement) VALUES (current_query()); RETURN NULL; END';
        CREATE TRIGGER ask AFTER INSERT ON \(table) FOR EACH STATEMENT EXECUTE PROCEDURE ask();
        """
    }

    /// The formats of the COPYs that the trigger has seen.
    private static func formats(_ target: borrowing ApplyTarget) throws -> [String] {
        try target.rows(
            "SELECT CASE WHEN statement LIKE 'COPY%(FORMAT binary)' THEN 'binary'"
                + " WHEN statement LIKE 'COPY%' THEN 'text' ELSE statement END"
                + " FROM asked ORDER BY place"
        )
    }

    /// So many times the same byte, in hexadecimal.
    private static func mebibyte(of byte: Int) -> String {
        let digits = String(byte, radix: 16)
        return String(repeating: digits.count == 1 ? "0" + digits : digits, count: 1 << 20)
    }

    /// The oldest and the newest that are here, and the one that is always here.
    private static let versions = Set(
        [PostgresVersion.available.first, .v15, PostgresVersion.available.last].compactMap(\.self)
    )

    @Test(arguments: versions)
    func `binary rows are what their text makes`(version: PostgresVersion) async throws {
        let list = Self.names.joined(separator: ", ")
        let texts = Self.names.map { "\($0)::text" }.joined(separator: ", ")
        let literals = Self.names.map { _ in "%L" }.joined(separator: ", ")
        let (differing, formats, count) = try await ApplyServer.run(
            "CREATE TABLE items (\(Self.columns)); CREATE TABLE wanted (LIKE items);"
                + "CREATE TABLE sent (LIKE items); ALTER TABLE sent ALTER ts3 TYPE timestamp,"
                + " ALTER tz0 TYPE timestamptz" + Self.watched("items"),
            version: version
        ) { target in
            try target.connection.query("SELECT setseed(0.25)")
            try target.connection.query("INSERT INTO sent \(Self.random)")
            try target.connection.query("INSERT INTO sent VALUES \(Self.edges)")
            // Each row as literals, by the way of INSERT.
            try target.connection.query(
                """
                DO $$ DECLARE statement text; BEGIN FOR statement IN SELECT
                format('INSERT INTO wanted VALUES (\(literals))', \(texts)) FROM sent
                LOOP EXECUTE statement; END LOOP; END $$
                """
            )
            let rows = try target.connection.query("SELECT \(list) FROM sent")
            var history = History(try target.table("items", key: ["id"]))
            for row in 0..<rows.count {
                history.insert((0..<rows.columnCount).map { Held(rows.value(row, $0)) })
            }
            try target.apply(history)
            return (
                try target.rows(
                    "(SELECT \(texts) FROM wanted EXCEPT SELECT \(texts) FROM items) UNION ALL"
                        + " (SELECT \(texts) FROM items EXCEPT SELECT \(texts) FROM wanted)"
                ),
                try Self.formats(target),
                try target.rows("SELECT count(*), count(DISTINCT (\(list))::text) FROM items")
            )
        }
        #expect(differing.isEmpty)
        #expect(formats == ["binary"])
        #expect(count == ["5004|5004"])
    }

    @Test func `large values go in several pieces`() async throws {
        let (rows, formats) = try await ApplyServer.run(
            "CREATE TABLE items (id int PRIMARY KEY, t text, b bytea)" + Self.watched("items")
        ) { target in
            var history = History(try target.table("items", key: ["id"]))
            let large = String(repeating: "é\\\n", count: 1 << 18)
            for id in 1...20 {
                let bytes = "\\x" + Self.mebibyte(of: id)
                history.insert(["\(id)", id % 2 == 0 ? .text(large) : "", .text(bytes)])
            }
            try target.apply(history)
            return (
                try target.rows(
                    "SELECT count(*), sum(octet_length(t)), sum(octet_length(b)),"
                        + " bool_and(b = decode(repeat(lpad(to_hex(id), 2, '0'), 1048576), 'hex'))"
                        + " FROM items"
                ), try Self.formats(target)
            )
        }
        #expect(rows == ["20|10485760|20971520|t"])
        #expect(formats == ["binary"])
    }

    @Test func `another type in a table, or on the other side, keeps it text`() async throws {
        let (rows, formats) = try await ApplyServer.run(
            "CREATE TABLE items (id int PRIMARY KEY, n numeric(6,2))" + Self.watched("items")
                + "CREATE TABLE other (id bigint PRIMARY KEY);"
                + "CREATE TRIGGER ask AFTER INSERT ON other FOR EACH STATEMENT"
                + " EXECUTE PROCEDURE ask()"
        ) { target in
            let items = try target.table("items", key: ["id"])
            var other = try target.table("other", key: ["id"])
            #expect(BinaryTables.values(of: items) == nil)
            #expect(BinaryTables.values(of: other) == [.int8])
            var source = other.relation.relation
            source.columns[0].typeOID = 23
            other.relation = RelationVersion(
                relation: source,
                types: other.relation.types,
                version: other.relation.version
            )
            #expect(BinaryTables.values(of: other) == nil)
            var history = History(items, other)
            for id in 1...20 { history.insert(["\(id)", "\(id).5"]) }
            for id in 1...20 { history.insert(["\(id)"], into: 1) }
            try target.apply(history)
            return (
                try target.rows(
                    "SELECT count(*), sum(n), sum(other.id) FROM items JOIN other USING (id)"
                ), try Self.formats(target)
            )
        }
        #expect(rows == ["20|220.00|210"])
        #expect(formats == ["text", "text"])
    }

    /// Values that the server reads, although it would print them otherwise.
    @Test(arguments: [1, 15, 9_999, 10_000])
    func `what is not understood goes as text from its piece on`(odd: Int) async throws {
        let (rows, formats, counts) = try await ApplyServer.run(
            "CREATE TABLE items (id int PRIMARY KEY, i int, d date)" + Self.watched("items")
        ) { target in
            var history = History(try target.table("items", key: ["id"]))
            for id in 1...10_000 {
                history.insert(
                    id == odd ? ["\(id)", " +7 ", "Jan 5, 2026"] : ["\(id)", "7", "2026-01-05"]
                )
            }
            try target.apply(history)
            return (
                try target.rows("SELECT count(*), i, d FROM items GROUP BY i, d"),
                try Self.formats(target), target.applier.counts
            )
        }
        #expect(rows == ["10000|7|2026-01-05"])
        // 2,500 rows are looked at together.
        #expect(formats == (odd > 2_500 ? ["binary", "text"] : ["text"]))
        #expect(counts.inserted == 10_000)
        #expect(counts.splitRuns == 0)
    }

    @Test func `a piece that was sent stays where a later one goes as text`() async throws {
        let (rows, formats) = try await ApplyServer.run(
            "CREATE TABLE items (id int PRIMARY KEY, t text, i int)" + Self.watched("items")
        ) { target in
            var history = History(try target.table("items", key: ["id"]))
            let large = String(repeating: "x", count: 300 << 10)
            for id in 1...12 { history.insert(["\(id)", .text(large), id == 9 ? "+9" : "\(id)"]) }
            try target.apply(history)
            return (
                try target.rows("SELECT count(*), sum(i), sum(length(t)) FROM items"),
                try Self.formats(target)
            )
        }
        #expect(rows == ["12|78|3686400"])
        #expect(formats == ["binary", "text"])
    }

    @Test(
        arguments: [
            (["123456", "{}"], "22001", "character varying(5)"),
            (["12345", "{"], "22P02", "invalid input syntax for type json"),
        ] as [([String], String, String)]
    )
    func `a row that is refused in binary is found`(
        row: [String],
        sqlState: String,
        words: String
    ) async throws {
        let (error, left) = try await ApplyServer.run(
            "CREATE TABLE items (id int PRIMARY KEY, v varchar(5), j json)"
        ) { target in
            let items = try target.table("items", key: ["id"])
            #expect(BinaryTables.values(of: items) != nil)
            var history = History(items)
            for id in 1...1_000 {
                history.insert(["\(id)"] + (id == 77 ? row : ["v", "[]"]).map { Held($0) })
            }
            return (try target.failure(history), try target.rows("SELECT count(*) FROM items"))
        }
        #expect(error?.code == "sink.row_refused")
        let message = try #require(error).message
        #expect(message.contains("(id)=(77)"))
        #expect(message.contains("SQLSTATE \(sqlState)"))
        #expect(message.contains(words))
        #expect(left == ["0"])
    }
}
