// SPDX-License-Identifier: Apache-2.0
//
// The judge of copies and the load that they are judged under: a judge that finds nothing, or a
// load that does nothing, would let every other test of a copy pass.
import Support
import Testing

struct CopyFixtureTests {
    /// Two servers that hold the same, after the load has run: by dump and restore.
    private static func equalServers(_ version: PostgresVersion) async throws -> TwinServers {
        let servers = try await TwinServers.start(version, version)
        let tables = try await onThread { try ShopTables(on: servers) }
        let load = ShopLoad(servers, tables, seed: 1, seconds: 2, perSecond: 150)
        try await load.wait(.seconds(90))
        try await onThread {
            // The schema's dump has none of what its types need; extensions are there already.
            try servers.target.psql(TypeCase.prelude)
            let all = try servers.source.run("pg_dump", ["-n", "shop", "postgres"])
            try servers.target.psql(all.stdout)
        }
        return servers
    }

    @Test(arguments: [PostgresVersion.v11, .v15, .v18].filter(\.isAvailable))
    func `every way in which a copy can be wrong is found`(
        version: PostgresVersion
    ) async throws {
        let servers = try await Self.equalServers(version)
        #expect(try servers.differences(inSchemas: ["shop"]) == [])
        let sums = try servers.source.psql("SELECT sum(amount) FROM shop.ledger")
        #expect(sums == "\(ShopTables.ledgerSum)")

        let wrongs = [
            "UPDATE shop.narrow SET b = b + 1 WHERE id = (SELECT min(id) FROM shop.narrow)",
            "DELETE FROM shop.narrow WHERE id = (SELECT min(id) FROM shop.narrow)",
            "INSERT INTO shop.narrow (id) VALUES (-1)",
            "UPDATE shop.narrow SET note = NULL WHERE id = (SELECT min(id) FROM shop.narrow)",
            "UPDATE shop.narrow SET note = '' WHERE id = (SELECT min(id) FROM shop.narrow)",
            "INSERT INTO shop.bag SELECT * FROM shop.bag LIMIT 1",
            "UPDATE shop.bag SET v = 1.5 WHERE ctid = (SELECT ctid FROM shop.bag "
                + "WHERE v::text = '1.50' LIMIT 1)",
            "UPDATE shop.large SET a = overlay(a placing '!' from 5000 for 1) WHERE id = "
                + "(SELECT min(id) FROM shop.large WHERE length(a) > 9000)",
        ]
        for wrong in wrongs {
            let found = try servers.differences(afterOnTarget: wrong)
            #expect(found.count == 1, "\(wrong): \(found)")
        }
        #expect(throws: SupportError.self) { try servers.differences(inSchemas: ["nowhere"]) }
    }
}

extension TwinServers {
    /// What differs after the statement, which is undone by making the table anew.
    fileprivate func differences(afterOnTarget sql: String) throws -> [String] {
        let table = sql.contains("bag") ? "bag" : sql.contains("large") ? "large" : "narrow"
        try target.psql("CREATE TABLE kept AS SELECT * FROM shop.\(table); \(sql)")
        let found = try differences(inSchemas: ["shop"])
        try target.psql(
            "TRUNCATE shop.\(table); INSERT INTO shop.\(table) SELECT * FROM kept; DROP TABLE kept"
        )
        return found
    }
}
