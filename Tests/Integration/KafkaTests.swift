// SPDX-License-Identifier: Apache-2.0
//
// What stands in the topics of a task: the events of every kind of table under every kind of key,
// each key's in one partition and in order, and what the settings of the sink add or leave out.
import Foundation
import Support
import Testing

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)))
struct KafkaTests {
    private static let schema = #"""
        CREATE TABLE orders (id int PRIMARY KEY, n int, s text);
        CREATE TABLE "Odd Täble!" ("the ""Key""" text PRIMARY KEY, v text);
        CREATE TABLE pairs (b int, v numeric, a text, PRIMARY KEY (a, b));
        CREATE TABLE whole (v text, id int PRIMARY KEY);
        ALTER TABLE whole REPLICA IDENTITY FULL;
        CREATE TABLE by_index (id int PRIMARY KEY, v text, code text NOT NULL UNIQUE);
        ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code_key;
        CREATE TABLE bag (a int, b text);
        ALTER TABLE bag REPLICA IDENTITY FULL;
        CREATE TABLE large (id int PRIMARY KEY, n int, doc text);
        ALTER TABLE large ALTER doc SET STORAGE EXTERNAL;
        INSERT INTO orders SELECT i, 0, repeat('x', i) FROM generate_series(1, 60) i;
        INSERT INTO "Odd Täble!" SELECT 'key "' || i || E'" \t grüße', 'v' FROM generate_series(1, 30) i;
        INSERT INTO pairs SELECT i % 5, 1.50, 'a' || i FROM generate_series(1, 30) i;
        INSERT INTO whole SELECT 'w', i FROM generate_series(1, 30) i;
        INSERT INTO by_index SELECT i, 'v', 'c' || i FROM generate_series(1, 30) i;
        INSERT INTO bag SELECT i % 4, 'b' FROM generate_series(1, 20) i;
        INSERT INTO large SELECT i, 0, repeat('doc' || i, 1000) FROM generate_series(1, 10) i;
        """#

    private static let changes = #"""
        INSERT INTO orders SELECT i, 1, 'new' FROM generate_series(61, 90) i;
        UPDATE orders SET n = n + 1 WHERE id % 3 = 0;
        UPDATE orders SET id = id + 1000 WHERE id % 7 = 0;
        DELETE FROM orders WHERE id % 10 = 0;
        BEGIN;
        DELETE FROM orders WHERE id = 1;
        INSERT INTO orders VALUES (1, 7, 'again');
        UPDATE orders SET id = -1 WHERE id = 2;
        UPDATE orders SET id = 2 WHERE id = 3;
        UPDATE orders SET id = 3 WHERE id = -1;
        COMMIT;
        UPDATE "Odd Täble!" SET v = 'changed' WHERE "the ""Key""" LIKE '%1%';
        UPDATE "Odd Täble!" SET "the ""Key""" = 'moved ' || "the ""Key""" WHERE "the ""Key""" LIKE '%2%';
        DELETE FROM "Odd Täble!" WHERE "the ""Key""" LIKE '%3%';
        UPDATE pairs SET v = v + 0.25 WHERE b = 1;
        UPDATE pairs SET b = b + 10 WHERE b = 2;
        DELETE FROM pairs WHERE b = 3;
        UPDATE whole SET v = v || 'x' WHERE id < 10;
        UPDATE whole SET id = id + 100 WHERE id % 5 = 0;
        DELETE FROM whole WHERE id % 3 = 0;
        UPDATE by_index SET id = id + 100 WHERE id < 10;
        UPDATE by_index SET code = 'new ' || code WHERE code LIKE '%2';
        DELETE FROM by_index WHERE code LIKE 'c1%';
        UPDATE bag SET b = 'c' WHERE a = 1;
        DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE a = 2 LIMIT 1);
        INSERT INTO bag SELECT 9, NULL FROM generate_series(1, 3);
        UPDATE large SET n = n + 1 WHERE id < 6;
        UPDATE large SET id = id + 100 WHERE id IN (2, 7);
        DELETE FROM large WHERE id = 3;
        """#

    private static let keys = [
        "public.orders": ["id"], "public.Odd Täble!": ["the \"Key\""], "public.pairs": ["a", "b"],
        "public.whole": ["id"], "public.by_index": ["code"], "public.bag": [],
        "public.large": ["id"],
    ]

    private static let names = [
        "Odd_T_ble_", "bag", "by_index", "large", "orders", "pairs", "whole",
    ].map { "public.\($0)" }

    @Test(arguments: [true, false])
    func `each change is in its topic once, under its key`(isTransactional: Bool) async throws {
        let task = try await KafkaTask.sharing(
            isTransactional ? "kinds" : "kinds_plain",
            sql: Self.schema,
            kafka: ["partitions: 4", "transactional: \(isTransactional)"]
        )
        let daemon = try await task.startStreaming()
        try await task.sql(Self.changes)
        try await task.waitUntilDurable(daemon)
        #expect(try await daemon.stop() == .code(0))
        let history = try await task.history(Self.keys)
        #expect(try await task.differences(Self.keys) == [])
        #expect(history.repeats == 0)
        let topics = try task.broker.partitionCounts().filter {
            $0.key.hasPrefix("\(task.prefix).")
        }
        #expect(topics["\(task.prefix).walrelay-checkpoint"] == 1)
        #expect(
            topics.keys.sorted()
                == (Self.names + ["walrelay-checkpoint"]).map { "\(task.prefix).\($0)" }.sorted()
        )
        for name in Self.names { #expect(topics["\(task.prefix).\(name)"] == 4, "\(name)") }
        // Rows that are told apart by nothing keep their order in one partition.
        #expect(history.partitions["\(task.prefix).public.bag"]?.count == 1)
        #expect(history.partitions["\(task.prefix).public.orders"]?.count == 4)
        // What compaction would leave of a table is its rows.
        let rebuilt = try history.rebuilt()
        for (table, key) in Self.keys where !key.isEmpty && !table.contains("Odd") {
            let live = history.liveKeys["\(task.prefix).\(table)"]?.count
            #expect(live == rebuilt.tables[table]?.rows.count, "\(table)")
        }
        #expect(history.tombstones == (rebuilt.counts["d"] ?? 0) + Self.moves(in: history) - 1)
        let position = try await task.checkpoint()?["position"] as? String
        #expect(try task.relay.slot("confirmed_flush_lsn") == position)
        // The same task goes on from there and repeats nothing.
        try await task.sql("INSERT INTO orders VALUES (5000, 0, 'after a restart')")
        try await task.runUntilNow()
        #expect(try await task.differences(Self.keys) == [])
        try await task.end()
    }

    /// Changes of a key, each of which has a tombstone as a delete has; the bag has neither.
    private static func moves(in history: KafkaHistory) -> Int {
        history.events.filter { event in
            guard event.op == "u", let before = event.before, let after = event.after else {
                return false
            }
            return keys[event.table, default: []].contains { before[$0] != after[$0] }
        }.count
    }

    @Test
    func `the partition of a key is the one that Java's producer chooses`() async throws {
        let texts = "('key ' || i || repeat('ä', i % 9))"
        let task = try await KafkaTask.sharing(
            "murmur",
            sql: """
                CREATE TABLE t (id int PRIMARY KEY);
                CREATE TABLE u (k text PRIMARY KEY);
                INSERT INTO t SELECT i * i - 50 FROM generate_series(1, 200) i;
                INSERT INTO u SELECT \(texts) FROM generate_series(1, 200) i;
                """,
            kafka: ["partitions: 7"]
        )
        try await task.runUntilNow()
        try task.broker.createTopic("murmur-reference", partitions: 7)
        let records = try await task.records("public.t") + task.records("public.u")
        let keys = records.compactMap(\.key)
        #expect(keys.count == 400)
        let produced = try task.broker.kcat(
            ["-P", "-t", "murmur-reference", "-X", "topic.partitioner=murmur2", "-K", "\\t"],
            input: keys.map { "\($0)\tx\n" }.joined()
        )
        #expect(produced.status == .code(0), "\(produced.stderr)")
        let reference = try task.broker.records(of: "murmur-reference")
        let homes = Dictionary(uniqueKeysWithValues: reference.map { ($0.key, $0.partition) })
        #expect(homes.count == 400)
        let strays = records.filter { homes[$0.key] != $0.partition }
        #expect(strays.isEmpty, "\(strays.prefix(3))")
        #expect(Set(records.map(\.partition)).count == 7)
        try await task.end()
    }

    @Test
    func `tombstones can be left out`() async throws {
        let task = try await KafkaTask.sharing(
            "no_tombstones",
            sql: "CREATE TABLE t (id int PRIMARY KEY, n int)",
            kafka: ["tombstones: false"]
        )
        let daemon = try await task.startStreaming()
        try await task.sql(
            """
            INSERT INTO t SELECT i, 0 FROM generate_series(1, 9) i;
            UPDATE t SET id = 20 WHERE id = 1;
            DELETE FROM t WHERE id IN (2, 20);
            """
        )
        try await task.waitUntilDurable(daemon)
        #expect(try await daemon.stop() == .code(0))
        let records = try await task.records("public.t")
        #expect(records.allSatisfy { $0.value != nil })
        #expect(records.count == 9 + 2 + 2)
        #expect(try await task.differences(["public.t": ["id"]]) == [])
        try await task.end()
    }

    @Test
    func `topics are made as they are asked for`() async throws {
        let task = try await KafkaTask.sharing(
            "configured",
            sql: "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
            kafka: [
                "partitions: 3", "replicationFactor: 1", "topicConfig: { retention.ms: 123456789 }",
            ]
        )
        try await task.runUntilNow()
        #expect(try task.broker.partitionCounts()["configured.public.t"] == 3)
        let config = try task.broker.config(of: "configured.public.t")
        #expect(config["retention.ms"] == "123456789")
        let own = try task.broker.config(of: "configured.walrelay-checkpoint")
        #expect(own["cleanup.policy"] == "compact")
        #expect(own["retention.ms"] != "123456789")
        try await task.end()
    }
}
