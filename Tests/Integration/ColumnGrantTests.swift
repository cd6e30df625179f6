// SPDX-License-Identifier: Apache-2.0
//
// Where the settings name columns of a table, the role needs to read no others.
import Foundation
import Support
import Testing

@Suite struct ColumnGrantTests {
    @Test(.timeLimit(.minutes(2)), .enabled(if: PostgresVersion.v15.isAvailable))
    func `SELECT on the columns of the settings is enough for snapshot and stream`() async throws {
        let rule = """
            { table: sales.orders, columns: [id, total], where: "id % 2 = 0" }
            """
        let shop = try await HardenedShop(.v15, tables: rule)
        try await shop.sql(
            """
            CREATE ROLE cdc LOGIN REPLICATION; GRANT CONNECT ON DATABASE shop TO cdc;
            GRANT USAGE ON SCHEMA sales TO cdc; GRANT SELECT (id) ON sales.orders TO cdc;
            -- Worth dividing, were it by pages.
            INSERT INTO sales.orders SELECT n, repeat('x', 900), 'new', n FROM generate_series(2001, 22000) n;
            ANALYZE sales.orders
            """
        )
        try await shop.grant("grants-target", in: HardenedShop.target)
        let before = try await shop.troubles()
        #expect(
            before.map(\.mend).filter { $0.hasPrefix("GRANT") } == [
                #"GRANT SELECT ("total") ON "sales"."orders" TO "cdc";"#
            ]
        )
        for trouble in before { try await shop.sql(trouble.mend) }
        #expect(try await shop.troubles().map(\.description) == [])
        let first = try await shop.run("run", options: ["--until", "now"])
        #expect(first.status == .code(0), "\(first.stderr)")
        try await shop.write(1)
        try await shop.sql(
            "INSERT INTO sales.orders VALUES (2, 'secret', 'new', 9) ON CONFLICT DO NOTHING"
        )
        let second = try await shop.run("run", options: ["--until", "now"])
        #expect(second.status == .code(0), "\(second.stderr)")
        let sums = "SELECT count(*), sum(id), sum(total) FROM sales.orders WHERE id % 2 = 0"
        #expect(try await shop.sql(sums) == shop.sql(sums, in: HardenedShop.target))
        let columns = try await shop.sql(
            """
            SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = 'sales.orders'::regclass AND attnum > 0
            """,
            in: HardenedShop.target
        )
        #expect(columns == "id total")
    }
}
