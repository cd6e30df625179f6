// SPDX-License-Identifier: Apache-2.0
//
// The promise itself, for Kafka: whatever is killed when, a consumer with isolation read_committed
// gets each change once, each key's in order, and ends with the source's rows. Without
// transactions nothing is lost, and key and sequence tell what is said again.
//
// WALRELAY_LONG_TESTS=1 writes for 60 s and kills 20 times; WALRELAY_TEST_SEED makes the load and
// the moments of a failed run come again.
import Foundation
import Support
import Testing

extension Acceptance {
    @Suite(
        .serialized,
        .enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence))
    )
    struct KafkaExactlyOnceTests {
        /// Identities of the shop's tables and pgbench's, as their keys' columns.
        private static let keys = PgbenchLoad.keys.merging(
            [
                "shop.Text Keys": ["the \"Key\""], "shop.composite": ["d", "b"], "shop.bag": [],
                "shop.by_index": ["region", "code"], "shop.equal_keys": ["c", "k", "f"],
                "shop.parted": ["region", "id"],
            ]
        ) { $1 }

        private static func makeTask(
            _ name: String,
            kafka: [String]
        ) async throws -> (KafkaTask, ShopLoad) {
            let seconds = TestKnob.isLong ? 60.0 : 9
            let seed = SeededGenerator().seed
            print("WALRELAY_TEST_SEED=\(seed)")
            let cluster = try await PostgresCluster.start()
            // The load asks for a pair of servers; here the second one is not looked at.
            let servers = TwinServers(source: cluster, target: cluster)
            let tables = try await onThread {
                try PgbenchLoad.createTables(in: cluster)
                try cluster.psql("DELETE FROM pgbench_accounts WHERE aid > 10000")
                // A value of every type would be one that says of itself that it is unavailable.
                return try ShopTables(on: servers, types: [])
            }
            // Rows of the shop are up to 2 MB large, and twice that with what they were before.
            let large = "16000000"
            let task = try KafkaTask(
                cluster,
                try await KafkaBroker.start(),
                name: name,
                tables: ["public.*", "shop.*"],
                kafka: [
                    "partitions: 4", "topicConfig: { max.message.bytes: \(large) }",
                    "properties: { message.max.bytes: \(large) }",
                ] + kafka
            )
            let load = ShopLoad(
                servers,
                tables,
                seed: seed,
                seconds: seconds,
                perSecond: 40
            )
            return (task, load)
        }

        @Test(.timeLimit(.minutes(10)))
        func `kills and crashes leave each change once`() async throws {
            let (task, shop) = try await Self.makeTask("orders", kafka: [])
            try await Self.kill(task, shop, TestKnob.isLong ? 20 : 7, dropsRepeats: false)
        }

        @Test(.timeLimit(.minutes(10)))
        func `without transactions kills lose nothing, and repeats can be told`() async throws {
            let (task, shop) = try await Self.makeTask("plain", kafka: ["transactional: false"])
            try await Self.kill(task, shop, TestKnob.isLong ? 20 : 6, dropsRepeats: true)
        }

        private static func kill(
            _ task: KafkaTask,
            _ shop: ShopLoad,
            _ kills: Int,
            dropsRepeats: Bool
        ) async throws {
            let seconds = TestKnob.isLong ? 60 : 9
            var random = SeededGenerator()
            let seed = random.seed
            let bench = PgbenchLoad(task.relay.cluster, seconds: seconds, rate: 60)
            var campaign = KillCampaign(
                task,
                kills: kills,
                restarts: TestKnob.isLong ? 2 : 0,
                interval: .seconds(seconds) / kills
            )
            campaign.writePause = "250ms"
            try await campaign.run(using: &random)
            #expect(campaign.killsInSnapshot > 0 || !TestKnob.hasFailpoints)
            if TestKnob.isLong {
                // Clients that a crash threw out say so; here it is no fault.
                try? await shop.wait(.seconds(seconds + 60))
            } else {
                try await shop.wait(.seconds(seconds + 60))
            }
            try await bench.wait(.seconds(seconds + 60))
            let last = try await task.runUntilNow()
            let peak = max(campaign.peakResidentBytes, last.peakResidentBytes)
            let what = "\(kills) kills of \(task.prefix), a debug build"
            #expect(MemoryBound.holds(peak, what, bytes: MemoryBound.kafkaBytes))
            let history = try await task.history(keys, dropsRepeats: dropsRepeats)
            let copied = try await snapshot(of: task)
            try await onThread {
                let rebuilt = try history.rebuilt(isInterrupted: true)
                print("\(what): \(history.events.count) events, \(history.repeats) repeats")
                for (name, table) in copied.tables {
                    let found = rebuilt.tables[name]?.differences(from: table) ?? ["no event"]
                    #expect(found == [], "\(name), seed \(seed)")
                }
                #expect(
                    Set(rebuilt.tables.keys).subtracting(copied.tables.keys).allSatisfy {
                        rebuilt.tables[$0]?.rows.isEmpty == true
                    }
                )
            }
            let position = try await task.checkpoint()?["position"] as? String
            #expect(try task.relay.slot("confirmed_flush_lsn") == position)
        }

        /// The source's rows as events spell them: what the ndjson sink makes of a snapshot, which
        /// has tests of its own against what PostgreSQL prints.
        private static func snapshot(of task: KafkaTask) async throws -> RebuiltTables {
            let judge = try RelayTask(
                task.relay.cluster,
                name: "judge",
                tables: ["public.*", "shop.*"],
                more: "snapshot: { mode: only }"
            )
            let daemon = try judge.start()
            let status = try await daemon.wait()
            guard status == .code(0) else { throw SupportError("\(status)\n\(daemon.stderr)") }
            return try await onThread { try RebuiltTables(judge.events, keys: keys) }
        }

        /// A third of this the sink may take until it closes a transaction.
        private static let age = "properties: { transaction.timeout.ms: 3000 }"

        @Test(
            .timeLimit(.minutes(5)),
            .enabled(if: TestKnob.hasFailpoints, "it has to be slow on purpose")
        )
        func `a transaction of the source that outlives one of Kafka's arrives whole`() async throws
        {
            let cluster = try await PostgresCluster.start()
            try cluster.psql("CREATE TABLE t (id int PRIMARY KEY, s text)")
            let task = try KafkaTask(
                cluster,
                try await KafkaBroker.start(),
                name: "large",
                kafka: ["partitions: 2", Self.age],
                more: "batch: { rows: 250 }"
            )
            try await task.runUntilNow()
            try await task.sql(
                """
                INSERT INTO t VALUES (0, 'before');
                BEGIN;
                INSERT INTO t SELECT i, 'large' FROM generate_series(1, 20000) i;
                UPDATE t SET id = -id WHERE id % 100 = 1;
                DELETE FROM t WHERE id % 100 = 2;
                COMMIT;
                INSERT INTO t VALUES (-1000000, 'after');
                """
            )
            var parts = 0
            for _ in 0..<3 {
                let daemon = try task.start(pause: "sink.before_write=250ms")
                let before = "\(try await task.checkpoint()?["partial"] ?? "none")"
                try await daemon.until(.seconds(30), "a further part of the transaction") {
                    let part = try await task.checkpoint()?["partial"]
                    return part != nil && "\(part ?? "")" != before
                }
                parts += 1
                daemon.kill(SIGKILL)
                try await daemon.wait()
            }
            #expect(parts == 3)
            try await task.runUntilNow()
            #expect(try await task.checkpoint()?["partial"] == nil)
            #expect(try await task.differences(["public.t": ["id"]]) == [])
        }

        @Test(
            .timeLimit(.minutes(3)),
            .enabled(if: TestKnob.hasFailpoints, "it has to be slow on purpose")
        )
        func `a table that goes stays for a transaction of which a part is there`() async throws {
            let cluster = try await PostgresCluster.start()
            for name in ["t", "u"] {
                try cluster.psql("CREATE TABLE \(name) (id int PRIMARY KEY)")
            }
            let task = try KafkaTask(
                cluster,
                try await KafkaBroker.start(),
                name: "leaving",
                kafka: [Self.age],
                more: "batch: { rows: 1000 }"
            )
            try await task.runUntilNow()
            try await task.sql(
                """
                BEGIN;
                INSERT INTO u SELECT generate_series(1, 100);
                INSERT INTO t SELECT generate_series(1, 20000);
                INSERT INTO u SELECT generate_series(101, 200);
                COMMIT;
                """
            )
            let daemon = try task.start(pause: "sink.before_write=250ms")
            try await daemon.until(.seconds(30), "a part of the transaction") {
                try await task.checkpoint()?["partial"] != nil
            }
            daemon.kill(SIGKILL)
            try await daemon.wait()
            try task.relay.include(["public.t"])
            let last = try await task.runUntilNow()
            #expect(last.stderr.contains("taken to the end of the transaction"), "\(last.stderr)")
            #expect(try await task.differences(["public.t": ["id"], "public.u": ["id"]]) == [])
            try await task.runUntilNow()
            #expect(try cluster.psql("SELECT tablename FROM pg_publication_tables") == "t")
        }
    }
}
