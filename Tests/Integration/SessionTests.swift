// SPDX-License-Identifier: Apache-2.0
//
// What walrelay's sessions look like to those who share the servers with it: their names, their
// time limits, and how long anybody queues behind a lock that walrelay waits for.
import Foundation
import Support
import Testing

@Suite struct SessionTests {
    private static func shop(
        _ settings: [String: String] = [:]
    ) async throws -> HardenedShop {
        let shop = try await HardenedShop(.v15, settings: settings)
        try await shop.grant("grants-source")
        try await shop.grant("publication-by-walrelay")
        try await shop.grant("grants-target", in: HardenedShop.target)
        return shop
    }

    /// The page's table of sessions: what stands in the first column.
    private static func namesOfPage() throws -> Set<String> {
        let page = try GuideSQL.page()
        let names = page.matches(of: #/\| `walrelay/orders ([a-z]+)` \|/#).map {
            String($0.output.1)
        }
        return Set(names)
    }

    @Test(.timeLimit(.minutes(2)))
    func `each session says which task it serves and what it does`() async throws {
        // The server writes down the name of every session that ends.
        let shop = try await Self.shop(["log_disconnections": "on", "log_line_prefix": "%a|"])
        _ = try await shop.run("check")
        let daemon = try await shop.startStreaming()
        let running = try await shop.sql(
            "SELECT DISTINCT application_name FROM pg_stat_activity "
                + "WHERE usename IN ('cdc', 'loader') ORDER BY 1"
        ).split(separator: "\n").map(String.init)
        let expected = ["control", "monitor", "sink", "stream"].map { "walrelay/orders \($0)" }
        #expect(Set(running).isSuperset(of: expected), "\(running)")
        #expect(try await daemon.stop() == .code(0))
        #expect(try await shop.run("verify").status == .code(0))
        #expect(try await shop.run("slots", "list").status == .code(0))
        #expect(try await shop.run("teardown", options: ["--yes"]).status == .code(0))
        let page = try Self.namesOfPage()
        #expect(page.count > 10)
        let expectedInLog = Set(page.map { "walrelay/orders \($0)" })
        try await eventually("every name of the page, and no other, is in the server's log") {
            let log = shop.cluster.log(lastBytes: 1 << 20)
            let seen = Set(
                log.matches(of: #/(?m)^(walrelay[^|\n]*)\|.*disconnection/#)
                    .map { String($0.output.1) }
            )
            guard seen == expectedInLog else {
                throw SupportError(
                    seen.symmetricDifference(expectedInLog).sorted().joined(separator: ", ")
                )
            }
            return true
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `a name of the settings is every session's`() async throws {
        let shop = try await HardenedShop(.v15, source: "applicationName: mine")
        try await shop.grant("grants-source")
        try await shop.grant("publication-by-walrelay")
        try await shop.grant("grants-target", in: HardenedShop.target)
        let daemon = try await shop.startStreaming()
        let names = try await shop.sql(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE usename = 'cdc'"
        )
        #expect(names == "mine")
        #expect(try await daemon.stop() == .code(0))
    }

    @Test(.timeLimit(.minutes(2)))
    func `a publication waits for a locked table by short turns, and says for whom`()
        async throws
    {
        let shop = try await Self.shop()
        let holder = try await shop.hold("SHARE ROW EXCLUSIVE", in: HardenedShop.source)
        let daemon = try shop.start("run")
        try await daemon.waitForLog("publication.table_locked")
        try await daemon.waitForLog("process \(holder.pid) (user \"postgres\"")
        // Nothing of ours is in the queue between two turns.
        try await eventually("the lock is given up") {
            try await shop.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0"
        }
        try await shop.release(holder)
        try await daemon.until(.seconds(60), "streaming") {
            try await shop.run("status").stdout.contains("streaming")
        }
        #expect(try await daemon.stop() == .code(0))
    }

    @Test(.timeLimit(.minutes(2)))
    func `nobody's query queues for long behind DDL on the target`() async throws {
        let shop = try await Self.shop()
        let daemon = try await shop.startStreaming()
        // A report that reads for long, as far as a server can tell.
        let holder = try await shop.hold("ACCESS SHARE", in: HardenedShop.target)
        try await shop.sql(
            "ALTER TABLE sales.orders ADD note text; INSERT INTO sales.orders (id, note) VALUES (0, 'n')"
        )
        try await daemon.until(.seconds(60), "ALTER TABLE waits") {
            try await shop.sql(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
            ) == "1"
        }
        // Comes behind the ALTER TABLE and gets its turn; a server without our limit would hold it
        // up for as long as the report goes on.
        let count = try await shop.sql(
            "SET statement_timeout = '20s'; SELECT count(*) FROM sales.orders",
            in: HardenedShop.target
        )
        #expect(count == "500")
        try await daemon.waitForLog("process \(holder.pid) (user \"postgres\"")
        try await shop.release(holder)
        try await daemon.until(.seconds(60), "the column is added") {
            try await shop.sql(
                "SELECT count(*) FROM pg_attribute WHERE attname = 'note' AND attrelid = "
                    + "'sales.orders'::regclass",
                in: HardenedShop.target
            ) == "1"
        }
        #expect(try await daemon.stop() == .code(0))
        #expect(try await shop.run("run", options: ["--until", "now"]).status == .code(0))
        #expect(try await shop.differences() == [])
    }
}
