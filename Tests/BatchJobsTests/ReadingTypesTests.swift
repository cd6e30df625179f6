// SPDX-License-Identifier: Apache-2.0
//
// Keys of every type that has an order, with the values that are hard to write down.

import Support
import Testing

@testable import BatchJobs

struct ReadingTypesTests {
    /// A type and SQL for its i-th value.
    private static let keys: [(type: String, value: String)] = [
        ("smallint", "(i % 32000)::smallint"),
        ("bigint", "i * 9223372036854 - 4611686018427387904"),
        ("numeric", "CASE i % 50 WHEN 0 THEN 'NaN' ELSE (i::numeric / 7)::text END::numeric"),
        ("numeric(20,4)", "i::numeric / 7"), ("real", "(i / 7.0)::real"),
        (
            "float8",
            "CASE i % 50 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' ELSE (i / 7.0)::text END::float8"
        ),
        ("money", "(i * 3)::money"), ("boolean", "i % 2 = 0"),
        ("date", "CASE i % 50 WHEN 0 THEN '-infinity' ELSE '0001-06-01'::date - i END::date"),
        ("timestamp", "'2024-01-01 00:00:00.000001 BC'::timestamp + i * interval '1.5 hours'"),
        ("timestamptz", "'1880-01-01'::timestamptz + i * interval '13 hours'"),
        ("time", "time '00:00' + i * interval '7 s'"),
        ("timetz", "timetz '00:00+02' + i * interval '7 s'"),
        ("interval", "i * interval '1 month 1.000001 s' - interval '9 years'"),
        ("char(12)", "'a''\\ b' || i"), ("varchar(40)", "'a''\"\\' || E'\\t\\n' || i"),
        ("text", "CASE i % 4 WHEN 0 THEN 'ß' WHEN 1 THEN '\\' WHEN 2 THEN '' ELSE '中' END || i"),
        (#""char""#, "chr(40 + i % 80)::\"char\""), ("name", "('N' || i)::name"),
        ("bytea", "decode(md5(i::text), 'hex')"), ("uuid", "md5(i::text)::uuid"),
        ("inet", "'10.0.0.0/8'::inet + i * 999"),
        ("cidr", "set_masklen('10.0.0.0'::cidr + i * 256, 32)::cidr"),
        ("macaddr", "lpad(to_hex(i * 77777), 12, '0')::macaddr"), ("bit(16)", "i::bit(16)"),
        ("varbit", "(i::bit(16))::varbit"), ("oid", "i::oid"),
        ("pg_lsn", "('0/' || to_hex(i * 999))::pg_lsn"),
        ("mood", "(ARRAY['sad', 'o''k', 'happy'])[1 + i % 3]::mood"),
        ("positive", "i::positive"), ("int[]", "ARRAY[i % 10, NULL, i]"),
        ("text[]", "ARRAY['a,\"' || i % 10, 'b']"), ("int4range", "int4range(i, i + 10)"),
        ("jsonb", "jsonb_build_object('a', i)"), ("tsvector", "to_tsvector('simple', 'w' || i)"),
    ]

    @Test(arguments: [PostgresVersion.v11, .v13, .v15, .v18].filter(\.isAvailable))
    func `slices by a key of any ordered type hold each row once`(
        _ version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            ALTER ROLE postgres SET timezone = 'Europe/Amsterdam';
            ALTER ROLE postgres SET datestyle = 'SQL, DMY';
            ALTER ROLE postgres SET extra_float_digits = 0;
            CREATE TYPE mood AS ENUM ('sad', 'o''k', 'happy');
            CREATE DOMAIN positive AS int CHECK (VALUE > 0);
            """
        )
        for (number, key) in Self.keys.enumerated() {
            let table = "t\(number)"
            try cluster.psql(
                """
                CREATE TABLE \(table) (k \(key.type), v int);
                INSERT INTO \(table) SELECT \(key.value), i FROM generate_series(1, 900) i;
                INSERT INTO \(table) SELECT NULL, i FROM generate_series(901, 905) i;
                CREATE INDEX ON \(table) (k); ANALYZE \(table);
                """
            )
            let whole = try cluster.read(table: table)
            let records = try cluster.read(table: table, splitPk: "k", channels: 3)
            #expect(records.sorted == whole.sorted, "\(key.type)")
            #expect(records.counts.last == 5, "\(key.type)")
            #expect(records.warnings.isEmpty, "\(key.type): \(records.warnings)")
            let least = ["boolean": 2, "mood": 3][key.type] ?? 12
            #expect(records.counts.count >= least, "\(key.type): \(records.counts)")
        }
    }

    @Test func `text keys are divided under any collation`() async throws {
        let version = PostgresVersion.v15
        let cluster = try await PostgresCluster.start(version: version)
        let hasICU = try cluster.psql("SELECT count(*) FROM pg_collation WHERE collprovider = 'i'")
        var collations = [#""C""#, #""POSIX""#]
        if hasICU != "0" {
            try cluster.psql(
                """
                CREATE COLLATION "Odd Name" (provider = icu, locale = 'und-u-ks-level1', \
                deterministic = false);
                CREATE COLLATION german (provider = icu, locale = 'de-u-kn-true');
                """
            )
            collations += [#"public."Odd Name""#, "german", #""en-x-icu""#]
        }
        for (number, collation) in collations.enumerated() {
            let table = "t\(number)"
            try cluster.psql(
                """
                CREATE TABLE \(table) (k text COLLATE \(collation) NOT NULL, v int);
                INSERT INTO \(table) SELECT
                    (ARRAY['a', 'A', 'ä', 'Ä', 'b-', 'B', '_', 'é', 'z', '😀'])[1 + i % 10]
                    || (i / 40) || (ARRAY['', 'x', 'X', '-'])[1 + i % 4], i
                FROM generate_series(1, 4000) i;
                CREATE INDEX ON \(table) (k); ANALYZE \(table);
                """
            )
            let whole = try cluster.read(table: table)
            let records = try cluster.read(table: table, splitPk: "k", channels: 5)
            #expect(records.sorted == whole.sorted, "\(collation)")
            #expect(records.counts.count == 20, "\(collation): \(records.counts)")
            let fetched = try cluster.read(table: table, splitPk: "k", channels: 5, fetchSize: 100)
            #expect(fetched.sorted == whole.sorted, "\(collation)")
        }
    }

    @Test func `a key without an order leaves the table to its pages`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE t (j json, p point, v text);
            INSERT INTO t SELECT '{}', point(i, i), repeat('x', 100) FROM generate_series(1, 9000) i;
            CREATE VIEW w AS SELECT * FROM t;
            """
        )
        for key in ["j", "p"] {
            let records = try cluster.read(table: "t", splitPk: key, channels: 2)
            #expect(records.counts.count == 8)
            #expect(records.lines.count == 9000)
            #expect(records.warnings.isEmpty)
            let view = try cluster.read(table: "w", splitPk: key, channels: 2)
            #expect(view.counts == [9000])
            #expect(view.warnings.first?.contains("cannot be divided by its splitPk") == true)
        }
    }

