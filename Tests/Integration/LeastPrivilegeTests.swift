// SPDX-License-Identifier: Apache-2.0
//
// The whole life of a task as roles that have what docs/operations.md grants them and nothing more,
// on hardened servers; and what each right is for: it is taken away, and the check names it.
import Foundation
import Glibc
import Support
import Testing

@Suite struct LeastPrivilegeTests {
    /// The oldest, the one that most use and the newest of this machine.
    static let versions: [PostgresVersion] = {
        let all = PostgresCluster.availableVersions
        return Set([all.first, all.contains(.v15) ? .v15 : nil, all.last].compactMap { $0 })
            .sorted()
    }()

    @Test(.timeLimit(.minutes(6)), arguments: versions)
    func `owners make publication and tables, the roles have the page's grants`(
        version: PostgresVersion
    ) async throws {
        let shop = try await HardenedShop(version)
        try await shop.makeTables(in: HardenedShop.target)
        try await shop.grant("grants-source")
        try await shop.publish()
        try await shop.grant("grants-target-tables", in: HardenedShop.target)
        try await live(shop)
        let end = try await shop.run("teardown", options: ["--yes"])
        #expect(end.status == .code(0), "\(end.stderr)")
        #expect(end.stdout.contains("DROP PUBLICATION \"di_pub_orders\";"), "\(end.stdout)")
        #expect(try await shop.slots() == "")
        #expect(try await shop.sql("SELECT pubname FROM pg_publication") == "di_pub_orders")
    }

    @Test(.timeLimit(.minutes(6)), arguments: versions)
    func `walrelay makes publication and tables, the roles have the page's grants`(
        version: PostgresVersion
    ) async throws {
        let shop = try await HardenedShop(version)
        try await shop.grant("grants-source")
        try await shop.grant("publication-by-walrelay")
        try await shop.grant("grants-target", in: HardenedShop.target)
        try await live(shop)
        let end = try await shop.run("teardown", options: ["--yes"])
        #expect(end.status == .code(0), "\(end.stderr)")
        #expect(try await shop.slots() == "")
        #expect(try await shop.sql("SELECT pubname FROM pg_publication") == "")
    }

    /// From the check to the repair of a copy.
    private func live(_ shop: HardenedShop) async throws {
        #expect(try await shop.troubles().map(\.description) == [])
        let daemon = try await shop.startStreaming()
        try await shop.write(1)
        #expect(try await daemon.stop() == .code(0), "\(daemon.stderr)")
        #expect(!daemon.stderr.contains("permission"), "\(daemon.stderr)")
        try await shop.write(2)
        let until = try await shop.run("run", options: ["--until", "now"])
        #expect(until.status == .code(0), "\(until.stderr)")
        #expect(try await shop.differences() == [])
        let list = try await shop.run("slots", "list")
        #expect(list.stdout.contains("di_slot_orders"), "\(list.stdout)\(list.stderr)")
        #expect(try await shop.run("verify").status == .code(0))
        try await shop.sql(
            """
            UPDATE sales.orders SET total = 0 WHERE id = 7; DELETE FROM sales.lines WHERE line = 3;
            INSERT INTO sales.visits VALUES ('2026-03-03', 303);
            """,
            in: HardenedShop.target
        )
        let repair = try await shop.run("verify", options: ["--repair"])
        #expect(repair.status == .code(0), "\(repair.stdout)\(repair.stderr)")
        #expect(try await shop.differences() == [])
        try await shop.write(3)
        let drop = try await shop.run("slots", "drop", options: ["orders", "--yes"])
        #expect(drop.status == .code(0), "\(drop.stderr)")
    }
}
