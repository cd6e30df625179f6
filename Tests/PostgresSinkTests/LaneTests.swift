// SPDX-License-Identifier: Apache-2.0
//
// Rows that went through lanes are the rows that the source has, value by value.

import ChangeModel
import LibPQ
import Replication
import Sink
import Snapshot
import Support
import Testing

@testable import PostgresSink

@Suite(.serialized) struct LaneTests {
    private func format(_ fixture: LaneFixture, _ table: SnapshotTable) throws -> CopyFormat {
        try fixture.lanes().open { true }.format(of: table.relation)
    }

    @Test(arguments: VersionPair.available)
    func `types with one binary form arrive in binary, byte for byte`(
        versions: VersionPair
    ) async throws {
        let fixture = try await LaneFixture.start(versions, LaneCases.definitions(ofBinary: true))
        try fixture.source.psql(LaneCases.rows(ofBinary: true))
        let tables = try fixture.tables()
        #expect(try format(fixture, try #require(tables.first)) == .binary)
        let report = try await fixture.copy(tables)
        #expect(try fixture.expectSame("SELECT * FROM t ORDER BY id") == LaneCases.rowCount)
        #expect(report.progress("public.t")?.rowsCopied == Int64(LaneCases.rowCount))
        try await fixture.expectNoSessions()
    }

    @Test(arguments: VersionPair.available)
    func `other types arrive as text`(versions: VersionPair) async throws {
        let fixture = try await LaneFixture.start(versions, LaneCases.definitions(ofBinary: false))
        try fixture.source.psql(LaneCases.rows(ofBinary: false))
        let tables = try fixture.tables()
        #expect(try format(fixture, try #require(tables.first)) == .text)
        let report = try await fixture.copy(tables)
        #expect(try fixture.expectSame("SELECT * FROM t ORDER BY id") == LaneCases.rowCount)
        #expect(report.progress("public.t")?.rowsCopied == Int64(LaneCases.rowCount))
    }

    @Test func `a column of another type on the target makes the table go as text`() async throws {
        let fixture = try await LaneFixture.start("CREATE TABLE t (id int PRIMARY KEY, v text)")
        try fixture.target.psql("ALTER TABLE t ALTER id TYPE bigint, ALTER v TYPE varchar(9)")
        try fixture.source.psql(
            #"INSERT INTO t VALUES (1, E'a\tb'), (2, '\N'), (3, NULL), (4, '')"#
        )
        let tables = try fixture.tables()
        #expect(try format(fixture, try #require(tables.first)) == .text)
        try await fixture.copy(tables)
        #expect(try fixture.expectSame("SELECT id, v FROM t ORDER BY id") == 4)
    }

    @Test(arguments: ["int", "mood"])
    func `chunks of many workers make one table whole`(type: String) async throws {
        let fixture = try await LaneFixture.start(
            """
            CREATE TYPE mood AS ENUM ('7', '8');
            CREATE TABLE big (id int, n \(type), note text);
            CREATE TABLE small (id int PRIMARY KEY);
            CREATE TABLE empty (id int PRIMARY KEY);
            CREATE TABLE long (id int, note text);
            """
        )
        // One row is longer than a write, and one longer than what sockets hold.
        try fixture.source.psql(
            """
            INSERT INTO big
                SELECT g, '7', repeat(md5(g::text), 15) FROM generate_series(1, 90000) g;
            INSERT INTO small SELECT g FROM generate_series(1, 100) g;
            INSERT INTO long SELECT g, repeat('x', g * 100000) FROM generate_series(1, 8) g;
            INSERT INTO long VALUES (9, repeat('y', 5000000));
            """
        )
        let report = try await fixture.copy(fixture.tables())
        for query in ["count(*), sum(id), count(DISTINCT id), sum(hashtext(big::text)) FROM big"] {
            try fixture.expectSame("SELECT \(query)")
        }
        try fixture.expectSame("SELECT * FROM small ORDER BY id")
        try fixture.expectSame("SELECT id, md5(note) FROM long ORDER BY id")
        let rows = ["big": 90_000, "small": 100, "empty": 0, "long": 9]
        for (name, count) in rows {
            let progress = try #require(report.progress("public.\(name)"))
            #expect(progress.rowsCopied == Int64(count), "\(name)")
            #expect(progress.state == .done, "\(name)")
        }
        #expect(report.rowsPassed == 90_109)
        #expect(report.progress("public.big").map { $0.bytesCopied > 90_000 * 480 } == true)
    }

