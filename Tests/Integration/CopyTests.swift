// SPDX-License-Identifier: Apache-2.0
//
// A live copy in another PostgreSQL: after any load, between any two versions, whatever is killed
// meanwhile, both servers print the same rows; and at no moment does a reader of the copy see a
// part of a transaction.
//
// WALRELAY_LONG_TESTS=1 writes for 60 s a test and kills 20 times; WALRELAY_TEST_SEED makes the
// load and the moments of a failed run come again.
import Support
import Testing

extension Acceptance {
    @Suite(.serialized)
    struct CopyTests {
        /// A version of the source and one of the target.
        struct Pair: Sendable, CustomTestStringConvertible {
            let source: PostgresVersion
            let target: PostgresVersion
            /// How changes are cut into batches; small ones cut transactions at odd places.
            var batch = "batch: { delay: 100ms }"

            var testDescription: String { "\(source) to \(target)" }

            static let all = [
                Pair(source: .v15, target: .v15),
                Pair(source: .v14, target: .v17, batch: "batch: { rows: 40, delay: 5ms }"),
                Pair(source: .v18, target: .v15), Pair(source: .v11, target: .v18),
            ].filter { $0.source.isAvailable && $0.target.isAvailable }
        }

        private static let schemas = ["public", "shop"]

        /// Servers with the shop's tables and pgbench's.
        private static func makeTask(
            _ pair: Pair
        ) async throws -> (CopyTask, ShopTables) {
            let servers = try await TwinServers.start(pair.source, pair.target)
            let tables = try await onThread {
                try PgbenchLoad.createTables(in: servers.source)
                return try ShopTables(on: servers)
            }
            let task = try CopyTask(
                servers,
                tables: ["public.*", "shop.*"],
                target: ["indexes: afterSnapshot"],
                more: pair.batch
            )
            return (task, tables)
        }

        @Test(.timeLimit(.minutes(10)), arguments: Pair.all)
        func `a copy is exact`(pair: Pair) async throws {
            let seconds = TestKnob.isLong ? 60 : 5
            let seed = SeededGenerator().seed
            print("WALRELAY_TEST_SEED=\(seed)")
            let (task, tables) = try await Self.makeTask(pair)
            let shop = ShopLoad(task.servers, tables, seed: seed, seconds: Double(seconds))
            let bench = PgbenchLoad(task.servers.source, seconds: seconds, rate: 100)
            // The snapshot is taken while the application writes.
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon, timeout: .seconds(60))
            try await shop.wait(.seconds(seconds + 60))
            try await bench.wait(.seconds(seconds + 60))
            #expect(try await daemon.stop() == .code(0))
            let last = try await task.runUntilNow()
            #expect(try await task.differences(Self.schemas) == [], "seed \(seed)")
            #expect(try await task.constraints(of: "shop") == [])
            let peak = max(daemon.peakResidentBytes, last.peakResidentBytes)
            #expect(MemoryBound.holds(peak, "a copy, \(task.servers)"))
            try await task.relay.waitUntilNothingIsLeft()
        }

        @Test(.timeLimit(.minutes(10)))
        func `kills and crashes of the target leave an exact copy`() async throws {
            let (seconds, kills) = TestKnob.isLong ? (60, 20) : (14, 10)
            var random = SeededGenerator()
            let seed = random.seed
            print("WALRELAY_TEST_SEED=\(seed)")
            let (task, tables) = try await Self.makeTask(Pair(source: .v15, target: .v15))
            // A crash loses commits that their session has not waited for.
            try await task.target("ALTER DATABASE postgres SET synchronous_commit = off")
            let shop = ShopLoad(task.servers, tables, seed: seed, seconds: Double(seconds))
            let bench = PgbenchLoad(task.servers.source, seconds: seconds, rate: 150)
            let sums = InvariantReader.query(
                task: task.relay.name,
                ledgerSum: ShopTables.ledgerSum
            )
            let reader = InvariantReader(task.servers.target, query: sums)
            var campaign = KillCampaign(
                task,
                kills: kills,
                restarts: 2,
                interval: .seconds(seconds) / kills
            )
            try await campaign.run(using: &random)
            #expect(campaign.killsInSnapshot > 0 || !TestKnob.hasFailpoints)
            try await shop.wait(.seconds(seconds + 60))
            try await bench.wait(.seconds(seconds + 60))
            try await Self.showStates(of: task, to: reader)
            let last = try await task.runUntilNow()
            let findings = try await reader.stop()
            #expect(findings.violations == [], "seed \(seed)")
            #expect(findings.states > 5, "\(findings.looks) looks")
            #expect(try await task.differences(Self.schemas) == [], "seed \(seed)")
            #expect(try await task.verify() == .code(0))
            try await task.target(
                "UPDATE shop.large SET n = n + 1 WHERE n = (SELECT max(n) FROM shop.large)"
            )
            #expect(try await task.verify() == .code(65))
            let peak = max(campaign.peakResidentBytes, last.peakResidentBytes)
            #expect(MemoryBound.holds(peak, "\(kills) kills of a copy"))
            print("the reader of the copy: \(findings.looks) looks, \(findings.states) states")
            try await task.relay.waitUntilNothingIsLeft()
            let confirmed = try task.relay.slot("confirmed_flush_lsn")
            #expect(try await task.checkpoint("position") == confirmed)
        }

        /// On a slow machine the application may have ended before the stream began: then all that
        /// it wrote came at once, and a reader who sees one state alone shows nothing.
        private static func showStates(of task: CopyTask, to reader: InvariantReader) async throws {
            guard reader.states <= 5 else { return }
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon, timeout: .seconds(60))
            try await daemon.until(.seconds(60), "states that differ") {
                guard reader.states <= 5 else { return true }
                try task.servers.source.psql(
                    """
                    BEGIN; UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1;
                    UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1;
                    UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;
                    INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
                    VALUES (1, 1, 1, 1, now()); COMMIT;
                    """
                )
                return false
            }
            #expect(try await daemon.stop() == .code(0))
        }
    }
}

extension CopyTask {
    /// The constraints and indexes of a schema that only one side has, apart from partitions'.
    fileprivate func constraints(of schema: String) async throws -> [String] {
        let sql = """
            SET search_path = nowhere;
            SELECT c.relname, contype::text, pg_get_constraintdef(k.oid) FROM pg_constraint k
            JOIN pg_class c ON c.oid = conrelid WHERE c.relnamespace = '\(schema)'::regnamespace
            AND NOT c.relispartition AND c.relkind = 'r' AND contype IN ('p', 'u', 'c', 'f')
            UNION SELECT t.relname, i.relname, pg_get_indexdef(i.oid) FROM pg_index x
            JOIN pg_class i ON i.oid = indexrelid JOIN pg_class t ON t.oid = indrelid
            WHERE t.relnamespace = '\(schema)'::regnamespace AND NOT t.relispartition
            AND t.relkind = 'r'
            """
        let there = Set(try await source(sql).split(separator: "\n"))
        let copy = Set(try await target(sql).split(separator: "\n"))
        return there.subtracting(copy).map { "lacks \($0)" }
    }
}
