// SPDX-License-Identifier: Apache-2.0
//
// Each right of docs/operations.md is needed: without it the check names what lacks, with the
// statement that mends it; the run ends with the same before it has made anything.
import Foundation
import Support
import Testing

@Suite struct MissingRightTests {
    /// A right that is taken away.
    struct Right: Sendable, CustomStringConvertible {
        var database: String
        var taken: String
        var mend: String

        var description: String { taken }

        init(_ database: String, _ taken: String, _ mend: String) {
            self.database = database
            self.taken = taken
            self.mend = mend
        }
    }

    private static let source = [
        Right(
            "shop",
            "REVOKE CONNECT ON DATABASE shop FROM cdc",
            #"GRANT CONNECT ON DATABASE "shop" TO "cdc";"#
        ),
        Right("shop", "ALTER ROLE cdc NOREPLICATION", #"ALTER ROLE "cdc" WITH REPLICATION;"#),
        Right(
            "shop",
            "REVOKE USAGE ON SCHEMA sales FROM cdc",
            #"GRANT USAGE ON SCHEMA "sales" TO "cdc";"#
        ),
        Right(
            "shop",
            "REVOKE SELECT ON sales.lines FROM cdc",
            #"GRANT SELECT ON "sales"."lines" TO "cdc";"#
        ),
    ]

    private static let target =
        [
            Right(
                "shop_copy",
                "REVOKE CONNECT ON DATABASE shop_copy FROM loader",
                #"GRANT CONNECT ON DATABASE "shop_copy" TO "loader";"#
            )
        ]
        + ["sales", "walrelay"].map { schema in
            Right(
                "shop_copy",
                "REVOKE USAGE ON SCHEMA \(schema) FROM loader",
                #"GRANT USAGE ON SCHEMA "\#(schema)" TO "loader";"#
            )
        }
        + [
            Right(
                "shop_copy",
                "REVOKE CREATE ON SCHEMA walrelay FROM loader",
                #"GRANT CREATE ON SCHEMA "walrelay" TO "loader";"#
            )
        ]
        + ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"].map { privilege in
            Right(
                "shop_copy",
                "REVOKE \(privilege) ON sales.orders FROM loader",
                #"GRANT \#(privilege) ON TABLE "sales"."orders" TO "loader";"#
            )
        }

    @Test(.timeLimit(.minutes(6)), arguments: LeastPrivilegeTests.versions)
    func `where owners made publication and tables, each grant is asked for by itself`(
        version: PostgresVersion
    ) async throws {
        let shop = try await HardenedShop(version)
        try await shop.makeTables(in: HardenedShop.target)
        try await shop.grant("grants-source")
        try await shop.publish()
        try await shop.grant("grants-target-tables", in: HardenedShop.target)
        var rights = Self.source + Self.target
        if shop.hasPartitions {
            rights.append(
                Right(
                    "shop",
                    "REVOKE SELECT ON sales.visits_new FROM cdc",
                    #"GRANT SELECT ON "sales"."visits_new" TO "cdc";"#
                )
            )
        }
        for right in rights { try await expectNeeded(right, shop) }
        #expect(try await shop.troubles().map(\.description) == [])
        #expect(try await shop.run("run", options: ["--until", "now"]).status == .code(0))
        #expect(try await shop.differences() == [])
    }

    @Test(.timeLimit(.minutes(6)), arguments: LeastPrivilegeTests.versions)
    func `where walrelay makes publication and tables, each grant is asked for by itself`(
        version: PostgresVersion
    ) async throws {
        let shop = try await HardenedShop(version)
        try await shop.grant("grants-source")
        try await shop.grant("publication-by-walrelay")
        try await shop.grant("grants-target", in: HardenedShop.target)
        try await expectNeeded(
            Right(
                "shop",
                "REVOKE CREATE ON DATABASE shop FROM cdc",
                #"GRANT CREATE ON DATABASE "shop" TO "cdc";"#
            ),
            shop
        )
        try await expectNeeded(
            Right(
                "shop_copy",
                "REVOKE CREATE ON DATABASE shop_copy FROM loader",
                #"GRANT CREATE ON DATABASE "shop_copy" TO "loader";"#
            ),
            shop
        )
        // What an owner makes instead needs neither membership nor CREATE.
        let made = try await expectNeeded(
            Right(
                "shop",
                "REVOKE shop_owner FROM cdc",
                #"CREATE PUBLICATION "di_pub_orders" FOR "#
            ),
            shop
        )
        #expect(made.contains(#"ONLY "sales"."lines""#))
        #expect(try await shop.run("run", options: ["--until", "now"]).status == .code(0))
        #expect(try await shop.differences() == [])
    }

    /// Takes a right away and gives it back as the check says; returns what that was.
    @discardableResult
    private func expectNeeded(_ right: Right, _ shop: HardenedShop) async throws -> String {
        try await shop.sql(right.taken, in: right.database)
        let troubles = try await shop.troubles()
        #expect(troubles.count == 1, "\(right): \(troubles)")
        let trouble = try #require(troubles.first)
        #expect("\(trouble)".contains(right.mend), "\(right): \(trouble)")
        let run = try await shop.run("run", options: ["--until", "now"])
        #expect(run.status == .code(77), "\(right): \(run.stderr)")
        #expect(run.stderr.contains(right.mend), "\(right): \(run.stderr)")
        if !trouble.mend.isEmpty {
            #expect(run.stderr.contains(trouble.found), "\(right): \(run.stderr)")
        }
        #expect(try await shop.halfMade() == "", "\(right)")
        let mend = trouble.mend.isEmpty ? right.mend : trouble.mend
        try await shop.sql(mend, in: right.database)
        return mend
    }
}
