// SPDX-License-Identifier: Apache-2.0
//
// A batch job as roles that have what docs/operations.md grants them, and no more.
import Foundation
import Support
import Testing

@Suite struct BatchGrantTests {
    /// A job between two columns of sales.orders of both databases.
    private static func run(
        _ mode: String,
        channels: Int = 1,
        _ shop: HardenedShop,
        _ files: TemporaryDirectory
    ) async throws -> Outcome {
        func server(_ database: String, _ role: String) -> String {
            "{ host: \(shop.cluster.host), port: \(shop.cluster.port), database: \(database), "
                + "user: \(role) }"
        }
        let datasources = try files.write(
            """
            source: \(server("shop", "reader"))
            target: \(server("shop_copy", "writer"))

            """,
            to: "datasources.yaml"
        )
        var document = BatchTask.Document()
        document.setting =
            #""errorLimit": { "record": "0" }, "speed": { "concurrent": \#(channels) }"#
        document.reader = """
            "datasource": "source", "table": "sales.orders", "column": ["id", "total"], \
            "splitPk": "id"
            """
        document.writer = """
            "datasource": "target", "table": "sales.orders", "column": ["id", "total"], \
            "writeMode": "\(mode)"
            """
        if ["upsert", "update"].contains(mode) { document.writer += #", "uniqueKey": ["id"]"# }
        let job = try files.write(document.text, to: "job.json")
        let process = try DaemonProcess(["batch", job, "--datasources", datasources])
        let status = try await process.wait(.seconds(60))
        return Outcome(status: status, stdout: process.stdout, stderr: process.stderr)
    }

    @Test(.timeLimit(.minutes(5)), arguments: LeastPrivilegeTests.versions)
    func `columns that are read, and INSERT, are enough for a job`(
        version: PostgresVersion
    ) async throws {
        let shop = try await HardenedShop(version)
        let files = try TemporaryDirectory()
        try await shop.makeTables(in: HardenedShop.target)
        // Large enough to be divided, and by the key, since ctid is not readable.
        try await shop.sql(
            """
            INSERT INTO sales.orders SELECT n, repeat('x', 900), 'new', n
            FROM generate_series(1001, 30000) n; ANALYZE sales.orders
            """
        )
        try await shop.grant("grants-batch-reader")
        try await shop.grant("grants-batch-writer", in: HardenedShop.target)
        let sums = "SELECT count(*), sum(total) FROM sales.orders"
        for mode in ["insert", "copy"] {
            try await shop.sql("TRUNCATE sales.orders", in: HardenedShop.target)
            let end = try await Self.run(mode, channels: 3, shop, files)
            #expect(end.status == .code(0), "\(mode): \(end.stdout)\(end.stderr)")
            #expect(try await shop.sql(sums) == shop.sql(sums, in: HardenedShop.target))
        }
        for (mode, rights) in [
            ("upsert", #"GRANT UPDATE ("total"), SELECT ("id", "total") ON"#),
            ("update", #"GRANT UPDATE ("total"), SELECT ("id") ON"#),
        ] {
            let end = try await Self.run(mode, shop, files)
            end.expectRefusal(77, "job.permission_denied", rights, #"TO "writer";"#)
        }
        try await shop.grant("grants-batch-upsert", in: HardenedShop.target)
        for mode in ["upsert", "update"] {
            try await shop.sql("UPDATE sales.orders SET total = total + 1")
            let end = try await Self.run(mode, shop, files)
            #expect(end.status == .code(0), "\(mode): \(end.stdout)\(end.stderr)")
            #expect(try await shop.sql(sums) == shop.sql(sums, in: HardenedShop.target))
        }
        for right in [
            "SELECT (total) ON sales.orders FROM reader", "USAGE ON SCHEMA sales FROM reader",
            "CONNECT ON DATABASE shop FROM reader",
        ] {
            try await shop.sql("REVOKE \(right)")
            let end = try await Self.run("update", shop, files)
            #expect(end.status == .code(77), "\(right): \(end.stderr)")
            #expect(end.stderr.contains("GRANT "), "\(right): \(end.stderr)")
        }
    }
}
