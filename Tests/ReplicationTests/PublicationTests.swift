// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@Suite struct PublicationTests {
    /// Makes it fit as `user`; what the check says before stands beside it.
    private func ensure(
        _ cluster: PostgresCluster,
        _ selection: TableSelection,
        user: String = "postgres"
    ) async throws -> Publication.Outcome {
        try await cluster.withConnection(user: user) { connection in
            let tables = try SourceCatalog.tables(selection, on: connection)
            return try Publication.ensure(task: "t", tables: tables, on: connection)
        }
    }

    private func published(_ cluster: PostgresCluster) async throws -> [String] {
        try await cluster.withConnection { connection in
            try Publication.publishedTables(task: "t", on: connection).map(\.name)
        }
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `tables that come and go are set, others are left alone`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
            CREATE TABLE child (PRIMARY KEY (id)) INHERITS (a);
            """
        )
        #expect(try await ensure(cluster, TableSelection("public.a")) == .created)
        #expect(try await published(cluster) == ["a"])
        let both = TableSelection("public.a", "public.b")
        #expect(try await ensure(cluster, both) == .altered(["it lacks public.b"]))
        #expect(try await published(cluster) == ["a", "b"])
        #expect(try await ensure(cluster, both) == .reused)
        let fewer = TableSelection("public.b")
        #expect(try await ensure(cluster, fewer) == .altered(["it also publishes public.a"]))
        #expect(try await published(cluster) == ["b"])
        let dropped = try await cluster.withConnection { connection in
            try [
                Publication.drop(task: "t", on: connection),
                Publication.drop(task: "t", on: connection),
            ]
        }
        #expect(dropped == [.dropped, .absent])
        #expect(try await published(cluster).isEmpty)
    }

    @Test func `other options are an error with the statement that mends them`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE a (id int PRIMARY KEY);
            CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id);
            CREATE TABLE leaf PARTITION OF p DEFAULT;
            """
        )
        let selection = TableSelection("public.a", "public.p")
        let options =
            "publish = 'insert, update, delete, truncate', "
            + "publish_via_partition_root = true"
        let definitions = [
            (
                "FOR TABLE ONLY a, p WITH (publish = 'insert', publish_via_partition_root)",
                #"ALTER PUBLICATION "di_pub_t" SET (\#(options));"#
            ),
            (
                "FOR TABLE ONLY a, p",
                #"ALTER PUBLICATION "di_pub_t" SET (\#(options));"#
            ),
            (
                "FOR TABLE a WITH (publish = 'insert')",
                #"ALTER PUBLICATION "di_pub_t" SET (\#(options)); ALTER PUBLICATION "di_pub_t" "#
                    + #"SET TABLE ONLY "public"."a", ONLY "public"."p";"#
            ),
            (
                "FOR ALL TABLES WITH (publish = 'update')",
                #"ALTER PUBLICATION "di_pub_t" SET (\#(options));"#
            ),
        ]
        for (definition, mend) in definitions {
            try cluster.psql("CREATE PUBLICATION di_pub_t \(definition)")
            let error = await #expect(throws: WalrelayError.self) {
                _ = try await ensure(cluster, selection)
            }
            #expect(error?.code == "publication.unfit" && error?.exit == .prerequisite)
            #expect(error?.hint == "let its owner run: \(mend)")
            try await cluster.expectMended("publication.unfit", by: mend, selection)
            #expect(try await ensure(cluster, selection) == .reused)
            try cluster.psql("DROP PUBLICATION di_pub_t")
        }
    }

    @Test func `an owner's publication for all tables or a schema serves when all are in it`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE ROLE cdc LOGIN REPLICATION; CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO cdc;
            CREATE TABLE s.a (id int PRIMARY KEY); CREATE TABLE public.b (id int PRIMARY KEY);
            GRANT SELECT ON s.a, public.b TO cdc;
            CREATE PUBLICATION di_pub_t FOR ALL TABLES WITH (publish_via_partition_root = true);
            """
        )
        let one = TableSelection("s.a")
        #expect(try await ensure(cluster, one, user: "cdc") == .reused)
        #expect(try await cluster.check(one, user: "cdc").failures.isEmpty)
        let narrowed = TableSelection(include: [
            TableRule(pattern: TablePattern(text: "s.a"), filter: "id > 0")
        ])
        #expect(try await cluster.check(narrowed, user: "cdc").failedIDs == ["publication.unfit"])
        try cluster.psql(
            """
            DROP PUBLICATION di_pub_t; CREATE PUBLICATION di_pub_t FOR TABLES IN SCHEMA s
                WITH (publish_via_partition_root = true);
            """
        )
        #expect(try await ensure(cluster, one, user: "cdc") == .reused)
        let both = TableSelection("s.a", "public.b")
        try await cluster.expectMended(
            "publication.unfit",
            by: #"ALTER PUBLICATION "di_pub_t" SET (publish = 'insert, update, delete, truncate', "#
                + #"publish_via_partition_root = true); ALTER PUBLICATION "di_pub_t" SET TABLE "#
                + #"ONLY "s"."a", ONLY "public"."b";"#,
            both,
            user: "cdc"
        )
        #expect(try await ensure(cluster, both, user: "cdc") == .reused)
    }

    @Test func `another's publication with other tables is refused with the statement`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE ROLE cdc LOGIN REPLICATION;
            CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
            GRANT SELECT ON a, b TO cdc;
            CREATE PUBLICATION di_pub_t FOR TABLE a;
            """
        )
        try await cluster.expectMended(
            "publication.unfit",
            by: #"ALTER PUBLICATION "di_pub_t" SET TABLE ONLY "public"."a", ONLY "public"."b";"#,
            TableSelection("public.*"),
            user: "cdc"
        )
    }

    @Test func `columns and filters that change are set, equal ones leave it alone`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY, kind text, v int)")
        try cluster.psql("ALTER TABLE a REPLICA IDENTITY DEFAULT")
        func selection(_ columns: [String]?, _ filter: String?) -> TableSelection {
            TableSelection(include: [
                TableRule(
                    pattern: TablePattern(text: "public.a"),
                    columns: columns,
                    filter: filter
                )
            ])
        }
        let first = selection(["v", "id"], "id > 10 AND id <> 12 -- odd")
        #expect(try await ensure(cluster, first) == .created)
        // The server's own text of this filter has no comment and other parentheses.
        #expect(try await ensure(cluster, first) == .reused)
        #expect(
            try await ensure(cluster, selection(["id", "v"], "id > 10 AND id <> 12")) == .reused
        )
        let columns = selection(["id"], "id > 10 AND id <> 12")
        #expect(
            try await ensure(cluster, columns)
                == .altered(["it publishes other columns of public.a"])
        )
        let filter = try await ensure(cluster, selection(["id"], "id > 11"))
        guard case .altered = filter else {
            Issue.record("\(filter)")
            return
        }
        guard case .altered = try await ensure(cluster, selection(nil, nil)) else {
            Issue.record("a filter that is gone was kept")
            return
        }
        #expect(try await ensure(cluster, selection(nil, nil)) == .reused)
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `the published tables are those that the server lists, and no lock delays the answer`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            CREATE SCHEMA s; CREATE TABLE a (id int PRIMARY KEY); CREATE UNLOGGED TABLE u (id int);
            CREATE TABLE s.child () INHERITS (a); CREATE VIEW v AS SELECT 1;
            CREATE TABLE root (id int) PARTITION BY LIST (id);
            CREATE TABLE s.middle PARTITION OF root DEFAULT PARTITION BY LIST (id);
            CREATE TABLE s.leaf PARTITION OF s.middle DEFAULT;
            """
        )
        var definitions = ["FOR ALL TABLES", "FOR TABLE a", "FOR TABLE ONLY a, s.leaf"]
        if version >= .v13 {
            let root = "WITH (publish_via_partition_root = true)"
            definitions += ["FOR ALL TABLES \(root)", "FOR TABLE root, s.leaf, s.child \(root)"]
            definitions += ["FOR TABLE root", "FOR TABLE s.middle, s.leaf \(root)"]
            if version >= .v15 {
                definitions += ["FOR TABLES IN SCHEMA s", "FOR TABLES IN SCHEMA s \(root)"]
                definitions += ["FOR TABLES IN SCHEMA s, TABLE root \(root)"]
            }
        }
        for definition in definitions {
            try cluster.psql("CREATE PUBLICATION di_pub_t \(definition)")
            let listed = try cluster.psql(
                "SELECT tablename FROM pg_publication_tables WHERE pubname = 'di_pub_t' ORDER BY 1"
            )
            try await cluster.withConnection { holder in
                try holder.query("BEGIN; LOCK TABLE public.a, public.root, s.leaf")
                let connection = try Connection.open(cluster.parameters())
                try connection.query("SET lock_timeout = '100ms'")
                let tables = try Publication.publishedTables(task: "t", on: connection)
                #expect(
                    tables.map(\.name).sorted().joined(separator: "\n") == listed,
                    "\(definition)"
                )
                try holder.query("ROLLBACK")
            }
            try cluster.psql("DROP PUBLICATION di_pub_t")
        }
    }
}
