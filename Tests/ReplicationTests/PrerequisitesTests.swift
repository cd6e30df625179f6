// SPDX-License-Identifier: Apache-2.0
//
// The server's, the role's, the publication's and the slot's part of the check: each finding by
// its id, with the statement that mends it, which the test runs.

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@Suite struct PrerequisitesTests {
    @Test(arguments: PostgresCluster.availableVersions)
    func `a healthy source has nothing that fails, on either kind of connection`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY)")
        for replication in [false, true] {
            let findings = try await cluster.check(
                TableSelection("public.a"),
                replication: replication
            )
            #expect(findings.failures.isEmpty)
            #expect(Prerequisites.firstFailure(findings) == nil)
            #expect(findings.with(id: "server.wal_level").map(\.found) == ["logical"])
            #expect(findings.with(id: "table").map(\.level) == [.ok])
            #expect(findings.first?.found.hasPrefix("\(version.rawValue).") == true)
            let keepSize = findings.with(id: "server.max_slot_wal_keep_size")
            #expect(keepSize.map(\.level) == (version < .v13 ? [] : [.warning]))
        }
        let left = try cluster.psql(
            "SELECT (SELECT count(*) FROM pg_publication) + count(*) FROM pg_replication_slots"
        )
        #expect(left == "0")
    }

    @Test(arguments: [
        (90_624, "9.6.24", "failed"), (100_023, "10.23", "ok"), (180_006, "18.6", "ok"),
        (190_000, "19.0", "warning"),
    ])
    func `versions are judged by libpq's number`(number: Int, text: String, level: String) {
        let finding = Prerequisites.version(number)
        #expect(finding.level.rawValue == level)
        #expect(finding.found.hasPrefix(text))
        #expect(finding.mend.isEmpty == (level == "ok"))
    }

    @Test func `wal_level, slots and timeouts come with the setting to change`() async throws {
        let cluster = try await PostgresCluster.start(
            settings: [
                "wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "0",
                "wal_sender_timeout": "0", "max_slot_wal_keep_size": "64MB",
            ]
        )
        try cluster.psql(
            """
            CREATE TABLE a (id int PRIMARY KEY);
            SELECT pg_create_physical_replication_slot('other');
            """
        )
        let findings = try await cluster.check(TableSelection("public.a"))
        let mends = Dictionary(uniqueKeysWithValues: findings.map { ($0.id, $0.mend) })
        #expect(
            findings.failedIDs == [
                "server.wal_level", "server.max_wal_senders", "server.max_replication_slots",
            ]
        )
        #expect(
            mends["server.wal_level"]
                == "ALTER SYSTEM SET wal_level = 'logical'; -- then restart the server"
        )
        let error = try #require(Prerequisites.firstFailure(findings))
        #expect(error.code == "server.wal_level" && error.exit == .prerequisite)
        #expect(error.message.contains("mend: \(mends["server.wal_level"] ?? "?")"))
        #expect(error.message.contains("max_replication_slots: 1 of 1 slot in use"))
        for finding in findings where !finding.mend.isEmpty {
            for statement in finding.mend.split(separator: ";") {
                try cluster.psql("\(statement);")
            }
        }
        try await cluster.restart()
        let after = try await cluster.check(TableSelection("public.a"))
        #expect(after.allSatisfy { $0.level == .ok }, "\(after)")
    }

    @Test func `a standby is refused`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY)")
        try cluster.stop()
        try cluster.write("", to: "standby.signal")
        try await cluster.start()
        let findings = try await cluster.check(TableSelection("public.a"))
        #expect(findings.failedIDs == ["server.standby"])
    }

    @Test func `SQL_ASCII is refused`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.createDatabase("raw", encoding: "SQL_ASCII")
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY)", database: "raw")
        let findings = try await cluster.check(TableSelection("public.a"), database: "raw")
        #expect(findings.failedIDs == ["server.encoding"])
        let latin = try cluster.createDatabase("latin", encoding: "LATIN1")
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY)", database: latin)
        let fine = try await cluster.check(TableSelection("public.a"), database: latin)
        #expect(fine.failures.isEmpty)
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `a role is led from nothing to the least privilege`(version: PostgresVersion) async throws
    {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(
            """
            CREATE ROLE cdc LOGIN; CREATE ROLE owner; CREATE SCHEMA s;
            CREATE TABLE s.a (id int PRIMARY KEY, "B" text);
            ALTER TABLE s.a OWNER TO owner;
            """
        )
        let tables = TableSelection("s.a")
        let findings = try await cluster.check(tables, user: "cdc")
        #expect(
            findings.failedIDs == [
                "role.replication", "table.usage", "table.select", "role.owner",
            ]
        )
        func mend(_ id: String, _ statement: String) async throws {
            try await cluster.expectMended(id, by: statement, tables, user: "cdc")
        }
        try await mend("role.replication", #"ALTER ROLE "cdc" WITH REPLICATION;"#)
        // One who owns the tables makes the publication himself, and needs CREATE for that.
        try cluster.psql("GRANT owner TO cdc")
        try await mend("role.create", #"GRANT CREATE ON DATABASE "postgres" TO "cdc";"#)
        try cluster.psql("REVOKE CREATE ON DATABASE postgres FROM cdc; REVOKE owner FROM cdc")
        let options =
            version >= .v18
            ? ", publish_via_partition_root = true, publish_generated_columns = none"
            : version >= .v13 ? ", publish_via_partition_root = true" : ""
        try await mend(
            "role.owner",
            #"CREATE PUBLICATION "di_pub_t" FOR TABLE ONLY "s"."a" WITH "#
                + "(publish = 'insert, update, delete, truncate'\(options));"
        )
        try await mend("table.usage", #"GRANT USAGE ON SCHEMA "s" TO "cdc";"#)
        try await mend("table.select", #"GRANT SELECT ON "s"."a" TO "cdc";"#)
        #expect(try await cluster.check(tables, user: "cdc").failures.isEmpty)
        try cluster.psql("ALTER TABLE s.a ENABLE ROW LEVEL SECURITY")
        try await mend("table.row_security", #"ALTER ROLE "cdc" BYPASSRLS;"#)
        let outcome = try await cluster.withConnection(user: "cdc") { connection in
            let tables = try SourceCatalog.tables(tables, on: connection)
            return try Publication.ensure(task: "t", tables: tables, on: connection)
        }
        #expect(outcome == .reused)
    }

    @Test func `a provider's own names are used where its roles show it`() async throws {
        let cluster = try await PostgresCluster.start(settings: ["wal_level": "replica"])
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY); CREATE ROLE cdc LOGIN")
        let providers = [
            ("azure_pg_admin", "--name wal_level --value logical", "WITH REPLICATION;"),
            ("cloudsqlsuperuser", "cloudsql.logical_decoding = on", "ALTER USER"),
            ("rds_replication", "rds.logical_replication = 1", "GRANT rds_replication TO \"cdc\";"),
            ("supabase_admin", "postgres-config update", "ALTER ROLE"),
        ]
        for (role, setting, grant) in providers {
            try cluster.psql("CREATE ROLE \(role)")
            let findings = try await cluster.check(TableSelection("public.a"), user: "cdc")
            let mends = Dictionary(uniqueKeysWithValues: findings.map { ($0.id, $0.mend) })
            #expect(mends["server.wal_level"]?.contains(setting) == true)
            #expect(mends["role.replication"]?.contains(grant) == true)
        }
        try cluster.psql("GRANT rds_replication TO cdc")
        let member = try await cluster.check(TableSelection("public.a"), user: "cdc")
        #expect(member.with(id: "role.replication").map(\.level) == [.ok])
    }

    @Test func `a slot that cannot serve is named, with the way to be rid of it`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY)")
        try cluster.createDatabase("other")
        let tables = TableSelection("public.a")
        let drop = "SELECT pg_drop_replication_slot('di_slot_t');"
        let slots = [
            ("slot.plugin", "pg_create_logical_replication_slot('di_slot_t', 'test_decoding')"),
            ("slot.kind", "pg_create_physical_replication_slot('di_slot_t')"),
            (
                "slot.two_phase",
                "pg_create_logical_replication_slot('di_slot_t', 'pgoutput', false, true)"
            ),
        ]
        try cluster.psql(
            "CREATE PUBLICATION di_pub_t FOR ALL TABLES"
                + " WITH (publish_via_partition_root = true)"
        )
        for (id, call) in slots {
            try cluster.psql("SELECT \(call)")
            try await cluster.expectMended(id, by: drop, tables)
        }
        let create = "SELECT pg_create_logical_replication_slot('di_slot_t', 'pgoutput')"
        try cluster.psql(create, database: "other")
        try await cluster.expectMended("slot.database", by: drop, tables)
        try cluster.psql(create)
        #expect(try await cluster.check(tables).with(id: "slot").count == 1)
        try cluster.psql("DROP PUBLICATION di_pub_t")
        let orphan = try await cluster.check(tables)
        #expect(orphan.failedIDs == ["publication.missing"])
        #expect(Prerequisites.firstFailure(orphan)?.exit == .checkpointMismatch)
    }

    @Test func `a slot that is held is a warning, one whose WAL is gone a failure`() async throws {
        let cluster = try await PostgresCluster.start(
            settings: [
                "max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB",
                "max_wal_size": "32MB",
            ]
        )
        try cluster.psql(
            """
            CREATE TABLE a (id int PRIMARY KEY); CREATE PUBLICATION di_pub_t FOR TABLE a
                WITH (publish_via_partition_root = true);
            SELECT pg_create_logical_replication_slot('di_slot_t', 'pgoutput');
            """
        )
        let tables = TableSelection("public.a")
        do {
            let holder = try cluster.spawn(
                "pg_recvlogical",
                [
                    "-d", "postgres", "-S", "di_slot_t", "--start", "-f", "/dev/null", "-o",
                    "proto_version=1", "-o", "publication_names=di_pub_t",
                ]
            )
            try await eventually("the slot is held") {
                try await cluster.check(tables).contains { $0.id == "slot.active" }
            }
            #expect(try await cluster.check(tables).failures.isEmpty)
            holder.signal(9)
        }
        try await eventually("the slot is free") {
            try await !cluster.check(tables).contains { $0.id == "slot.active" }
        }
        for _ in 0..<4 { try cluster.psql("SELECT pg_switch_wal(); CHECKPOINT;") }
        try await eventually("the slot is lost") {
            try cluster.psql("INSERT INTO a SELECT count(*) + 1 FROM a; SELECT pg_switch_wal()")
            try cluster.psql("CHECKPOINT")
            return try await cluster.check(tables).contains { $0.id == "slot.wal_lost" }
        }
        let findings = try await cluster.check(tables)
        #expect(Prerequisites.firstFailure(findings)?.code == "slot.wal_lost")
        #expect(Prerequisites.firstFailure(findings)?.exit == .checkpointMismatch)
    }
}
