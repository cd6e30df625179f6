// SPDX-License-Identifier: Apache-2.0
//
// Tables of a target that somebody else made, and what is said of them before the first byte.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

@Suite struct TableInspectionTests {
    /// The findings as `id subject`, those that are ok left out.
    static func faults(_ findings: [TargetFinding]) -> [String] {
        findings.filter { $0.level != .ok }.map { "\($0.id) \($0.subject)" }
    }

    static func inspect(
        _ servers: TableServers,
        as user: String = "postgres",
        createTables: Bool = true,
        unfinished: Set<TableName> = []
    ) async throws -> [TargetFinding] {
        try await servers.connected(as: user) { source, target in
            var inspection = try TableInspection(on: source)
            inspection.createTables = createTables
            inspection.unfinished = unfinished
            return try inspection.findings(on: target)
        }
    }

    /// Runs what mends each fault, and expects nothing to be left.
    static func expectMended(
        _ servers: TableServers,
        by findings: [TargetFinding],
        as user: String = "postgres"
    ) async throws {
        for finding in findings where !finding.mend.isEmpty && finding.level == .failed {
            try servers.target.psql(finding.mend)
        }
        let left = try await inspect(servers, as: user).filter { $0.level == .failed }
        #expect(left == [])
    }

    @Test(arguments: TablePair.all)
    func `what was made fits`(pair: TablePair) async throws {
        let servers = try await TableServers.start(pair)
        try servers.source.psql(TableMakerTests.schema)
        let before = try await Self.inspect(servers)
        #expect(Set(before.map(\.id)) == ["target.table_new"])
        _ = try await servers.make()
        let after = try await Self.inspect(servers)
        #expect(Self.faults(after) == [])
        #expect(after.count == 6)
    }

