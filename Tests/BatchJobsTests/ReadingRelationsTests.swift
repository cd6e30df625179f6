// SPDX-License-Identifier: Apache-2.0
//
// The kinds of relations that can be read, and the names that they may have.

import ChangeModel
import Settings
import Support
import Testing

@testable import BatchJobs

struct ReadingRelationsTests {
    private static let hasFiles =
        "SELECT count(*) FROM pg_available_extensions WHERE name = 'file_fdw'"
    private static let matrix = [PostgresVersion.v11, .v13, .v15, .v18].filter(\.isAvailable)

    @Test(arguments: matrix)
    func `each kind of relation is read whole, in slices too`(
        _ version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        let computed =
            version >= .v13
            ? "ALTER TABLE plain ADD c text GENERATED ALWAYS AS ('c' || v) STORED;" : ""
        try cluster.psql(
            """
            CREATE TABLE plain (id int PRIMARY KEY, v text, gone int);
            ALTER TABLE plain DROP gone; \(computed)
            INSERT INTO plain SELECT i, repeat('x', 50) FROM generate_series(1, 3000) i;
            CREATE TABLE parent (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
            CREATE TABLE low (v text, id int NOT NULL);
            ALTER TABLE parent ATTACH PARTITION low FOR VALUES FROM (0) TO (2500);
            CREATE TABLE high PARTITION OF parent FOR VALUES FROM (2500) TO (9999)
                PARTITION BY RANGE (id);
            CREATE TABLE higher PARTITION OF high FOR VALUES FROM (2500) TO (9999);
            INSERT INTO parent SELECT i, repeat('x', 50) FROM generate_series(1, 3000) i;
            CREATE TABLE base (id int NOT NULL, v text);
            CREATE TABLE child (w int) INHERITS (base);
            CREATE INDEX ON base (id); CREATE INDEX ON child (id);
            INSERT INTO base SELECT i, repeat('x', 50) FROM generate_series(1, 1500) i;
            INSERT INTO child SELECT i, repeat('x', 50) FROM generate_series(1501, 3000) i;
            CREATE VIEW seen AS SELECT id, v FROM plain;
            CREATE MATERIALIZED VIEW kept AS SELECT id, v FROM plain;
            ANALYZE;
            """
        )
        let expected = (1...3000).map { "\($0)\t\(String(repeating: "x", count: 50))" }.sorted()
        var relations = ["plain", "parent", "base", "seen", "kept"]
        if try cluster.psql(Self.hasFiles) == "1" {
            try cluster.psql(
                """
                CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
                COPY (SELECT id, v FROM plain) TO '\(cluster.dataDirectory)/far.csv' (FORMAT csv);
                CREATE FOREIGN TABLE far (id int, v text) SERVER files
                    OPTIONS (filename '\(cluster.dataDirectory)/far.csv', format 'csv');
                """
            )
            relations.append("far")
        }
        for relation in relations {
            for (key, channels) in [(nil, 1), (nil, 3), ("id", 3)] as [(String?, Int)] {
                let records = try cluster.read(
                    table: relation,
                    columns: ["id", "v"],
                    splitPk: key,
                    channels: channels
                )
                #expect(records.sorted == expected, "\(relation) \(key ?? "") \(channels)")
                if key != nil { #expect(records.counts.count > 3, "\(relation)") }
            }
        }
        #expect(try cluster.read(table: "plain").lines.count == 3000)
        #expect(try cluster.read(table: "plain", splitPk: "id", channels: 2).lines.count == 3000)
    }

    @Test func `names are read as SQL reads them, then as they stand`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE SCHEMA "Sales"; CREATE SCHEMA other; ALTER ROLE postgres SET search_path = other;
            CREATE TABLE "Sales"."Order Items" ("User" int, "group" int);
            INSERT INTO "Sales"."Order Items" VALUES (1, 2);
            CREATE TABLE other."order" (i int); INSERT INTO other."order" VALUES (3);
            CREATE TABLE other."a.b" (i int); INSERT INTO other."a.b" VALUES (4);
            CREATE TABLE other."Twice" (i int); INSERT INTO other."Twice" VALUES (5);
            CREATE TABLE other.twice (i int); INSERT INTO other.twice VALUES (6);
            CREATE TABLE other."we""ird" (i int); INSERT INTO other."we""ird" VALUES (7);
            """
        )
        for (name, line) in [
            ("Sales.Order Items", "1\t2"), (#""Sales"."Order Items""#, "1\t2"), ("order", "3"),
            ("ORDER", "3"), ("other.order", "3"), ("a.b", "4"), ("Twice", "6"),
            (#""Twice""#, "5"), (#"other . "Twice""#, "5"), (#"we"ird"#, "7"),
            (#""we""ird""#, "7"),
        ] {
            #expect(try cluster.read(table: name).lines == [line], "\(name)")
        }
        let records = try cluster.read(
            table: "Sales.Order Items",
            columns: ["user", "User", "GROUP"]
        )
        #expect(records.lines == ["postgres\t1\t2"])
        for name in ["Sales", "a.b.c.d", "", "\"", "x\0y", "pg_class_oid_index"] {
            let error = refusal { _ = try cluster.read(table: name) }
            #expect(error?.code == "job.table_missing", "\(name)")
        }
    }

    @Test func `several tables go into one target`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE a AS SELECT i FROM generate_series(1, 500) i;
            CREATE TABLE b AS SELECT i::bigint FROM generate_series(501, 900) i;
            CREATE TABLE c (x int, y int); CREATE INDEX ON a (i); CREATE INDEX ON b (i); ANALYZE;
            """
        )
        let records = try cluster.read(.tables(.init(["a", "b"], ["*"], nil, "i")), channels: 4)
        #expect(Set(records.lines.compactMap { Int($0) }) == Set(1...900))
        #expect(records.lines.count == 900)
        #expect(!records.shape.allowsBinary)
        #expect(records.estimatedRecords == 900)
        let error = refusal { _ = try cluster.read(.tables(.init(["a", "c"]))) }
        #expect(error?.code == "job.columns_unequal")
        #expect(error?.message.contains("public.a gives 1 column, public.c gives 2") == true)
    }

    @Test func `an aggregate is not divided`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE t AS SELECT i, repeat('x', 100) v FROM generate_series(1, 9000) i;
            CREATE INDEX ON t (i); ANALYZE t;
            """
        )
        for columns in [
            ["count(*)"], ["max(i)", "1"], ["DISTINCT length(v)"], ["row_number() OVER ()"],
        ] {
            let whole = try cluster.read(table: "t", columns: columns)
            let records = try cluster.read(table: "t", columns: columns, splitPk: "i", channels: 4)
            #expect(records.counts.count == 1, "\(columns)")
            #expect(records.sorted == whole.sorted)
            #expect(records.warnings.first?.contains("made of several rows") == true)
        }
        let row = try cluster.read(table: "t", columns: ["i + 1"], splitPk: "i", channels: 4)
        #expect(row.counts.count == 17)
        #expect(Set(row.lines.compactMap { Int($0) }) == Set(2...9001))
    }

    @Test func `policies hide rows, and the job says so`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE ROLE reader LOGIN; CREATE TABLE t (i int);
            INSERT INTO t SELECT generate_series(1, 10); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
            CREATE POLICY p ON t USING (i < 4); GRANT SELECT ON t TO reader;
            """
        )
        let records = try cluster.read(.tables(.init(["t"])), user: "reader")
        #expect(records.sorted == ["1", "2", "3"])
        #expect(records.warnings.first?.contains("row-level security") == true)
        #expect(try cluster.read(table: "t").lines.count == 10)
    }

    @Test func `a key without an index costs no more than a scan a channel`() async throws {
        let cluster = try await PostgresCluster.start(version: .v13)
        try cluster.psql(
            "CREATE TABLE t AS SELECT i FROM generate_series(1, 9000) i; ANALYZE t;"
        )
        let records = try cluster.read(table: "t", splitPk: "i", channels: 3)
        #expect(records.counts.count == 4)
        #expect(records.lines.count == 9000)
        #expect(records.warnings.first?.contains("has no index") == true)
    }

    @Test func `a large table is divided by its pages, and sampled where a condition has a key`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, k uuid UNIQUE, v text);
            INSERT INTO t SELECT i, md5(i::text)::uuid, repeat('x', 200)
            FROM generate_series(1, 40000) i; ANALYZE t;
            """
        )
        for (key, condition, what) in [
            ("id", nil, "by pages"), ("id", "true", "by \"id\""), ("k", nil, "by pages"),
            ("k", "id > 20000", "by \"k\""),
        ] as [(String, String?, String)] {
            let tables = Job.PostgreSQLReader.Tables(["t"], ["id"], condition, key)
            let source = try cluster.source(.tables(tables), channels: 2) { limits in
                limits.samplePages = 100
                limits.prefersPages = true
            }
            let records = try source.records()
            let expected = Set((condition == "id > 20000" ? 20_001 : 1)...40_000)
            #expect(Set(records.lines.compactMap { Int($0) }) == expected, "\(what)")
            #expect(records.lines.count == expected.count)
            #expect(records.plan.first?.contains(what) == true, "\(records.plan.first ?? "")")
            #expect(records.counts.count >= 8)
            #expect(records.counts.filter { $0 > expected.count / 3 }.isEmpty, "\(records.counts)")
        }
    }
}
