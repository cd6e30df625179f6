// SPDX-License-Identifier: Apache-2.0
//
// What the catalog reader says of a table against what the server's pgoutput says of it.

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@Suite struct SourceCatalogTests {
    static let schema = """
        CREATE SCHEMA "Mixed Case";
        CREATE DOMAIN money_amount AS numeric(12, 2) CHECK (VALUE >= 0);
        CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TYPE pair AS (a int, b text);
        CREATE TABLE plain (id bigint PRIMARY KEY, name varchar(40), note text);
        CREATE TABLE whole (a int, b numeric(10, 3)); ALTER TABLE whole REPLICA IDENTITY FULL;
        CREATE TABLE none (id int PRIMARY KEY, b text); ALTER TABLE none REPLICA IDENTITY NOTHING;
        CREATE TABLE keyless (a int, b text);
        CREATE TABLE indexed (a int PRIMARY KEY, c text, b int NOT NULL UNIQUE);
        ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_b_key;
        CREATE TABLE orphaned (a int PRIMARY KEY, b int NOT NULL);
        CREATE UNIQUE INDEX orphaned_b ON orphaned (b);
        ALTER TABLE orphaned REPLICA IDENTITY USING INDEX orphaned_b; DROP INDEX orphaned_b;
        CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE, b text);
        CREATE TABLE gaps (x text, id int, y int, "Zed" text, PRIMARY KEY ("Zed", id));
        ALTER TABLE gaps DROP COLUMN x; ALTER TABLE gaps DROP COLUMN y;
        ALTER TABLE gaps ADD COLUMN "Last ""one" timestamptz(3);
        CREATE TABLE including (id int, b int, v text, PRIMARY KEY (b, id) INCLUDE (v));
        CREATE TABLE "Mixed Case"."Order" ("Id" int PRIMARY KEY, "from" mood, "a.b" mood[]);
        CREATE TABLE typed (id money_amount PRIMARY KEY, m mood, ms mood[][], p pair, b bit(3),
            c char(5), t time(2), i interval day to second(1), v varchar, n numeric, f float4);
        CREATE TABLE parent (id int PRIMARY KEY, v text);
        CREATE TABLE child (extra int) INHERITS (parent);
        """

    /// Since 12; the last table is dropped behind its column's back.
    static let generated = """
        CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED,
            last text);
        """

    /// Columns are not in the same order everywhere; through the root only since 13.
    static let partitioned = """
        CREATE TABLE root (id int, day date, v text, PRIMARY KEY (day, id))
            PARTITION BY RANGE (day);
        CREATE TABLE leaf (v text, gone int, day date NOT NULL, id int NOT NULL);
        ALTER TABLE leaf DROP COLUMN gone;
        ALTER TABLE root ATTACH PARTITION leaf FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE TABLE middle PARTITION OF root FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
            PARTITION BY LIST (id);
        CREATE TABLE lowest PARTITION OF middle DEFAULT;
        """

    static let inserts = """
        INSERT INTO plain VALUES (1); INSERT INTO whole VALUES (1); INSERT INTO none VALUES (1);
        INSERT INTO keyless VALUES (1); INSERT INTO indexed VALUES (1, 'c', 1);
        INSERT INTO orphaned VALUES (1, 1); INSERT INTO deferred VALUES (1);
        INSERT INTO gaps VALUES (1, 'z'); INSERT INTO including VALUES (1, 1);
        INSERT INTO "Mixed Case"."Order" VALUES (1); INSERT INTO typed (id) VALUES (1);
        INSERT INTO parent VALUES (1);
        """

    static func parts(of version: PostgresVersion) -> (schema: String, inserts: String) {
        var schema = schema
        var inserts = inserts
        if version.rawValue >= 12 {
            schema += generated
            inserts += "INSERT INTO computed (id) VALUES (1);"
        }
        if version.rawValue >= 13 {
            schema += partitioned
            inserts += "INSERT INTO root VALUES (1, '2024-06-01'), (2, '2025-06-01');"
        }
        return (schema, inserts)
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `a relation of the catalog is the relation that pgoutput sends`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        let parts = Self.parts(of: version)
        try cluster.psql(parts.schema)
        try await cluster.withConnection { connection in
            var selection = TableSelection("public.*", "Mixed Case.*", exclude: ["public.child"])
            if version >= .v15 {
                let pattern = TablePattern(text: "public.plain")
                selection.include.insert(
                    TableRule(pattern: pattern, columns: ["note", "id"], filter: "id > 0"),
                    at: 0
                )
            }
            let tables = try SourceCatalog.tables(selection, on: connection)
            let outcome = try Publication.ensure(task: "t", tables: tables, on: connection)
            #expect(outcome == .created)
            try connection.query("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
            try connection.query("SET search_path = public")
            try connection.query(parts.inserts)
            try connection.query("INSERT INTO child VALUES (1)")
            let sent = try relationMessages(slot: "s", publication: "di_pub_t", on: connection)
            for table in tables {
                var described = try #require(sent[table.relation.oid])
                // The one thing that the stream does not say.
                described.primaryKey = table.relation.primaryKey
                #expect(table.relation == described)
            }
            let expected = 12 + (version.rawValue >= 12 ? 1 : 0) + (version.rawValue >= 13 ? 1 : 0)
            #expect(tables.count == expected)
            #expect(!sent.values.contains { $0.name == "child" })
            let again = try SourceCatalog.tables(selection, on: connection)
            #expect(try Publication.ensure(task: "t", tables: again, on: connection) == .reused)
        }
    }

    @Test func `a partitioned table lists its leaves and the primary key in the index's order`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(Self.partitioned)
        try await cluster.withConnection { connection in
            let tables = try SourceCatalog.tables(TableSelection("public.*"), on: connection)
            let table = try #require(tables.first)
            #expect(tables.count == 1)
            #expect(table.isPartitioned)
            #expect(table.storage.map(\.name) == ["leaf", "lowest"])
            #expect(table.relation.primaryKey == ["day", "id"])
            let leaf = try SourceCatalog.tables(TableSelection("public.leaf"), on: connection)
            #expect(leaf.map(\.relation.name) == ["leaf"])
            #expect(leaf.first?.relation.columns.map(\.name) == ["v", "day", "id"])
        }
    }

    @Test func `a snapshot's catalog is read, not the newest one`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t (id int PRIMARY KEY, a text)")
        try await cluster.withConnection { connection in
            try connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            let before = try SourceCatalog.tables(TableSelection("public.*"), on: connection)
            // Not ADD COLUMN: that would wait for the lock that reading the size took.
            try cluster.psql("CREATE TABLE u (id int)")
            try cluster.psql(
                "UPDATE pg_attribute SET attname = 'b' WHERE attname = 'a'"
                    + " AND attrelid = 't'::regclass"
            )
            let after = try SourceCatalog.tables(TableSelection("public.*"), on: connection)
            #expect(before == after)
            try connection.query("COMMIT")
            let newest = try SourceCatalog.tables(TableSelection("public.*"), on: connection)
            #expect(newest.count == 2)
            #expect(newest.first?.relation.columns.map(\.name) == ["id", "b"])
        }
    }

    @Test func `system, temporary, unlogged and foreign relations and views are never taken`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE UNLOGGED TABLE u (id int); CREATE VIEW v AS SELECT 1;
            CREATE MATERIALIZED VIEW m AS SELECT 1; CREATE FOREIGN DATA WRAPPER w;
            CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f (id int) SERVER s;
            """
        )
        try await cluster.withConnection { connection in
            try connection.query("CREATE TEMPORARY TABLE temporary (id int)")
            let tables = try SourceCatalog.tables(TableSelection("*.*"), on: connection)
            #expect(tables.isEmpty)
        }
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `types come with what they are made of`(version: PostgresVersion) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            CREATE DOMAIN d AS numeric(12, 2); CREATE TYPE mood AS ENUM ('sad');
            CREATE DOMAIN moods AS mood[]; CREATE TYPE pair AS (a int, b text);
            CREATE TABLE t (a d, b moods, c pair, d box[], e int2vector, f point);
            """
        )
        try await cluster.withConnection { connection in
            let table = try SourceCatalog.tables(TableSelection("public.t"), on: connection)[0]
            let types = try SourceCatalog.types(
                table.relation.columns.map(\.typeOID),
                on: connection
            )
            func type(_ name: String) throws -> TypeEntry {
                try #require(types.first { $0.name == name })
            }
            let domain = try type("d")
            #expect(domain.kind == .domain && domain.base == 1700)
            #expect(domain.baseModifier == (12 << 16 | 2) + 4)
            #expect(domain.schema == "public")
            let list = try type("moods")
            #expect(list.kind == .domain && list.element == 0)
            let array = try type("_mood")
            let mood = try type("mood")
            #expect(
                list.base == array.oid && array.element == mood.oid && mood.kind == .enumeration
            )
            #expect(try type("pair").kind == .composite)
            #expect(try type("box").delimiter == UInt8(ascii: ";"))
            #expect(try type("int2vector").element == 0)
            #expect(try type("point").element == 0)
            #expect(Set(types.map(\.oid)).count == types.count)
        }
    }
}
