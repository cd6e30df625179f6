// SPDX-License-Identifier: Apache-2.0
//
// What the old row of an UPDATE and a DELETE holds under each replica identity, keys that change
// or change places, names that need quotes, partitioned tables by their root, and what a row
// filter and a column list leave of a table.
import Support
import Testing

@Suite(.serialized)
struct IdentityTests {
    /// One event as text: op, before, after, columns in the order of their names.
    private static func lines(_ task: DatabaseTask, _ table: String) throws -> [String] {
        try task.reader.events().filter { $0.table == table }.map { event in
            func text(_ row: ChangeEvent.Row?) -> String {
                guard let row else { return "null" }
                return row.sorted { $0.key < $1.key }
                    .map { "\($0.key)=\($0.value.text ?? "null")" }.joined(separator: ",")
            }
            return "\(event.op) \(text(event.before)) -> \(text(event.after))"
        }
    }

    private func makeTask(
        _ name: String,
        version: PostgresVersion = .v15,
        _ setup: String
    ) async throws -> DatabaseTask {
        let task = try await DatabaseTask(name, on: VersionClusters.all.cluster(version))
        try await task.sql(setup)
        return task
    }

    /// A replica identity, and the events of the same five statements under it.
    struct Identity: Sendable, CustomTestStringConvertible {
        let name: String
        let statement: String
        let events: [String]

        var testDescription: String { name }

        static let all = [
            Identity(
                name: "default",
                statement: "DEFAULT",
                events: [
                    "r null -> id=1,n=null,u=10", "u null -> id=1,n=5,u=10",
                    "u null -> id=1,n=5,u=11", "u id=1 -> id=2,n=5,u=11", "d id=2 -> null",
                ]
            ),
            Identity(
                name: "index",
                statement: "USING INDEX t_u",
                events: [
                    "r null -> id=1,n=null,u=10", "u null -> id=1,n=5,u=10",
                    "u u=10 -> id=1,n=5,u=11", "u null -> id=2,n=5,u=11", "d u=11 -> null",
                ]
            ),
            Identity(
                name: "full",
                statement: "FULL",
                events: [
                    "r null -> id=1,n=null,u=10", "u id=1,n=null,u=10 -> id=1,n=5,u=10",
                    "u id=1,n=5,u=10 -> id=1,n=5,u=11", "u id=1,n=5,u=11 -> id=2,n=5,u=11",
                    "d id=2,n=5,u=11 -> null",
                ]
            ),
        ]
    }

    @Test(arguments: Identity.all)
    func `an old row holds what its replica identity says`(identity: Identity) async throws {
        let task = try await makeTask(
            "identity_\(identity.name)",
            """
            CREATE TABLE t (id int PRIMARY KEY, n int, u int NOT NULL);
            CREATE UNIQUE INDEX t_u ON t (u);
            ALTER TABLE t REPLICA IDENTITY \(identity.statement);
            INSERT INTO t VALUES (1, NULL, 10);
            """
        )
        try task.write()
        try await task.runToNow()
        try await task.sql(
            """
            UPDATE t SET n = 5; UPDATE t SET u = 11; UPDATE t SET id = 2; DELETE FROM t;
            """
        )
        try await task.runToNow()
        #expect(try Self.lines(task, "public.t") == identity.events)
        try await task.end()
    }

    @Test(arguments: ["NOTHING", "DEFAULT"])
    func `a table whose updates would fail once published is refused`(
        identity: String
    ) async throws {
        let key = identity == "NOTHING" ? "PRIMARY KEY" : ""
        let task = try await makeTask(
            "refused_\(identity.lowercased())",
            "CREATE TABLE t (id int \(key)); ALTER TABLE t REPLICA IDENTITY \(identity);"
        )
        try task.write()
        let daemon = try task.start(["--until", "now"])
        #expect(try await daemon.wait() == .code(77))
        #expect(daemon.stderr.contains("public.t"))
        #expect(daemon.stderr.contains("ALTER TABLE"))
        #expect(try await task.sql("SELECT count(*) FROM pg_publication") == "0")
        try await task.sql("INSERT INTO t VALUES (1); UPDATE t SET id = 2")
        try await task.end()
    }

