// SPDX-License-Identifier: Apache-2.0
//
// What stands in the topics: keys in their partitions, headers, dead letters, marks, heartbeats.

#if Kafka
import ChangeModel
import Sink
import Support
import Testing

@testable import KafkaSink

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)), .serialized)
struct RecordTests {
    @Test func `a key keeps its partition, the one that Java's producer would choose`()
        async throws
    {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        for round in 0..<4 { try sink.put(1...30, at: UInt64(0x200 + round * 0x100)) }
        try sink.close()
        var homes: [String: Set<Int>] = [:]
        for record in try broker.records(of: place.itemsTopic) {
            homes[record.key ?? "", default: []].insert(record.partition)
        }
        #expect(homes.count == 30)
        #expect(homes.values.allSatisfy { $0.count == 1 })
        #expect(Set(homes.values.joined()) == [0, 1, 2])
        // Of kafka-python's murmur2 for the same bytes and three partitions.
        let java = try broker.python(
            """
            def murmur2(data):
                m, h = 0x5bd1e995, (0x9747b28c ^ len(data)) & 0xffffffff
                for i in range(0, len(data) // 4 * 4, 4):
                    k = int.from_bytes(data[i:i + 4], 'little') * m & 0xffffffff
                    k = (k ^ (k >> 24)) * m & 0xffffffff
                    h = (h * m & 0xffffffff) ^ k
                rest = data[len(data) // 4 * 4:]
                if rest:
                    h = (h ^ int.from_bytes(rest, 'little')) * m & 0xffffffff
                h = (h ^ (h >> 13)) * m & 0xffffffff
                return h ^ (h >> 15)
            print(' '.join(str((murmur2(b'{"id":%d}' % i) & 0x7fffffff) % 3) for i in range(1, 31)))
            """
        )
        let ours = (1...30).map { homes["{\"id\":\($0)}"]?.first ?? -1 }
        #expect(ours.map(String.init).joined(separator: " ") == java.split(separator: "\n")[0])
    }

    @Test func `a change of the key is a delete, a tombstone and a create with headers`()
        async throws
    {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun { $0.partitions = 1 }
        try sink.put([1], at: 0x200)
        var batch = ChangeBatch()
        batch.appendMove(from: 1, to: 2, in: transaction(0x2FF))
        batch.committedCount = 1
        batch.checkpoint = checkpoint(0x300)
        try sink.write(batch)
        try sink.commit(checkpoint(0x300))
        try sink.close()
        let records = try broker.records(of: place.itemsTopic)
        #expect(records.map(\.key) == ["{\"id\":1}", "{\"id\":1}", "{\"id\":1}", "{\"id\":2}"])
        #expect(records.map { $0.value == nil } == [false, false, true, false])
        #expect(records[1].header("__debezium.newkey") == "{\"id\":2}")
        #expect(records[3].header("__debezium.oldkey") == "{\"id\":1}")
    }

