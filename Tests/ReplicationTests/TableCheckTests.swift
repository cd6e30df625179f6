// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@Suite struct TableCheckTests {
    @Test func `what is no table that can be replicated is named as what it is`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE good (id int PRIMARY KEY); CREATE UNLOGGED TABLE u (id int PRIMARY KEY);
            CREATE VIEW v AS SELECT 1; CREATE MATERIALIZED VIEW m AS SELECT 1;
            CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
            CREATE FOREIGN TABLE f (id int) SERVER s;
            CREATE SCHEMA _timescaledb_catalog; CREATE SCHEMA _timescaledb_internal;
            CREATE TABLE _timescaledb_catalog.hypertable (schema_name name, table_name name);
            CREATE TABLE hyper (id int PRIMARY KEY);
            INSERT INTO _timescaledb_catalog.hypertable VALUES ('public', 'hyper');
            CREATE TABLE _timescaledb_internal._hyper_1_1_chunk () INHERITS (hyper);
            """
        )
        let expected = [
            "public.u": "table.unlogged", "public.v": "table.view",
            "public.m": "table.materialized_view", "public.f": "table.foreign",
            "public.hyper": "table.hypertable", "pg_catalog.pg_class": "table.system",
            "_timescaledb_internal._hyper_1_1_chunk": "table.hypertable_chunk",
        ]
        for (name, id) in expected {
            let findings = try await cluster.check(TableSelection("public.good", name))
            #expect(findings.failures.map(\.subject) == [name])
            #expect(findings.failedIDs == [id])
        }
        let wide = try await cluster.check(TableSelection("*.*"))
        #expect(wide.failures.isEmpty)
        let warnings = wide.filter { $0.subject == "tables.include *.*" }
        #expect(
            Set(warnings.map(\.id)) == [
                "table.unlogged", "table.view", "table.materialized_view", "table.foreign",
                "table.hypertable",
            ]
        )
        #expect(warnings.allSatisfy { $0.level == .warning })
        #expect(wide.with(id: "table").map(\.subject) == ["public.good"])
        try await cluster.expectMended(
            "table.unlogged",
            by: #"ALTER TABLE "public"."u" SET LOGGED;"#,
            TableSelection("public.u")
        )
    }

    @Test func `a temporary table is refused by its own name`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE good (id int PRIMARY KEY)")
        try await cluster.withConnection { connection in
            try connection.query("CREATE TEMPORARY TABLE gone (id int PRIMARY KEY)")
            let schema = try connection.query(
                "SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'gone'"
            ).text(0, 0)
            let findings = try Prerequisites.check(
                Requirements(task: "t", tables: TableSelection("public.good", "\(schema).gone")),
                on: connection
            )
            #expect(findings.failedIDs == ["table.temporary"])
        }
    }

    @Test func `a name that does not exist comes with the nearest ones`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE SCHEMA sales; CREATE TABLE public.orders (id int PRIMARY KEY);
            CREATE TABLE sales.customers (id int PRIMARY KEY);
            """
        )
        func missing(_ name: String) async throws -> Finding {
            let findings = try await cluster.check(TableSelection(name))
            #expect(findings.failedIDs == ["table.missing"])
            return try #require(findings.failures.first)
        }
        #expect(try await missing("public.order").mend == "correct tables.include: public.orders")
        #expect(try await missing("public.Orders").mend == "correct tables.include: public.orders")
        let elsewhere = try await missing("public.customers")
        #expect(elsewhere.found == "does not exist; there is sales.customers")
        #expect(try await missing("x.entirely_else").found.hasSuffix("in database postgres"))
        let pattern = try await cluster.check(TableSelection("public.orders", "sale.*"))
        #expect(pattern.failures.isEmpty)
        #expect(pattern.with(id: "tables.unmatched").map(\.subject) == ["tables.include sale.*"])
        let both = TableSelection("public.orders", "sales.*", exclude: ["public.orders"])
        #expect(try await cluster.check(both).with(id: "table.excluded").count == 1)
    }

    @Test func `partitions that cannot come with their root are found`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
            CREATE TABLE root (id int) PARTITION BY LIST (id);
            ALTER TABLE root REPLICA IDENTITY FULL;
            CREATE FOREIGN TABLE far PARTITION OF root FOR VALUES IN (1) SERVER s;
            CREATE UNLOGGED TABLE fast PARTITION OF root FOR VALUES IN (2);
            ALTER TABLE fast REPLICA IDENTITY FULL;
            CREATE TABLE near PARTITION OF root FOR VALUES IN (3);
            ALTER TABLE near REPLICA IDENTITY FULL;
            """
        )
        let tables = TableSelection("public.root", "public.near")
        let before = try await cluster.check(tables)
        #expect(before.failedIDs == ["table.foreign_partition", "table.unlogged"])
        #expect(before.failures.map(\.subject) == ["public.far", "public.fast"])
        #expect(before.with(id: "table.partition").map(\.subject) == ["public.near"])
        #expect(before.with(id: "table.identity_new_partitions").map(\.level) == [.warning])
        for failure in before.failures { try cluster.psql(failure.mend) }
        #expect(try await cluster.check(tables).failures.isEmpty)
        let excluded = TableSelection("public.*", exclude: ["public.near"])
        #expect(try await cluster.check(excluded).failedIDs == ["table.partition_excluded"])
    }

    @Test func `partitioned tables are refused below 13`() async throws {
        guard let version = PostgresCluster.availableVersions.first, version < .v13 else { return }
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            CREATE TABLE root (id int PRIMARY KEY) PARTITION BY LIST (id);
            CREATE TABLE leaf PARTITION OF root DEFAULT;
            """
        )
        let findings = try await cluster.check(TableSelection("public.root"))
        #expect(findings.failedIDs.first == "table.partitioned")
        #expect(findings.failures.first?.mend == "include its partitions instead: public.leaf")
        let leaf = try await cluster.check(TableSelection("public.leaf"))
        #expect(leaf.failures.isEmpty)
    }

    @Test func `children that are left out are mentioned`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE parent (id int PRIMARY KEY);
            CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
            """
        )
        let alone = try await cluster.check(TableSelection("public.parent"))
        #expect(alone.with(id: "table.inheritance").map(\.level) == [.warning])
        let both = try await cluster.check(TableSelection("public.*"))
        #expect(both.with(id: "table.inheritance").isEmpty && both.failures.isEmpty)
    }

    @Test func `a table that was made since the snapshot stops no task`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int)")
        let selection = TableSelection("public.*")
        #expect(try await cluster.check(selection).failedIDs == ["table.identity_missing"])
        try await cluster.withConnection { connection in
            let a = try SourceCatalog.tables(TableSelection("public.a"), on: connection)
            try Publication.ensure(task: "t", tables: a, on: connection)
            let requirements = Requirements(
                task: "t",
                tables: selection,
                taken: Set(a.map(\.relation.oid))
            )
            let findings = try Prerequisites.check(requirements, on: connection)
            #expect(findings.failures.isEmpty)
            #expect(findings.with(id: "table.new").map(\.subject) == ["public.b"])
            #expect(findings.with(id: "publication").map(\.found) == ["exists and fits"])
        }
    }

    @Test func `nothing to take is an error, and a locked table keeps no check waiting`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY)")
        let none = try await cluster.check(TableSelection("*.*", exclude: ["public.*"]))
        #expect(none.failedIDs == ["tables.none"])
        try await cluster.withConnection { holder in
            try holder.query("BEGIN; LOCK TABLE public.a")
            let connection = try Connection.open(cluster.parameters())
            let limited = "SET lock_timeout = '100ms'"
            try connection.query(limited)
            let requirements = Requirements(task: "t", tables: TableSelection("public.a"))
            #expect(try Prerequisites.check(requirements, on: connection).failures.isEmpty)
            try holder.query("ROLLBACK")
        }
    }
}