    @Test
    func `keys that change places in one transaction are rebuilt`() async throws {
        let task = try await makeTask(
            "key_swap",
            """
            CREATE TABLE t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, n int);
            CREATE TABLE p (a int, b text, n int, PRIMARY KEY (b, a));
            ALTER TABLE t REPLICA IDENTITY FULL;
            INSERT INTO t VALUES (1, 1), (2, 2), (3, 3);
            INSERT INTO p VALUES (1, 'x', 1), (2, 'x', 2);
            """
        )
        try task.write()
        try await task.runToNow()
        try await task.sql(
            """
            BEGIN; UPDATE t SET id = -1 WHERE n = 1; UPDATE t SET id = 1 WHERE n = 2;
            UPDATE t SET id = 2 WHERE n = 1; COMMIT;
            BEGIN; UPDATE p SET a = 3 WHERE n = 1; UPDATE p SET a = 1 WHERE n = 2;
            UPDATE p SET a = 2, b = 'y' WHERE n = 1; INSERT INTO p VALUES (3, 'x', 3); COMMIT;
            BEGIN; DELETE FROM p WHERE n = 3; INSERT INTO p VALUES (3, 'x', 4); COMMIT;
            """
        )
        try await task.runToNow()
        let keys = ["public.t": ["id"], "public.p": ["b", "a"]]
        #expect(try await task.differences(keys: keys) == [])
        #expect(try Self.lines(task, "public.p").contains("u a=1,b=x -> a=3,b=x,n=1"))
        try await task.end()
    }