    @Test func `a record that is too large stops the task and names the row`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let small: (inout KafkaSinkOptions) -> Void = {
            $0.topicConfig = ["max.message.bytes": "4000"]
        }
        let sink = try place.begun(small)
        try sink.put([1], at: 0x200)
        let error = failure {
            var batch = rows([2], in: transaction(0x2FF))
            batch.append([3], in: transaction(0x3FF), note: String(repeating: "y", count: 5_000))
            try sink.write(batch)
        }
        #expect(error.code == "sink.record_too_large")
        #expect(error.exit == .refused)
        #expect(error.message.contains("public.items with key {\"id\":3}, at 0/41"))
        #expect(error.message.contains("takes 4000"))
        try sink.close()
        #expect(try broker.ids(of: place.itemsTopic) == [1])
        #expect(try place.sink(small).open() == checkpoint(0x200))
    }

    @Test func `many records below the limit of a topic are no batch above it`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun { $0.topicConfig = ["max.message.bytes": "4000"] }
        let end = checkpoint(0x200)
        let note = String(repeating: "y", count: 2_500)
        try sink.write(rows(1...200, in: transaction(0x1FF), note: note, checkpoint: end))
        try sink.commit(end)
        try sink.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == Array(1...200))
    }

    @Test func `a record that is too large becomes a dead letter where that is asked for`()
        async throws
    {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun {
            $0.topicConfig = ["max.message.bytes": "4000"]
            $0.onOversize = .deadLetter
        }
        let end = checkpoint(0x300)
        var batch = rows([1], in: transaction(0x1FF), checkpoint: end)
        batch.append([2], in: transaction(0x2FF), note: String(repeating: "y", count: 5_000))
        batch.append([3], in: transaction(0x2FF), from: 2)
        batch.committedCount = 3
        try sink.write(batch)
        #expect(try broker.records(of: "\(place.prefix).dead-letter").isEmpty)
        try sink.commit(end)
        #expect(sink.statistics.details["deadLetters"] == "1")
        try sink.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == [1, 3])
        let letters = try broker.records(of: "\(place.prefix).dead-letter")
        #expect(letters.map(\.key) == ["{\"id\":2}"])
        let letter = try #require(try letters.first?.object())
        #expect(letter["sequence"] as? String == "[\"767\",\"1\"]")
        #expect(letter["table"] as? String == "items")
        #expect(letter["limit"] as? Int == 4_000)
        #expect(try #require(letter["bytes"] as? Int) > 5_000)
    }

    @Test func `heartbeats come while nothing changes`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun {
            $0.heartbeats = .seconds(1)
            $0.schemas = true
        }
        try sink.put([1], at: 0x200)
        try sink.idle()
        try await Task.sleep(for: .milliseconds(1_050))
        try sink.idle()
        try sink.idle()
        try await Task.sleep(for: .milliseconds(1_050))
        // A commit that only moves the position is none that readers of tables see.
        try sink.commit(checkpoint(0x300))
        try sink.close()
        func payloads(_ records: [KafkaRecord]) throws -> [[String: Any]] {
            try records.map { try #require($0.object()["payload"] as? [String: Any]) }
        }
        let row = try #require(try payloads(broker.records(of: place.itemsTopic)).first)
        let beats = try broker.records(of: "\(place.prefix).heartbeat")
        // Where the making of the topics took a second, one came before the row.
        let told = try payloads(beats).filter { $0["lsn"] as? Int ?? 0 >= 0x200 }
        // A machine that stalls makes more than one due, and none before its time.
        let positions = told.compactMap { $0["lsn"] as? Int }
        #expect(positions.first == 0x200)
        #expect(Array(positions.drop { $0 == 0x200 }) == [0x300])
        let times = try ([row] + told).map { try #require($0["ts_ms"] as? Int) }
        #expect(zip(times, times.dropFirst()).allSatisfy { $1 - $0 > 900 }, "\(times)")
        #expect(
            beats.allSatisfy { $0.key?.contains("\"serverName\":\"\(place.prefix)\"") ?? false }
        )
    }

    @Test func `a topic of the sink's own is made when a later start asks for it`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let former = try place.begun()
        try former.put([1], at: 0x200)
        try former.close()
        let sink = place.sink { $0.heartbeats = .nanoseconds(1) }
        _ = try sink.open()
        try sink.inspect([items.relation], types: [])
        try sink.commit(checkpoint(0x300))
        try sink.close()
        #expect(try broker.records(of: "\(place.prefix).heartbeat").count == 1)
    }

    @Test func `rows without a key stay in one partition where their order counts`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        func log(_ identity: ReplicaIdentity, _ name: String, _ version: UInt64) -> RelationVersion
        {
            var relation = items.relation
            relation.oid += UInt32(version)
            relation.name = name
            relation.replicaIdentity = identity
            relation.primaryKey = []
            relation.columns[0].isKey = identity == .full
            relation.columns[1].isKey = identity == .full
            return RelationVersion(relation: relation, types: items.types, version: version)
        }
        let (full, insertOnly) = (log(.full, "full", 11), log(.default, "log", 12))
        let sink = place.sink()
        _ = try sink.open()
        try sink.begin([full.relation, insertOnly.relation])
        for (index, version) in [full, insertOnly].enumerated() {
            let end = checkpoint(0x200 + UInt64(index) * 0x100)
            var batch = rows(
                1...30,
                in: transaction(end.position.rawValue - 1),
                checkpoint: end
            )
            batch.relations = [version]
            try sink.write(batch)
            try sink.commit(end)
        }
        try sink.close()
        let fullRecords = try broker.records(of: "\(place.prefix).public.full")
        #expect(fullRecords.count == 30)
        #expect(Set(fullRecords.map(\.partition)) == [0])
        let logRecords = try broker.records(of: "\(place.prefix).public.log")
        #expect(Set(logRecords.map(\.partition)) == [0, 1, 2])
        #expect(Set(logRecords.map(\.key)).count == 30)
    }
}
#endif