    @Test func `values come through a cursor as through COPY`() async throws {
        let cluster = try await PostgresCluster.start(version: .v15)
        try cluster.psql(
            """
            CREATE TABLE t (a text, b bytea, c text[], d jsonb, e float8, f timestamptz, g char(5));
            INSERT INTO t VALUES
              (E'\\b\\f\\n\\r\\t\\v\\\\N', '\\x00ff', ARRAY['a b', NULL, E'\\\\'], '{"a": "\\t"}',
               0.1, '2024-02-29 23:59:59.123456+00', 'a'),
              ('\\N', '', '{}', 'null', 'NaN', 'infinity', ''),
              (NULL, NULL, NULL, NULL, NULL, NULL, NULL), ('', '', '{}', '""', '-0', NULL, '中');
            """
        )
        let copied = try cluster.read(table: "t")
        for size in [1, 2, 4, 5, 1_000_000] {
            let fetched = try cluster.read(table: "t", fetchSize: size)
            #expect(
                fetched.lines.map(Self.values) == copied.lines.map(Self.values),
                "\(size) rows a time"
            )
        }
        #expect(try cluster.read(table: "t", where: "false", fetchSize: 2).lines.isEmpty)
    }

    private static func values(_ line: String) -> [String?] {
        Array(line.utf8).withUnsafeBytes { CopyText.values(of: $0) }
    }
}