    @Test
    func `names that need quotes are the tables' and columns' own`() async throws {
        let task = try await makeTask(
            "quoted_names",
            #"""
            CREATE SCHEMA "My Schema";
            CREATE TABLE "My Schema"."Mixed-Case ""x""" (
                "Id" int PRIMARY KEY, "a b" text, "ü" int, "select" int, "a""b" int, "a\b" int);
            INSERT INTO "My Schema"."Mixed-Case ""x""" VALUES (1, 'x', 1, 1, 1, 1);
            """#
        )
        try task.write(tables: #"{ include: ['"My Schema"."Mixed-Case ""x"""'] }"#)
        try await task.runToNow()
        try await task.sql(
            #"""
            UPDATE "My Schema"."Mixed-Case ""x""" SET "Id" = 2, "ü" = NULL;
            DELETE FROM "My Schema"."Mixed-Case ""x""";
            """#
        )
        try await task.runToNow()
        #expect(
            try Self.lines(task, #"My Schema.Mixed-Case "x""#) == [
                #"r null -> Id=1,a b=x,a"b=1,a\b=1,select=1,ü=1"#,
                #"u Id=1 -> Id=2,a b=x,a"b=1,a\b=1,select=1,ü=null"#, "d Id=2 -> null",
            ]
        )
        try await task.end()
    }

    // MARK: Partitions

    /// Leaves with their columns in other orders and with dropped ones between.
    private static let partitioned = """
        CREATE TABLE t (id int, region text, n int, PRIMARY KEY (id, region))
            PARTITION BY LIST (region);
        CREATE TABLE t_a PARTITION OF t FOR VALUES IN ('a');
        CREATE TABLE t_b (n int, gone int, region text NOT NULL, id int NOT NULL,
            PRIMARY KEY (id, region));
        ALTER TABLE t_b DROP COLUMN gone;
        ALTER TABLE t ATTACH PARTITION t_b FOR VALUES IN ('b');
        CREATE TABLE t_c PARTITION OF t FOR VALUES IN ('c', 'd') PARTITION BY LIST (region);
        CREATE TABLE t_c1 PARTITION OF t_c FOR VALUES IN ('c');
        CREATE TABLE t_c2 PARTITION OF t_c FOR VALUES IN ('d');
        INSERT INTO t SELECT i, chr(97 + i % 4), i FROM generate_series(1, 40) i;
        """

    @Test(arguments: PostgresCluster.availableVersions.filter { $0 >= .v13 })
    func `a partitioned table comes as its root`(version: PostgresVersion) async throws {
        let task = try await makeTask("partitions", version: version, Self.partitioned)
        try task.write(tables: "{ include: [public.t] }")
        try await task.runToNow()
        try await task.sql(
            """
            INSERT INTO t SELECT i, chr(97 + i % 4), i FROM generate_series(41, 60) i;
            UPDATE t SET n = n + 1;
            UPDATE t SET region = 'b' WHERE region = 'a' AND id % 8 = 0;
            BEGIN; UPDATE t SET region = 'd', id = id + 1000 WHERE region = 'b'; COMMIT;
            DELETE FROM t WHERE region = 'c';
            """
        )
        try await task.runToNow()
        // A row that moves is deleted in one leaf and inserted in another.
        #expect(try await task.differences(keys: ["public.t": ["region", "id"]]) == [])
        #expect(try task.reader.events().allSatisfy { $0.table == "public.t" })
        try await task.end()
    }

    @Test(arguments: Moment.allCases)
    func `leaves come and go, and their rows from then on`(moment: Moment) async throws {
        let task = try await makeTask("leaves_\(moment)", Self.partitioned)
        try task.write(tables: "{ include: [public.t] }")
        let daemon = moment == .running ? try await task.startStreaming() : nil
        if moment == .stopped { try await task.runToNow() }
        try await task.sql(
            """
            CREATE TABLE t_e PARTITION OF t FOR VALUES IN ('e');
            INSERT INTO t VALUES (100, 'e', 0);
            CREATE TABLE t_f (region text NOT NULL, id int NOT NULL, n int,
                PRIMARY KEY (id, region));
            ALTER TABLE t ATTACH PARTITION t_f FOR VALUES IN ('f');
            INSERT INTO t VALUES (101, 'f', 0);
            DELETE FROM t WHERE region = 'b';
            ALTER TABLE t DETACH PARTITION t_b;
            INSERT INTO t_b (id, region, n) VALUES (102, 'b', 0);
            DELETE FROM t WHERE region = 'a';
            TRUNCATE t_a;
            UPDATE t SET n = n + 1;
            """
        )
        if let daemon {
            try await daemon.until {
                try task.reader.events().contains { $0.after?["n"]?.text == "1" }
            }
            #expect(try await daemon.stop() == .code(0))
        }
        try await task.runToNow()
        #expect(try await task.differences(keys: ["public.t": ["region", "id"]]) == [])
        // The root's own TRUNCATE is one of the table.
        try await task.sql("INSERT INTO t VALUES (103, 'e', 0); TRUNCATE t")
        let refused = try task.start()
        #expect(try await refused.wait() == .code(65))
        #expect(refused.stderr.contains("public.t was truncated"))
        try await task.end()
    }

    // MARK: Filters and lists

    @Test(arguments: PostgresCluster.availableVersions.filter { $0 >= .v15 })
    func `a row filter and a column list hold for the snapshot and the stream`(
        version: PostgresVersion
    ) async throws {
        let task = try await makeTask(
            "filters",
            version: version,
            """
            CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, secret text, "Note" text);
            ALTER TABLE t REPLICA IDENTITY FULL;
            CREATE TABLE u (id int PRIMARY KEY, secret text, note text);
            INSERT INTO t SELECT i, i, 's', 'x' FROM generate_series(1, 10) i;
            INSERT INTO u VALUES (1, 's', 'x');
            """
        )
        try task.write(
            tables: """
                { include: [ { table: public.t, where: "n > 5 AND \\"Note\\" <> 'it''s'" },
                    { table: public.u, columns: [note, id] } ] }
                """
        )
        try await task.runToNow()
        try await task.sql(
            """
            INSERT INTO t VALUES (11, 11, 's', 'x'), (12, 1, 's', 'x');
            UPDATE t SET n = 20 WHERE id = 1;
            UPDATE t SET n = 2 WHERE id = 10;
            DELETE FROM t WHERE id IN (2, 9);
            UPDATE u SET note = 'y', secret = 't'; UPDATE u SET id = 2; DELETE FROM u;
            """
        )
        try await task.runToNow()
        let rows = try task.tables(keys: ["public.t": ["id"]]).tables["public.t"]?.rows
        #expect(rows?.keys.sorted() == ["1", "11", "6", "7", "8"])
        #expect(
            try Self.lines(task, "public.u") == [
                "r null -> id=1,note=x", "u null -> id=1,note=y", "u id=1 -> id=2,note=y",
                "d id=2 -> null",
            ]
        )
        try await task.end()
    }
}
