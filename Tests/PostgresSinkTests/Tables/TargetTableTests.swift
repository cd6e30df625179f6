// SPDX-License-Identifier: Apache-2.0
//
// What identifies a row on the target, by the source's identity and the target's indexes.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

@Suite struct TargetTableTests {
    /// A source's definition, the target's, and the key that comes of it.
    static let cases: [(name: String, source: String, target: String, key: [String])] = [
        (
            "same", "(a int, b int, PRIMARY KEY (b, a))", "(b int, a int, PRIMARY KEY (b, a))",
            ["b", "a"]
        ),
        ("unique", "(a int PRIMARY KEY)", "(a int UNIQUE)", ["a"]),
        ("wider", "(a int PRIMARY KEY, b int)", "(a int, b int, PRIMARY KEY (a, b))", []),
        ("deferred", "(a int PRIMARY KEY)", "(a int PRIMARY KEY DEFERRABLE)", []),
        (
            "partial", "(a int PRIMARY KEY)",
            "(a int); CREATE UNIQUE INDEX ON partial (a) WHERE a > 0", []
        ),
        (
            "expressed", "(a int PRIMARY KEY)",
            "(a int); CREATE UNIQUE INDEX ON expressed ((a + 1))", []
        ),
        (
            "including", "(a int PRIMARY KEY, b int)",
            "(a int, b int, PRIMARY KEY (a) INCLUDE (b))", ["a"]
        ),
        ("keyless", "(a int)", "(a int PRIMARY KEY)", []),
        (
            "full", "(a int, b int); ALTER TABLE \"full\" REPLICA IDENTITY FULL",
            "(a int UNIQUE NOT NULL, b int PRIMARY KEY)", ["b"]
        ),
        (
            "nullable", "(a int, b int); ALTER TABLE nullable REPLICA IDENTITY FULL",
            "(a int UNIQUE, b int)", []
        ),
        (
            "unpublished", "(a int); ALTER TABLE unpublished REPLICA IDENTITY FULL",
            "(a int, z serial PRIMARY KEY)", []
        ),
        (
            "nothing", "(a int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING",
            "(a int PRIMARY KEY)", []
        ),
        (
            "indexed",
            "(a int PRIMARY KEY, b int NOT NULL UNIQUE); "
                + "ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_b_key",
            "(a int PRIMARY KEY, b int UNIQUE)", ["b"]
        ),
    ]

    @Test func `the key is what the source names rows by and the target can find them by`()
        async throws
    {
        let servers = try await TableServers.start()
        for item in Self.cases {
            try servers.source.psql("CREATE TABLE \"\(item.name)\" \(item.source)")
            try servers.target.psql("CREATE TABLE \"\(item.name)\" \(item.target)")
        }
        let keys = try await servers.connected { source, target in
            let inspection = try TableInspection(on: source)
            let tables = try TargetTable.read(
                inspection.relations.map { RelationVersion($0) },
                naming: inspection.naming,
                on: target
            )
            return Dictionary(
                uniqueKeysWithValues: tables.map { table in
                    #expect(
                        table.columns.map(\.name) == table.relation.relation.columns.map(\.name)
                    )
                    let key = table.key.map { table.columns[$0].name }
                    #expect(table.columns.filter(\.isKey).map(\.name).sorted() == key.sorted())
                    return (table.name, key)
                }
            )
        }
        for item in Self.cases { #expect(keys[item.name] == item.key, "\(item.name)") }
    }

    @Test func `a cast keeps the type and leaves the length to the assignment`() async throws {
        let servers = try await TableServers.start()
        let definition = """
            CREATE TYPE mood AS ENUM ('a'); CREATE DOMAIN name AS varchar(3);
            CREATE TABLE t (a varchar(3), b char(4), c numeric(5, 2), d bit(3), e timestamptz(3),
            f mood, g mood[], h public.name, i "char", j int[], k pg_catalog.name)
            """
        try servers.source.psql(definition)
        try servers.target.psql(definition)
        let casts = try await servers.connected { source, target in
            let inspection = try TableInspection(on: source)
            let versions = inspection.relations.map { RelationVersion($0) }
            return try TargetTable.read(versions, naming: inspection.naming, on: target)
                .flatMap { $0.columns.map(\.castType) }
        }
        #expect(
            casts == [
                "character varying", "bpchar", "numeric", "\"bit\"", "timestamp with time zone",
                "public.mood", "public.mood[]", "public.name", "\"char\"", "integer[]", "name",
            ]
        )
    }

    @Test func `tables and columns that are not there are told at once`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql("CREATE TABLE a (x int, y int); CREATE TABLE b (z int)")
        try servers.target.psql("CREATE TABLE a (x int)")
        let error = try await servers.connected { source, target -> WalrelayError? in
            let inspection = try TableInspection(on: source)
            let versions = inspection.relations.map { RelationVersion($0) }
            do {
                _ = try TargetTable.read(versions, naming: inspection.naming, on: target)
                return nil
            } catch { return error as? WalrelayError }
        }
        #expect(error?.code == "sink.tables_unfit")
        #expect(error?.exit == .prerequisite)
        #expect(error?.message.contains("public.a: lacks the columns y") == true)
        #expect(error?.message.contains("public.b: does not exist") == true)
    }
}
