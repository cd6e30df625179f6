// SPDX-License-Identifier: Apache-2.0
//
// What a task writes besides its tables' events, or in another form: schemas, the bounds of
// transactions, heartbeats; and what becomes of its topics when tables change and the task goes.
import Foundation
import Support
import Testing

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)))
struct KafkaFormTests {
    @Test
    func `keys and values carry their schemas where that is asked for`() async throws {
        let task = try await KafkaTask.sharing(
            "with_schemas",
            sql: """
                CREATE TABLE t (id int PRIMARY KEY, n bigint, b bool, f float8, s text, a int[]);
                INSERT INTO t VALUES (1, 2, true, 0.5, 'x', '{1,2}'), (2, NULL, NULL, NULL, NULL, NULL);
                """,
            kafka: ["schemas: true"]
        )
        let daemon = try await task.startStreaming()
        try await task.sql("UPDATE t SET n = 3 WHERE id = 1; DELETE FROM t WHERE id = 2")
        try await task.waitUntilDurable(daemon)
        #expect(try await daemon.stop() == .code(0))
        let records = try await task.records("public.t")
        #expect(records.filter { $0.value == nil }.count == 1)
        var operations: [String] = []
        for record in records where record.value != nil {
            let value = try record.object()
            let schema = try #require(value["schema"] as? [String: Any])
            let payload = try #require(value["payload"] as? [String: Any])
            #expect(SchemaCheck.faults(payload, schema) == [], "\(record.value ?? "")")
            operations.append(payload["op"] as? String ?? "")
            let keyText = try #require(record.key)
            let key = try JSONSerialization.jsonObject(with: Data(keyText.utf8)) as? [String: Any]
            let keySchema = try #require(key?["schema"] as? [String: Any])
            #expect(
                SchemaCheck.faults(try #require(key?["payload"]), keySchema) == [],
                "\(keyText)"
            )
            let row = payload["after"] as? [String: Any] ?? payload["before"] as? [String: Any]
            #expect((key?["payload"] as? [String: Any])?["id"] as? Int == row?["id"] as? Int)
        }
        #expect(operations == ["r", "r", "u", "d"])
        try await task.end()
    }

    @Test
    func `the transaction topic tells where each one begins and ends`() async throws {
        let task = try await KafkaTask.sharing(
            "bounds",
            sql: "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)",
            kafka: ["transactionTopic: true"]
        )
        let daemon = try await task.startStreaming()
        try await task.sql(
            """
            INSERT INTO t VALUES (1);
            BEGIN;
            INSERT INTO t VALUES (2), (3);
            INSERT INTO u VALUES (1);
            COMMIT;
            """
        )
        try await task.waitUntilDurable(daemon)
        #expect(try await daemon.stop() == .code(0))
        let events = try await task.history(["public.t": ["id"], "public.u": ["id"]]).events
        var ids: [String] = []
        for id in events.sorted(by: { ($0.commitLSN ?? 0) < ($1.commitLSN ?? 0) })
            .compactMap(\.transactionID) where !ids.contains(id)
        { ids.append(id) }
        try #require(ids.count == 2)
        let bounds = try await task.records("transaction").map { try $0.object() }
        #expect(bounds.map { $0["status"] as? String } == ["BEGIN", "END", "BEGIN", "END"])
        #expect(bounds.map { $0["id"] as? String } == [ids[0], ids[0], ids[1], ids[1]])
        #expect(bounds[1]["event_count"] as? Int == 1)
        #expect(bounds[3]["event_count"] as? Int == 3)
        let counts = (bounds[3]["data_collections"] as? [[String: Any]] ?? [])
            .map { "\($0["data_collection"] ?? "") \($0["event_count"] ?? "")" }
        #expect(counts.sorted() == ["public.t 2", "public.u 1"])
        #expect(bounds.allSatisfy { $0["ts_ms"] is Int })
        try await task.end()
    }

    @Test
    func `heartbeats come while nothing changes`() async throws {
        let task = try await KafkaTask.sharing(
            "beats",
            sql: "CREATE TABLE t (id int PRIMARY KEY)",
            kafka: ["heartbeats: 1s"]
        )
        let daemon = try await task.startStreaming()
        try await daemon.until(.seconds(20), "two heartbeats") {
            try await task.records("heartbeat").count >= 2
        }
        #expect(try await daemon.stop() == .code(0))
        let beats = try await task.records("heartbeat").map { try $0.object() }
        #expect(beats.allSatisfy { $0["ts_ms"] is Int && $0["lsn"] != nil }, "\(beats)")
        try await task.end()
    }