    @Test func `every column that does not fit is told at once, and mended as told`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql(
            """
            CREATE TYPE mood AS ENUM ('a', 'b');
            CREATE TABLE t (id int PRIMARY KEY, missing text, short varchar(10), wrong text,
            maybe int, computed int, labels mood, always int NOT NULL, fine int,
            g int GENERATED ALWAYS AS (id) STORED)
            """
        )
        try servers.target.psql(
            """
            CREATE TYPE mood AS ENUM ('a');
            CREATE TABLE t (id int, short varchar(5), wrong int, maybe int NOT NULL, fine bigint,
            computed int GENERATED ALWAYS AS (1) STORED, labels mood, extra int NOT NULL,
            always int GENERATED ALWAYS AS IDENTITY, filled int NOT NULL DEFAULT 1, g int)
            """
        )
        var findings = try await Self.inspect(servers)
        #expect(
            Self.faults(findings) == [
                "target.column_missing public.t.missing", "target.column_type public.t.short",
                "target.column_type public.t.wrong", "target.not_null public.t.maybe",
                "target.column_generated public.t.computed",
                "target.column_type public.t.labels", "target.identity_always public.t.always",
                "target.column_extra public.t.extra", "target.computed_plain public.t.g",
                "target.key_missing public.t",
            ]
        )
        #expect(throws: WalrelayError.self) { try TargetFinding.refuse(findings) }
        for index in findings.indices where findings[index].subject == "public.t.labels" {
            #expect(findings[index].found.contains("lacks the labels 'b'"))
            findings[index].mend = "ALTER TYPE mood ADD VALUE 'b'"
        }
        try await Self.expectMended(servers, by: findings)
    }

    @Test func `a table that is no table, or not to be trusted, is refused`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql(
            """
            CREATE TABLE v (a int); CREATE TABLE m (a int); CREATE TABLE u (a int);
            CREATE TABLE p (a int); ALTER TABLE p REPLICA IDENTITY FULL; CREATE TABLE r (a int)
            """
        )
        try servers.target.psql(
            """
            CREATE VIEW v AS SELECT 1 AS a; CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;
            CREATE UNLOGGED TABLE u (a int); CREATE TABLE p (a int) PARTITION BY LIST (a);
            CREATE TABLE r (a int); CREATE RULE x AS ON INSERT TO r DO INSTEAD NOTHING
            """
        )
        let findings = try await Self.inspect(servers)
        #expect(
            Self.faults(findings) == [
                "target.kind public.m", "target.partitioned_keyless public.p",
                "target.rules public.r", "target.unlogged public.u", "target.kind public.v",
            ]
        )
    }

    @Test(arguments: TablePair.all)
    func `a role without rights is told each GRANT`(pair: TablePair) async throws {
        let servers = try await TableServers.start(pair)
        try servers.source.psql(
            """
            CREATE TABLE a (id int PRIMARY KEY, p int REFERENCES a); CREATE TABLE b (id int);
            CREATE TABLE missing (id int);
            """
        )
        try servers.target.psql(
            """
            CREATE ROLE "the role" LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TABLE a (id int PRIMARY KEY, p int REFERENCES a);
            CREATE TRIGGER "on a" BEFORE INSERT ON a FOR EACH ROW EXECUTE PROCEDURE f();
            CREATE TABLE b (id int); ALTER TABLE b ENABLE ROW LEVEL SECURITY;
            GRANT SELECT ON b TO "the role";
            """
        )
        let findings = try await Self.inspect(servers, as: "the role")
        #expect(
            Self.faults(findings) == [
                "target.schema_privileges schema public",
                "target.database_privileges database postgres",
                "target.privileges public.a", "target.owner public.a", "target.trigger public.a",
                "target.foreign_key public.a", "target.privileges public.b",
                "target.owner public.b", "target.row_security public.b",
            ]
        )
        #expect(
            findings.contains {
                $0.mend == "GRANT INSERT, UPDATE, DELETE, TRUNCATE ON TABLE \"public\".\"b\" "
                    + "TO \"the role\";"
            }
        )
        let isGrantable = pair.target >= .v15
        #expect(
            findings.contains {
                $0.mend == "GRANT SET ON PARAMETER session_replication_role TO \"the role\";"
            } == isGrantable
        )
        try await Self.expectMended(servers, by: findings, as: "the role")
    }

    @Test func `a trigger that fires for replicated rows too is warned of`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql("CREATE TABLE t (id int)")
        try servers.target.psql(
            """
            CREATE TABLE t (id int);
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER o BEFORE INSERT ON t FOR EACH ROW EXECUTE PROCEDURE f();
            CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW EXECUTE PROCEDURE f();
            ALTER TABLE t ENABLE ALWAYS TRIGGER a
            """
        )
        let findings = try await Self.inspect(servers)
        #expect(findings.map(\.id) == ["target.trigger", "target.table"])
        #expect(findings.first?.level == .warning)
        #expect(findings.first?.mend == "ALTER TABLE \"public\".\"t\" ENABLE TRIGGER \"a\";")
    }

    @Test func `a missing table is refused where none is to be made, a missing key is not yet one`()
        async throws
    {
        let servers = try await TableServers.start()
        try servers.source.psql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (a int)")
        try servers.target.psql("CREATE TABLE t (id int NOT NULL)")
        let strict = try await Self.inspect(servers, createTables: false)
        #expect(
            Self.faults(strict) == ["target.key_missing public.t", "target.table_missing public.u"]
        )
        let ours = try await Self.inspect(
            servers,
            unfinished: [TableName(schema: "public", name: "t")]
        )
        #expect(Self.faults(ours) == [])
    }

    @Test func `a standby takes nothing`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql("CREATE TABLE t (id int)")
        let standby = TableServers(
            source: servers.source,
            target: try await servers.target.startStandby()
        )
        #expect(Self.faults(try await Self.inspect(standby)).first == "target.standby target")
    }

    @Test func `two tables in one, and names that cannot be, are refused`() throws {
        let relations = ["a", "b"].map { schema in
            Relation(oid: 1, schema: schema, name: "t", replicaIdentity: .full, columns: [])
        }
        func code(_ naming: TableNaming) -> String? {
            do { try naming.check(relations) } catch { return error.code }
            return nil
        }
        let all = TableSelection(include: [.all(in: "a"), .all(in: "b")])
        #expect(code(TableNaming(selection: all)) == nil)
        #expect(code(TableNaming(schema: .named("c"), selection: all)) == "sink.names_meet")
        #expect(code(TableNaming(schema: .named("walrelay"), selection: all)) == "sink.name_unfit")
        let long = TableName(schema: "a", name: String(repeating: "é", count: 32))
        for target in [long, TableName(schema: "pg_catalog", name: "t")] {
            let rule = TableRule.one("b", "t", to: target)
            let selection = TableSelection(include: [rule] + all.include)
            #expect(code(TableNaming(selection: selection)) == "sink.name_unfit")
        }
        let there = TableRule.one("b", "t", to: TableName(schema: "a", name: "t"))
        let meeting = TableSelection(include: [there] + all.include)
        #expect(code(TableNaming(selection: meeting)) == "sink.names_meet")
    }
}