    @Test func `columns, rows and names are those of the source's settings`() async throws {
        let fixture = try await LaneFixture.start(
            #"""
            CREATE TABLE part (id int PRIMARY KEY, a text, b text, c int DEFAULT 5);
            CREATE TABLE made (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
            CREATE TABLE "Odd ""name" ("sel""ect" int PRIMARY KEY, "Ä" text);
            CREATE TABLE nothing ();
            CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
            CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
            CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1000) TO (2000);
            """#
        )
        try fixture.source.psql(
            #"""
            INSERT INTO part SELECT g, 'a' || g, 'b' || g, g FROM generate_series(1, 50) g;
            INSERT INTO made SELECT g FROM generate_series(1, 50) g;
            INSERT INTO "Odd ""name" VALUES (1, 'ß'), (2, NULL);
            INSERT INTO nothing DEFAULT VALUES;
            INSERT INTO nothing DEFAULT VALUES;
            INSERT INTO parts SELECT g, 'v' || g FROM generate_series(0, 1999) g;
            """#
        )
        try fixture.target.psql("ALTER TABLE made ALTER twice DROP EXPRESSION")
        let tables = try fixture.tables([
            TableRule(
                pattern: TablePattern(schema: .exact("public"), name: .exact("part")),
                columns: ["b", "id"],
                filter: "id % 5 = 0"
            ),
            TableRule(pattern: TablePattern(schema: .exact("public"), name: .glob("*"))),
        ])
        try await fixture.copy(tables)
        let part = try fixture.target.psql(
            "SELECT count(*), sum(id), max(b), max(a), max(c) FROM part"
        )
        #expect(part == "10|275|b50||5")
        // pgoutput does not send what is generated, so the snapshot does not either.
        #expect(try fixture.target.psql("SELECT count(id), count(twice) FROM made") == "50|0")
        try fixture.expectSame(#"SELECT * FROM "Odd ""name" ORDER BY 1"#)
        #expect(try fixture.target.psql("SELECT count(*) FROM nothing") == "2")
        #expect(try fixture.expectSame("SELECT * FROM parts ORDER BY id") == 2000)
        try fixture.expectSame(
            "SELECT tableoid::regclass, count(*) FROM parts GROUP BY 1 ORDER BY 1"
        )
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `no setting of a role ends a session that waits`(version: PostgresVersion) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        var names: [String] = []
        if version >= .v14 { names.append("idle_session_timeout") }
        if version >= .v17 { names.append("transaction_timeout") }
        for name in names { try cluster.psql("ALTER ROLE postgres SET \(name) = '1h'") }
        let connection = try Connection.open(cluster.laneParameters())
        let rights = try TargetSession.setUp(connection)
        #expect(rights.skipsTriggers)
        for name in names { #expect(try connection.query("SHOW \(name)").text(0, 0) == "0") }
    }

    @Test func `an interval goes in binary only to a server that knows infinite ones`() {
        for type: UInt32 in [1186, 1187] {
            #expect(!BinaryForm.isShared(source: type, target: type, version: 160_009))
            #expect(BinaryForm.isShared(source: type, target: type, version: 170_000))
        }
        #expect(BinaryForm.isShared(source: 1700, target: 1700, version: 100_000))
        #expect(!BinaryForm.isShared(source: 1700, target: 701, version: 150_000))
        // The bytes of characters are their text, whatever the receiver makes of their length.
        #expect(BinaryForm.isShared(source: 25, target: 1043, version: 100_000))
        #expect(!BinaryForm.isShared(source: 25, target: 17, version: 100_000))
        // A type of the database may have the same OID on both sides and be another.
        #expect(!BinaryForm.isShared(source: 16_400, target: 16_400, version: 150_000))
    }
}

/// A table of all types that go in binary, and one of those that do not.
enum LaneCases {
    private static let binary: [(String, [String])] = [
        ("boolean", ["t", "f"]), ("smallint", ["-32768", "32767"]),
        ("integer", ["-2147483648", "2147483647"]),
        ("bigint", ["-9223372036854775808", "9223372036854775807"]), ("oid", ["0", "4294967295"]),
        ("real", ["NaN", "-Infinity", "1.17549435e-38", "3.4028235e38", "-0"]),
        ("double precision", ["NaN", "Infinity", "5e-324", "0.1", "-1.7976931348623157e308"]),
        ("numeric", ["NaN", "0.000000000000000000001", "-12345678901234567890.0100", "1e400"]),
        ("numeric(10,2)", ["-99999999.99", "0"]),
        ("text", ["", #"a\tb"#, #"\N"#, "żółć 🐘", "\t\n\\"]),
        ("varchar(9)", ["", "漢字漢字漢字漢字漢"]), ("char(3)", ["a", "abc", ""]),
        ("bytea", ["", #"\x00ff5c0a09"#]),
        ("date", ["infinity", "4713-01-01 BC", "5874897-12-31"]),
        ("time(3)", ["00:00", "24:00", "12:34:56.789"]), ("timetz", ["12:00+15:59", "00:00-12"]),
        ("timestamp", ["-infinity", "4713-01-01 BC", "294276-12-31 23:59:59.999999"]),
        ("timestamptz", ["infinity", "2000-01-01 00:00:00.000001+00"]),
        ("uuid", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
        ("json", [#"{"a" : 1.0, "a":[ ]}"#, "null"]),
        ("jsonb", [#"{"a" : 1.0, "b":[ "ü" ]}"#, "null"]), ("inet", ["::1/64", "10.0.0.1"]),
        ("cidr", ["10.0.0.0/8", "2001:db8::/32"]), ("macaddr", ["08:00:2b:01:02:03"]),
        ("macaddr8", ["08:00:2b:01:02:03:04:05"]), ("bit(3)", ["101"]),
        ("bit varying", ["", "10"]),
        ("integer[]", ["{}", "{NULL,1}", "[0:1]={1,2}", "{{1,2},{3,4}}"]),
        ("text[]", [#"{"",NULL,"NULL","a\"b\\c,d"}"#]), ("numeric[]", ["{NaN,1.50}"]),
        ("timestamptz[]", ["{infinity,NULL}"]), ("bytea[]", [#"{"\\x00",NULL}"#]),
        ("jsonb[]", [#"{"{\"a\": 1}"}"#]), ("boolean[]", ["{t,f,NULL}"]), ("uuid[]", ["{}"]),
        ("varchar(2)[]", ["{ab,NULL}"]), ("inet[]", ["{10.0.0.1}"]), ("bit(2)[]", ["{10}"]),
    ]

    private static let textual: [(String, [String])] = [
        ("interval", ["1 year -2 days 03:04:05.000006", "00:00"]),
        ("money", ["-92233720368547758.08"]),
        ("xml", ["<a>&lt;</a>"]), ("tsvector", ["'a':1A 'b c':2"]), ("tsquery", ["'a' & !'b'"]),
        ("int4range", ["empty", "[1,5)", "(,)"]), ("tstzrange", [#"["2000-01-01 00:00:00+00",)"#]),
        ("point", ["(1.5,-2)"]), ("polygon", ["((0,0),(1,1),(1,0))"]), ("box[]", ["{(1,1),(0,0)}"]),
        ("\"char\"", ["x", ""]), ("name", ["n"]), ("pg_lsn", ["16/B374D848"]),
        ("mood", ["sad", "it's \"so\""]), ("mood[]", [#"{sad,NULL,"it's \"so\""}"#]),
        ("positive", ["1"]), ("pair", [#"(1,"a,\"b\"")"#, "(,)"]), ("interval[]", ["{1 day,NULL}"]),
        ("text", ["", #"\N"#, #"\."#, "tab\tline\nreturn\rback\\"]), ("jsonb", [#"{"a": "\\n"}"#]),
    ]

    private static let types = """
        CREATE TYPE mood AS ENUM ('sad', 'it''s "so"');
        CREATE TYPE pair AS (n int, t text);
        CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        """

    /// One row for each value of the column with most, and one of NULLs.
    static let rowCount = 6

    static func definitions(ofBinary: Bool) -> String {
        let columns = (ofBinary ? binary : textual).enumerated().map { "c\($0) \($1.0)" }
        return "\(types)\nCREATE TABLE t (id int PRIMARY KEY, \(columns.joined(separator: ", ")));"
    }

    static func rows(ofBinary: Bool) -> String {
        let cases = ofBinary ? binary : textual
        let rows = (0..<rowCount).map { row in
            let values = cases.map { _, values in
                row == rowCount - 1 ? "NULL" : SQL.literal(values[row % values.count])
            }
            return "(\(row), \(values.joined(separator: ", ")))"
        }
        return "INSERT INTO t VALUES \(rows.joined(separator: ",\n"));"
    }
}