    @Test
    func `a teardown takes slot and checkpoint and leaves the data`() async throws {
        let task = try await KafkaTask.sharing(
            "torn_down",
            sql: "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)"
        )
        try await task.runUntilNow()
        #expect(try await task.checkpoint()?["snapshot"] as? String == "complete")
        let outcome = try await task.run("teardown", ["--yes"])
        #expect(outcome.status == .code(0), "\(outcome.stderr)")
        #expect(try task.relay.slot("slot_name") == "")
        #expect(try await task.checkpoint() == nil)
        let left = try await task.records("walrelay-checkpoint")
        let last = Dictionary(left.map { ($0.key, $0.value) }) { $1 }
        #expect(last.values.allSatisfy { $0 == nil }, "\(last)")
        #expect(try await task.records("public.t").count == 2)
        // Nothing is known any more: the next run is a first one.
        try await task.runUntilNow()
        #expect(
            try await task.records("public.t").map { try $0.event().op } == ["r", "r", "r", "r"]
        )
        try await task.end()
    }

    @Test
    func `a column that is added is in the events from then on`() async throws {
        let task = try await KafkaTask.sharing(
            "widened",
            sql: "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)"
        )
        let daemon = try await task.startStreaming()
        try await task.sql(
            """
            INSERT INTO t VALUES (2, 2);
            ALTER TABLE t ADD COLUMN s text;
            INSERT INTO t VALUES (3, 3, 'new');
            UPDATE t SET s = 'old' WHERE id = 1;
            """
        )
        try await task.waitUntilDurable(daemon)
        #expect(try await daemon.stop() == .code(0))
        let rows = try await task.records("public.t").map { try $0.event().after ?? [:] }
        #expect(rows.map { $0["s"] } == [nil, nil, .string("new"), .string("old")])
        try await task.sql("INSERT INTO t VALUES (4, 4, 'after a restart')")
        try await task.runUntilNow()
        #expect(try await task.records("public.t").last?.event().after?["s"] != nil)
        try await task.end()
    }

    @Test
    func `a TRUNCATE is refused, and one event where it is wanted`() async throws {
        let task = try await KafkaTask.sharing(
            "truncated",
            sql: "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)"
        )
        try await task.runUntilNow()
        try await task.sql("INSERT INTO t VALUES (2); TRUNCATE t; INSERT INTO t VALUES (3)")
        let refused = try await task.run("run", ["--until", "now"])
        #expect(refused.status == .code(65), "\(refused.stderr)")
        #expect(refused.stderr.contains("public.t"))
        #expect(try await task.records("public.t").map(\.key) == [#"{"id":1}"#, #"{"id":2}"#])
        let applying = try task.with(more: "stream: { onTruncate: apply }")
        try await applying.runUntilNow()
        let records = try await applying.records("public.t")
        #expect(try records.map { try $0.event().op } == ["r", "c", "t", "c"])
        #expect(records.map(\.key) == [#"{"id":1}"#, #"{"id":2}"#, nil, #"{"id":3}"#])
        #expect(try await applying.differences(["public.t": ["id"]]) == [])
        try await task.end()
    }
}

/// Whether a payload is what its schema says, by the rules of Kafka Connect's JsonConverter.
enum SchemaCheck {
    static func faults(_ payload: Any, _ schema: [String: Any], at path: String = "") -> [String] {
        let type = schema["type"] as? String ?? ""
        if payload is NSNull {
            return schema["optional"] as? Bool == true ? [] : ["\(path): null, not optional"]
        }
        switch type {
        case "struct":
            guard let object = payload as? [String: Any],
                let fields = schema["fields"] as? [[String: Any]]
            else { return ["\(path): no struct"] }
            let names = fields.compactMap { $0["field"] as? String }
            let unknown = object.keys.filter { !names.contains($0) }.map {
                "\(path).\($0): unknown"
            }
            return unknown
                + zip(names, fields).flatMap { name, field in
                    faults(object[name] ?? NSNull(), field, at: "\(path).\(name)")
                }
        case "array":
            guard let items = payload as? [Any], let item = schema["items"] as? [String: Any] else {
                return ["\(path): no array"]
            }
            return items.flatMap { faults($0, item, at: "\(path)[]") }
        case "string": return payload is String ? [] : ["\(path): no string"]
        case "boolean": return payload is Bool ? [] : ["\(path): no boolean"]
        case "int8", "int16", "int32", "int64":
            return payload is Int ? [] : ["\(path): no integer"]
        case "float", "double": return payload is Double ? [] : ["\(path): no number"]
        default: return ["\(path): type \(type)"]
        }
    }
}
