// SPDX-License-Identifier: Apache-2.0
//
// Whether the check foretells what the server does: it refuses a table exactly when publishing it
// would make the application's own UPDATE fail.

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@Suite struct IdentityCheckTests {
    /// A table with columns id and v, and what the check says of it.
    struct Case: Sendable {
        var name: String
        var sql: String
        var id: String?
        var mend = ""
        var columns: [String]?
        var filter: String?
        /// Whether the server itself agrees that it is bad.
        var breaksUpdate = true
        var versions: ClosedRange<Int> = 11...18
    }

    static let cases = [
        Case(name: "keyed", sql: "CREATE TABLE keyed (id int PRIMARY KEY, v int)"),
        Case(
            name: "keyless",
            sql: "CREATE TABLE keyless (id int, v int)",
            id: "table.identity_missing",
            mend: #"ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL;"#
        ),
        Case(
            name: "unique_only",
            sql: "CREATE TABLE unique_only (id int NOT NULL UNIQUE, v int)",
            id: "table.identity_missing",
            mend: #"ALTER TABLE "public"."unique_only" REPLICA IDENTITY USING INDEX "#
                + #""unique_only_id_key";"#
        ),
        Case(
            name: "nullable",
            sql: "CREATE TABLE nullable (id int UNIQUE, v int)",
            id: "table.identity_missing",
            mend: #"ALTER TABLE "public"."nullable" REPLICA IDENTITY FULL;"#
        ),
        Case(
            name: "whole",
            sql: "CREATE TABLE whole (id int, v int); ALTER TABLE whole REPLICA IDENTITY FULL"
        ),
        Case(
            name: "none",
            sql: "CREATE TABLE none (id int PRIMARY KEY, v int);"
                + " ALTER TABLE none REPLICA IDENTITY NOTHING",
            id: "table.identity_nothing",
            mend: #"ALTER TABLE "public"."none" REPLICA IDENTITY DEFAULT;"#
        ),
        Case(
            name: "deferred",
            sql: "CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE, v int)",
            id: "table.identity_deferrable",
            mend: #"ALTER TABLE "public"."deferred" REPLICA IDENTITY FULL;"#
        ),
        Case(
            name: "orphaned",
            sql: "CREATE TABLE orphaned (id int PRIMARY KEY, v int NOT NULL);"
                + " CREATE UNIQUE INDEX gone ON orphaned (v);"
                + " ALTER TABLE orphaned REPLICA IDENTITY USING INDEX gone; DROP INDEX gone",
            id: "table.identity_index_lost",
            mend: #"ALTER TABLE "public"."orphaned" REPLICA IDENTITY DEFAULT;"#
        ),
        Case(
            name: "computed",
            sql: "CREATE TABLE computed (id int, v int, w int GENERATED ALWAYS AS (v) STORED);"
                + " ALTER TABLE computed REPLICA IDENTITY FULL",
            versions: 12...17
        ),
        Case(
            name: "computed",
            sql: "CREATE TABLE computed (id int, v int, w int GENERATED ALWAYS AS (v) STORED);"
                + " ALTER TABLE computed REPLICA IDENTITY FULL",
            id: "table.identity_generated",
            versions: 18...18
        ),
        Case(
            name: "virtual",
            sql: "CREATE TABLE virtual (id int, v int, w int GENERATED ALWAYS AS (v) VIRTUAL);"
                + " ALTER TABLE virtual REPLICA IDENTITY FULL",
            id: "table.identity_generated",
            versions: 18...18
        ),
        Case(
            name: "computed_key",
            sql: "CREATE TABLE computed_key (id int, v int,"
                + " w int GENERATED ALWAYS AS (id) STORED PRIMARY KEY)",
            id: "table.identity_generated",
            breaksUpdate: false,
            versions: 12...17
        ),
        Case(
            name: "listed",
            sql: "CREATE TABLE listed (id int PRIMARY KEY, v int, w int)",
            columns: ["v", "id"],
            versions: 15...18
        ),
        Case(
            name: "listed_badly",
            sql: "CREATE TABLE listed_badly (id int PRIMARY KEY, v int, w int)",
            id: "table.columns_lack_key",
            mend: "add to the table's columns: id",
            columns: ["v"],
            versions: 15...18
        ),
        Case(
            name: "listed_full",
            sql: "CREATE TABLE listed_full (id int PRIMARY KEY, v int);"
                + " ALTER TABLE listed_full REPLICA IDENTITY FULL",
            id: "table.columns_under_full",
            mend: #"ALTER TABLE "public"."listed_full" REPLICA IDENTITY DEFAULT;"#,
            columns: ["id", "v"],
            versions: 15...18
        ),
        Case(
            name: "filtered",
            sql: "CREATE TABLE filtered (id int PRIMARY KEY, v int)",
            filter: "filtered.id > 0 -- all",
            versions: 15...18
        ),
        Case(
            name: "filtered_badly",
            sql: "CREATE TABLE filtered_badly (id int PRIMARY KEY, v int)",
            id: "table.filter_lacks_key",
            mend: #"ALTER TABLE "public"."filtered_badly" REPLICA IDENTITY FULL;"#,
            filter: "v > 0",
            versions: 15...18
        ),
        Case(
            name: "filtered_full",
            sql: "CREATE TABLE filtered_full (id int, v int);"
                + " ALTER TABLE filtered_full REPLICA IDENTITY FULL",
            filter: "v > 0",
            versions: 15...18
        ),
        Case(
            name: "part",
            sql: "CREATE TABLE part (id int PRIMARY KEY, v int) PARTITION BY LIST (id);"
                + " CREATE TABLE part_rest PARTITION OF part DEFAULT",
            versions: 13...18
        ),
        Case(
            name: "part_full",
            sql: "CREATE TABLE part_full (id int, v int) PARTITION BY LIST (id);"
                + " CREATE TABLE part_full_rest PARTITION OF part_full DEFAULT;"
                + " ALTER TABLE part_full REPLICA IDENTITY FULL",
            id: "table.identity_missing",
            mend: #"ALTER TABLE "public"."part_full_rest" REPLICA IDENTITY FULL;"#,
            versions: 13...18
        ),
    ]

    @Test(arguments: PostgresCluster.availableVersions)
    func `the check refuses what would break the application's updates, and mends it`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        for example in Self.cases where example.versions.contains(version.rawValue) {
            try cluster.psql(example.sql + "; INSERT INTO \(example.name) VALUES (1, 1)")
            let selection = TableSelection(include: [
                TableRule(
                    pattern: TablePattern(text: "public.\(example.name)"),
                    columns: example.columns,
                    filter: example.filter
                )
            ])
            let findings = try await cluster.check(selection, task: example.name)
            #expect(findings.failedIDs == (example.id.map { [$0] } ?? []), "\(findings)")

            // Publishing it all the same shows whether the check is right.
            try await cluster.withConnection { connection in
                let tables = try SourceCatalog.tables(selection, on: connection)
                try Publication.ensure(task: example.name, tables: tables, on: connection)
            }
            let update = "UPDATE \(example.name) SET v = v + 1"
            if example.id != nil, example.breaksUpdate {
                #expect(throws: SupportError.self, "\(example.name)") {
                    try cluster.psql(update)
                }
            } else {
                try cluster.psql(update)
            }
            guard let id = example.id, example.mend.hasPrefix("ALTER") else { continue }
            try await cluster.expectMended(
                id,
                by: example.mend,
                selection,
                task: example.name
            )
            if example.columns == nil {
                try cluster.psql(update)
            }
        }
    }

    @Test func `column lists and filters need 15`() async throws {
        guard let version = PostgresCluster.availableVersions.last(where: { $0 < .v15 }) else {
            return
        }
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql("CREATE TABLE a (id int PRIMARY KEY, v int)")
        let selection = TableSelection(include: [
            TableRule(pattern: TablePattern(text: "public.a"), columns: ["id"], filter: "id > 0")
        ])
        let findings = try await cluster.check(selection)
        #expect(findings.failedIDs == ["table.columns_unsupported", "table.filter_unsupported"])
    }

    @Test func `a wrong column or filter is named`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE a (id int PRIMARY KEY, price int,
                twice int GENERATED ALWAYS AS (price * 2) STORED)
            """
        )
        func check(columns: [String]? = nil, filter: String? = nil) async throws -> Finding {
            let rule = TableRule(
                pattern: TablePattern(text: "public.a"),
                columns: columns,
                filter: filter
            )
            let findings = try await cluster.check(TableSelection(include: [rule]))
            return try #require(findings.failures.first)
        }
        let missing = try await check(columns: ["id", "prise"])
        #expect(missing.id == "table.column_missing")
        #expect(missing.mend == "correct the table's columns: price")
        #expect(try await check(columns: ["id", "twice"]).id == "table.column_generated")
        let filter = try await check(filter: "prise > 1")
        #expect(filter.id == "table.filter")
        #expect(filter.found.contains(#"column "prise" does not exist"#))
    }
}
