// SPDX-License-Identifier: Apache-2.0
//
// What the mock cluster cannot show, against a real broker: transactions that are open, aborted or
// taken over, and admin requests.

#if Kafka
import LibRDKafka
import Support
import Testing

@Suite(.serialized, .enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)))
struct BrokerTests {
    private static func producer(
        _ broker: KafkaBroker,
        _ id: String,
        _ topics: [String]
    ) throws -> Producer {
        let producer = try Producer(broker.address, ["transactional.id": id])
        _ = try producer.admin.describe(topics: topics, timeout: .seconds(20))
        try producer.initTransactions(timeout: .seconds(20))
        return producer
    }

    private static func tail(_ broker: KafkaBroker) throws -> TopicTail {
        try TopicTail(["bootstrap.servers": broker.address], logger: quiet)
    }

    private static func state(
        _ broker: KafkaBroker,
        within limit: Duration = .seconds(20)
    ) throws -> [String] {
        try tail(broker).newest(of: "t", within: limit).map { "\($0.key)=\($0.value)" }
    }

    @Test func `topics are made once, with their settings, and bad ones are told`() async throws {
        let broker = try await KafkaBroker.start()
        try await onThread {
            let admin = try Admin(["bootstrap.servers": broker.address], logger: quiet)
            let wanted = NewTopic(
                "t",
                partitions: 3,
                replicationFactor: 1,
                configuration: ["cleanup.policy": "compact"]
            )
            let failures = try admin.createTopics(
                [
                    wanted, NewTopic("not allowed!"),
                    NewTopic("odd", configuration: ["no.such": "1"]),
                ],
                timeout: .seconds(20)
            )
            #expect(Set(failures.keys) == ["not allowed!", "odd"])
            let again = try admin.createTopics([wanted], timeout: .seconds(20))
            #expect(again.isEmpty)
            let found = try admin.describe(topics: ["t", "none"], timeout: .seconds(20)).topics
            #expect(found.map(\.partitionCount) == [3, 0])
            #expect(found[1].error?.kind == .unknownTopic)
            let settings = try admin.configurations(
                ofTopics: ["t", "none"],
                timeout: .seconds(20)
            )
            #expect(try settings["t"]?.get()["cleanup.policy"] == "compact")
            #expect(throws: KafkaError.self) { try settings["none"]?.get() }
            let missing = #expect(throws: KafkaError.self) {
                _ = try Self.tail(broker).newest(of: "none")
            }
            #expect(missing?.kind == .unknownTopic)
        }
    }

    @Test func `the tail has what is committed, and waits for what is open`() async throws {
        let broker = try await KafkaBroker.start()
        try await onThread {
            let admin = try Admin(["bootstrap.servers": broker.address], logger: quiet)
            try admin.createTopics([NewTopic("t", partitions: 1)], timeout: .seconds(20))
            let producer = try Self.producer(broker, "a", ["t"])
            let topic = try producer.topic("t")
            for number in 0..<300 {
                try producer.beginTransaction()
                if number == 3 { #expect(producer.produce("old", "3", to: topic) == .queued) }
                #expect(producer.produce("k", "\(number)", to: topic) == .queued)
                try producer.commitTransaction(timeout: .seconds(20))
            }
            #expect(try Self.state(broker) == ["k=299", "old=3"])

            try producer.beginTransaction()
            #expect(producer.produce("k", "open", to: topic) == .queued)
            #expect(try producer.flush(timeout: .seconds(20)))
            let error = #expect(throws: KafkaError.self) {
                _ = try Self.tail(broker).newest(of: "t", within: .seconds(2))
            }
            #expect(error?.kind == .openTransaction)
            #expect(error?.isRetriable == true)
            try producer.abortTransaction(timeout: .seconds(20))
            #expect(try Self.state(broker) == ["k=299", "old=3"])

            try producer.beginTransaction()
            #expect(producer.produce("k", nil, to: topic) == .queued)
            try producer.commitTransaction(timeout: .seconds(20))
            #expect(try Self.state(broker) == ["k=-", "old=3"])
        }
    }

    @Test func `a second producer ends the first one's transaction and fences it`() async throws {
        let broker = try await KafkaBroker.start()
        try await onThread {
            let admin = try Admin(["bootstrap.servers": broker.address], logger: quiet)
            try admin.createTopics([NewTopic("t", partitions: 1)], timeout: .seconds(20))
            let first = try Self.producer(broker, "same", ["t"])
            let topic = try first.topic("t")
            try first.beginTransaction()
            #expect(first.produce("k", "first", to: topic) == .queued)
            #expect(try first.flush(timeout: .seconds(20)))
            let second = try Self.producer(broker, "same", ["t"])
            #expect(try Self.state(broker).isEmpty)
            let error = #expect(throws: KafkaError.self) {
                try first.commitTransaction(timeout: .seconds(20))
            }
            #expect(error?.kind == .fenced)
            #expect(first.fatalError?.kind == .fenced)
            try second.beginTransaction()
            #expect(second.produce("k", "second", to: try second.topic("t")) == .queued)
            try second.commitTransaction(timeout: .seconds(20))
            #expect(try Self.state(broker) == ["k=second"])
        }
    }
}
#endif
