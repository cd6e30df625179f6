// SPDX-License-Identifier: Apache-2.0
//
// Which topics there must be, who makes them, and how keys stay where they are.

#if Kafka
import ChangeModel
import Support
import Testing

@testable import KafkaSink

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)), .serialized)
struct TopicTests {
    @Test func `missing topics are all told at once where they are not to be made`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = place.sink {
            $0.createTopics = false
            $0.transactionTopic = true
        }
        #expect(try sink.open() == nil)
        let error = failure { try sink.inspect([items.relation], types: []) }
        #expect(error.code == "sink.topics_unfit")
        #expect(error.exit == .prerequisite)
        for topic in ["walrelay-checkpoint", "transaction", "public.items"] {
            #expect(
                error.message.contains(
                    "kafka-topics --bootstrap-server \(broker.address) --create --topic "
                        + "\(place.prefix).\(topic)"
                )
            )
        }
        #expect(failure { try sink.begin() }.code == "sink.topics_unfit")
        #expect(
            failure { try sink.beginSnapshot(checkpoint(0, .running, [])) }.code
                == "sink.topic_missing"
        )
        try sink.close()
        #expect(try broker.topics().filter { $0.hasPrefix("\(place.prefix).") } == [])
    }

    @Test func `a checkpoint topic that is not compacted is refused`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        try broker.createTopic(
            "\(place.prefix).walrelay-checkpoint",
            config: ["cleanup.policy": "delete"]
        )
        let sink = place.sink()
        #expect(try sink.open() == nil)
        let error = failure { try sink.inspect([items.relation], types: []) }
        #expect(error.message.contains("cleanup.policy=delete"))
        #expect(error.message.contains("topic.not_compacted"))
        try sink.close()
    }

    @Test func `a topic that somebody deleted is made again`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        try sink.put([1], at: 0x200)
        try sink.close()
        try broker.python(
            """
            from confluent_kafka.admin import AdminClient
            admin = AdminClient({'bootstrap.servers': broker})
            admin.delete_topics([sys.argv[1]])[sys.argv[1]].result()
            """,
            [place.itemsTopic]
        )
        try await eventually { try !broker.topics().contains(place.itemsTopic) }
        let next = place.sink()
        _ = try next.open()
        try next.inspect([items.relation], types: [])
        try next.put([2], at: 0x300)
        try next.close()
        #expect(try broker.ids(of: place.itemsTopic) == [2])
        #expect(try broker.partitionCounts()[place.itemsTopic] == 3)
    }

    @Test func `keys stay where they are when a topic gets more partitions`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        try sink.put(1...20, at: 0x200)
        try sink.close()
        try broker.python(
            """
            from confluent_kafka.admin import AdminClient, NewPartitions
            admin = AdminClient({'bootstrap.servers': broker})
            admin.create_partitions([NewPartitions(sys.argv[1], 7)])[sys.argv[1]].result()
            """,
            [place.itemsTopic]
        )
        let next = place.sink()
        _ = try next.open()
        try next.put(1...20, at: 0x300)
        try next.close()
        var homes: [String: Set<Int>] = [:]
        for record in try broker.records(of: place.itemsTopic) {
            homes[record.key ?? "", default: []].insert(record.partition)
        }
        #expect(homes.count == 20)
        #expect(homes.values.allSatisfy { $0.count == 1 })
        #expect(try broker.partitionCounts()[place.itemsTopic] == 7)
    }

    @Test func `a table that appears later gets its topic then`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        var relation = items.relation
        relation.name = "more items/ü"
        let version = RelationVersion(relation: relation, types: items.types, version: 21)
        let end = checkpoint(0x200, .complete, [relation])
        var batch = rows([1], in: transaction(0x1FF), checkpoint: end)
        batch.relations = [version]
        try sink.write(batch)
        try sink.commit(end)
        try sink.close()
        #expect(try broker.ids(of: "\(place.prefix).public.more_items__") == [1])
        #expect(try place.sink().open() == end)
    }

    @Test func `the checkpoint of many tables is kept in parts`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        func relations(_ count: Int) -> [Relation] {
            (0..<count).map { number in
                var relation = items.relation
                relation.oid = UInt32(20_000 + number)
                relation.name = "ünïcödé \"\(number)\""
                relation.columns += (0..<40).map { Column(name: "cölumn \($0)", typeOID: 25) }
                return relation
            }
        }
        let many = relations(300)
        let sink = try place.begun()
        try sink.commit(checkpoint(0x200, .complete, many))
        try sink.commit(checkpoint(0x300, .complete, many))
        try sink.close()
        let next = place.sink()
        #expect(try next.open() == checkpoint(0x300, .complete, many))
        let few = relations(2)
        try next.commit(checkpoint(0x400, .complete, few))
        try next.commit(checkpoint(0x500, .complete, relations(3)))
        try next.close()
        let last = place.sink()
        #expect(try last.open() == checkpoint(0x500, .complete, relations(3)))
        // What is left after compaction: the newest of each key, and of what is gone a tombstone.
        var newest: [String: String?] = [:]
        for record in try broker.records(of: "\(place.prefix).walrelay-checkpoint") {
            newest[record.key ?? ""] = .some(record.value)
        }
        #expect(newest.values.filter { $0 != nil }.count == 3)
        #expect(newest.count > 4)
        try last.removeCheckpoint()
        for record in try broker.records(of: "\(place.prefix).walrelay-checkpoint") {
            newest[record.key ?? ""] = .some(record.value)
        }
        #expect(newest.values.allSatisfy { $0 == nil })
    }

    @Test func `a checkpoint that is no checkpoint is refused`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        try broker.createTopic("\(place.prefix).walrelay-checkpoint")
        try broker.kcat(
            ["-P", "-t", "\(place.prefix).walrelay-checkpoint", "-K", "\t"],
            input: "orders\t{\"version\":2}\n"
        )
        let error = failure { _ = try place.sink().open() }
        #expect(error.code == "sink.checkpoint_malformed")
        #expect(error.exit == .checkpointMismatch)
    }
}
#endif
