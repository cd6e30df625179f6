// SPDX-License-Identifier: Apache-2.0
//
// Copying from real servers: what arrives is what the snapshot itself selects, row by row.

import ChangeModel
import Glibc
import LibPQ
import Replication
import Snapshot
import Support
import Synchronization
import Testing

struct SnapshotCopierTests {
    private let lsn = LSN(0x1_0000_0010)

    /// 13 and older take key ranges, 14 and newer pages.
    private static let versions = PostgresCluster.availableVersions.filter {
        [.v11, .v13, .v15, .v18].contains($0)
    }

    @Test(arguments: versions)
    func `each row arrives once while others write`(version: PostgresVersion) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            CREATE TABLE big (id bigint PRIMARY KEY, n int, note text) WITH (fillfactor = 70);
            INSERT INTO big SELECT g, 0, repeat(md5(g::text), 8) FROM generate_series(1, 80000) g;
            CREATE TABLE small (id int PRIMARY KEY, n int);
            INSERT INTO small SELECT g, 0 FROM generate_series(1, 100) g;
            ANALYZE;
            """
        )
        let script = try cluster.write(
            """
            \\set i random(1, 90000)
            UPDATE big SET n = n + 1, note = note || 'x' WHERE id BETWEEN :i AND :i + 5;
            DELETE FROM big WHERE id = :i + 20;
            INSERT INTO big VALUES (:i + 20, -1, repeat('new', 50)) ON CONFLICT DO NOTHING;
            INSERT INTO big SELECT max(id) + 1, 0, 'later' FROM big ON CONFLICT DO NOTHING;
            UPDATE small SET n = n + 1 WHERE id = 1 + :i % 100;
            """,
            to: "load.sql"
        )
        let load = try cluster.spawn(
            "pgbench",
            ["-n", "-c", "3", "-T", "120", "-f", script, "postgres"]
        )
        try await eventually("the load writes") {
            try cluster.psql("SELECT sum(n) > 50 FROM small") == "t"
        }
        let tables = try cluster.tables(["big", "small"])
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn)
        try await copy(
            tables,
            snapshot: exporter.snapshot,
            of: cluster,
            into: collector,
            lsn: lsn,
            adjust: { $0.batchRows = 1000 }
        )
        load.signal(SIGTERM)
        #expect(collector.faults == [])
        #expect(collector.imports == 1)
        #expect(collector.rows("public.big") == (try exporter.rows("SELECT * FROM big")))
        #expect(collector.rows("public.small") == (try exporter.rows("SELECT * FROM small")))
        let progress = try #require(collector.progress("public.big"))
        #expect(progress.state == .done)
        #expect(progress.rowsCopied == collector.rows("public.big").count)
        #expect(progress.rowsEstimated > 1000)
        #expect(progress.bytesCopied > 80_000 * 200)
    }

    @Test(arguments: versions)
    func `odd tables and odd values arrive as they are`(version: PostgresVersion) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            #"""
            CREATE SCHEMA "Mixed Case";
            CREATE TABLE "Mixed Case"."Ta""ble" ("ID" int PRIMARY KEY, "sel""ect" text, t text);
            INSERT INTO "Mixed Case"."Ta""ble" VALUES
                (1, E'tab\there', E'line\nfeed'), (2, E'back\\slash', E'\\N'), (3, NULL, ''),
                (4, 'żółć 🐘 漢字', E'\r\f\b\x0b'), (5, E'\\', E'\\.'), (-6, 'N', '\x');
            CREATE TABLE empty (a int PRIMARY KEY);
            CREATE TABLE nothing ();
            INSERT INTO nothing DEFAULT VALUES;
            INSERT INTO nothing DEFAULT VALUES;
            CREATE TABLE one (a text);
            INSERT INTO one VALUES (''), (NULL), ('\N');
            CREATE TABLE parent (a int);
            CREATE TABLE child () INHERITS (parent);
            INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
            """#
        )
        let names = [#""Mixed Case"."Ta""ble""#, "empty", "nothing", "one", "parent"]
        let tables = try cluster.tables(names)
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn)
        try await copy(tables, snapshot: exporter.snapshot, of: cluster, into: collector, lsn: lsn)
        #expect(collector.faults == [])
        for (table, name) in zip(tables, names) {
            let key = table.relation.relation.qualifiedName
            #expect(collector.rows(key) == (try exporter.rows("SELECT * FROM ONLY \(name)")))
            #expect(collector.progress(key)?.state == .done)
        }
        #expect(collector.rows("public.nothing").count == 2)
        #expect(collector.rows("public.parent") == ["<1>"])
    }

    @Test(arguments: versions)
    func `partitions give the columns in the order of the root`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            CREATE TABLE parts (id int, kind text, v int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
            CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
            CREATE TABLE parts_2 (gone int, v int, kind text, id int NOT NULL);
            ALTER TABLE parts_2 DROP COLUMN gone;
            ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (1000) TO (2000);
            CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (2000) TO (3000)
                PARTITION BY RANGE (id);
            CREATE TABLE "Parts 3a" PARTITION OF parts_3 FOR VALUES FROM (2000) TO (2500);
            CREATE TABLE "Parts 3b" PARTITION OF parts_3 FOR VALUES FROM (2500) TO (3000);
            INSERT INTO parts SELECT g, 'k' || g, g * 2 FROM generate_series(0, 2999) g;
            """
        )
        let tables = try cluster.tables(["parts"])
        #expect(tables[0].source.storage.count == 4)
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn)
        try await copy(tables, snapshot: exporter.snapshot, of: cluster, into: collector, lsn: lsn)
        #expect(collector.rows("public.parts") == (try exporter.rows("SELECT * FROM parts")))
        #expect(collector.rows("public.parts").count == 3000)
    }

    @Test func `a large table arrives through many chunks and workers`() async throws {
        let cluster = try await PostgresCluster.start(version: .v15)
        try cluster.psql(
            """
            CREATE TABLE large (id int PRIMARY KEY, note text);
            INSERT INTO large SELECT g, repeat('x', 300) FROM generate_series(1, 300000) g;
            """
        )
        let tables = try cluster.tables(["large"])
        let plan = SnapshotPlan(
            tables: tables.map(\.source),
            workers: 4,
            serverVersion: 150_000
        )
        #expect(plan.chunks.count > 8)
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn)
        try await copy(tables, snapshot: exporter.snapshot, of: cluster, into: collector, lsn: lsn)
        let rows = collector.rows("public.large")
        #expect(rows.count == 300_000)
        #expect(Set(rows).count == 300_000)
        #expect(collector.faults == [])
    }

    @Test func `a filter chooses the rows of every chunk`() async throws {
        let cluster = try await PostgresCluster.start(version: .v15)
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, note text);
            INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 60000) g;
            """
        )
        let tables = try cluster.tables(["t"], filter: "id % 7 = 0 OR id < 10 -- or so")
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn)
        try await copy(tables, snapshot: exporter.snapshot, of: cluster, into: collector, lsn: lsn)
        let wanted = try exporter.rows("SELECT * FROM t WHERE id % 7 = 0 OR id < 10")
        #expect(collector.rows("public.t") == wanted)
    }

    @Test func `an ALTER TABLE that comes in between waits and hinders nobody`() async throws {
        let cluster = try await PostgresCluster.start(version: .v15)
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, note text);
            INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 60000) g;
            """
        )
        let tables = try cluster.tables(["t"])
        let exporter = try Exporter(cluster)
        let psql = Mutex<ChildProcess?>(nil)
        let collector = Collector(lsn: lsn) { batch in
            guard batch == 0 else { return }
            try psql.withLock { child in
                guard child == nil else { return }
                child = try cluster.spawn(
                    "psql",
                    ["-Xq", "-c", "ALTER TABLE t DROP COLUMN note", "postgres"]
                )
            }
            var isWaiting = false
            for _ in 0..<2000 where !isWaiting {
                isWaiting =
                    try cluster.psql(
                        "SELECT count(*) FROM pg_locks WHERE NOT granted "
                            + "AND mode = 'AccessExclusiveLock'"
                    ) == "1"
            }
            #expect(isWaiting)
        }
        try await copy(tables, snapshot: exporter.snapshot, of: cluster, into: collector, lsn: lsn)
        #expect(Set(collector.rows("public.t")).count == 60_000)
        try await eventually("the ALTER TABLE goes on") {
            try cluster.psql("SELECT count(*) FROM pg_attribute WHERE attname = 'note'") == "0"
        }
    }

    @Test func `a generated column is copied where it is asked for`() async throws {
        let cluster = try await PostgresCluster.start(version: .v15)
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
            INSERT INTO t VALUES (1), (2);
            """
        )
        let tables = try cluster.tables(["t"])
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn)
        try await copy(tables, snapshot: exporter.snapshot, of: cluster, into: collector, lsn: lsn)
        #expect(collector.rows("public.t") == ["<1>,<2>", "<2>,<4>"])
    }

    @Test(arguments: versions)
    func `what is missing may begin above the greatest key of a type`(
        version: PostgresVersion
    ) async throws {
        let types: [(name: String, greatest: Int64)] = [
            ("int2", 32_767), ("int4", 2_147_483_647), ("oid", 4_294_967_295), ("whole", 32_767),
        ]
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql("CREATE DOMAIN whole AS int2")
        for (type, greatest) in types {
            try cluster.psql(
                """
                CREATE TABLE t_\(type) (id \(type) PRIMARY KEY);
                INSERT INTO t_\(type) VALUES (\(greatest)), (\(greatest - 1));
                """
            )
            // What a chunk asks for has to come from the key's index.
            let plan = try cluster.psql(
                """
                SET enable_seqscan = off; SET enable_bitmapscan = off;
                EXPLAIN SELECT id FROM t_\(type) WHERE id >= '7'::pg_catalog.int8
                """
            )
            #expect(plan.contains("Index Cond"), "\(plan)")
        }
        let exporter = try Exporter(cluster)
        for isLastCopied in [true, false] {
            let tables = try zip(cluster.tables(types.map { "t_\($0.name)" }), types).map {
                let relation = $0.source.relation
                let last = KeyRanges([KeyRange($1.greatest)])
                let copied = isLastCopied ? last : last.complement
                return SnapshotTable(
                    $0.source,
                    as: RelationVersion(relation: relation, types: [.integer], version: 0),
                    after: TableCopy(
                        oid: relation.oid,
                        point: lsn,
                        progress: .keys(column: "id", copied)
                    )
                )
            }
            let collector = Collector(lsn: lsn)
            try await copy(
                tables,
                snapshot: exporter.snapshot,
                of: cluster,
                into: collector,
                lsn: lsn
            )
            for (table, type) in zip(tables, types) {
                let wanted = isLastCopied ? type.greatest - 1 : type.greatest
                #expect(collector.rows("public.t_\(type.name)") == ["<\(wanted)>"])
                var copy = table.copy
                copy.add(collector.copied(copy.oid))
                #expect(copy.progress == .whole, "\(type.name)")
            }
        }
    }

    @Test(arguments: versions.filter { $0 >= .v13 })
    func `a key of xid8 is copied as others that are no numbers`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            CREATE TABLE t (id xid8 PRIMARY KEY, note text);
            INSERT INTO t SELECT g::text::xid8, repeat('x', 400) FROM generate_series(1, 40000) g
            """
        )
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn)
        try await copy(
            cluster.tables(["t"]),
            snapshot: exporter.snapshot,
            of: cluster,
            into: collector,
            lsn: lsn
        )
        #expect(Set(collector.rows("public.t")).count == 40_000)
    }

    @Test func `no tables are copied at once`() async throws {
        let cluster = try await PostgresCluster.start(version: .v15)
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn)
        try await copy([], snapshot: exporter.snapshot, of: cluster, into: collector, lsn: lsn)
        #expect(collector.imports == 1)
        #expect(collector.batches == 0)
    }
}
