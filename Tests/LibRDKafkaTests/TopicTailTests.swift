// SPDX-License-Identifier: Apache-2.0
//
// Reading the ends of topics on the mock cluster, which knows no open transactions.

#if Kafka
import LibRDKafka
import Support
import Testing

struct TopicTailTests {
    private static func topic(
        _ records: [(key: String, value: String?)],
        _ body: (MockCluster, TopicTail) throws -> Void
    ) throws {
        // What is still held keeps librdkafka from ending each time; a machine that stands still
        // does not.
        let isEnded = try (0..<3).contains { _ in try ended(records, body) }
        #expect(isEnded, "a record or a handle is still held")
    }

    /// Whether librdkafka ended by itself once the tail was released.
    private static func ended(
        _ records: [(key: String, value: String?)],
        _ body: (MockCluster, TopicTail) throws -> Void
    ) throws -> Bool {
        let cluster = try MockCluster()
        try cluster.create(topic: "t", partitions: 1)
        let producer = try Producer(cluster.bootstrapServers)
        let topic = try producer.topic("t")
        for record in records {
            #expect(producer.produce(record.key, record.value, to: topic) == .queued)
        }
        #expect(try producer.flush(timeout: .seconds(30)))
        let properties = ["bootstrap.servers": cluster.bootstrapServers]
        var tail: TopicTail? = try TopicTail(properties, logger: quiet)
        if let tail { try body(cluster, tail) }
        let began = ContinuousClock.now
        tail = nil
        // Of two seconds, after which the end is waited for no more.
        return ContinuousClock.now - began < .milliseconds(1_900)
    }

    @Test func `an empty topic has no newest records`() async throws {
        try await onThread {
            try Self.topic([]) { _, tail in
                let found = try tail.newest(of: "t")
                #expect(found.isEmpty)
            }
        }
    }

    @Test func `each key comes once, with its newest value, the newest first`() async throws {
        try await onThread {
            // Several windows: the oldest key is some thousand records back.
            var records: [(key: String, value: String?)] = [("old", "1"), ("gone", "1")]
            records += (0..<3_000).map { ("k\($0 % 3)", "\($0)") }
            records += [("gone", nil), ("last", "")]
            try Self.topic(records) { _, tail in
                let found = try tail.newest(of: "t").map { "\($0.key)=\($0.value)" }
                let expected = ["last=", "gone=-", "k2=2999", "k1=2998", "k0=2997", "old=1"]
                #expect(found == expected)
            }
        }
    }

    @Test func `reading ends when the caller has enough, and begins anew`() async throws {
        try await onThread {
            let records = (0..<1_000).map { (key: "k\($0)", value: Optional("v")) }
            try Self.topic(records) { _, tail in
                for _ in 0..<2 {
                    var found: [Int64] = []
                    try tail.newestByKey(
                        of: "t",
                        within: .seconds(20),
                        where: { _ in true },
                        { record in
                            found.append(record.offset)
                            return found.count < 3
                        }
                    )
                    #expect(found == [999, 998, 997])
                }
            }
        }
    }

    @Test func `unwanted keys are passed over`() async throws {
        try await onThread {
            let records = (0..<500).map { (key: "k\($0)", value: Optional("\($0)")) }
            try Self.topic(records) { _, tail in
                let found = try tail.newest(of: "t", where: { $0 == "k7" || $0 == "k300" })
                #expect(found.map(\.value) == ["300", "7"])
            }
        }
    }

    @Test func `a broker that went away is waited for, within the limit`() async throws {
        try await onThread {
            try Self.topic([("a", "1")]) { cluster, tail in
                let before = try tail.newest(of: "t")
                #expect(before.count == 1)
                cluster.down()
                let error = #expect(throws: KafkaError.self) {
                    _ = try tail.newest(of: "t", within: .milliseconds(500))
                }
                #expect(error?.kind == .unreachable)
                #expect(error?.isRetriable == true)
                cluster.up()
                let after = try tail.newest(of: "t")
                #expect(after.count == 1)
            }
        }
    }

    @Test func `a topic that may not be read is told as such`() async throws {
        try await onThread {
            try Self.topic([("a", "1")]) { cluster, tail in
                cluster.fail(next: .fetch, with: Array(repeating: .topicAuthorization, count: 3))
                let error = #expect(throws: KafkaError.self) { _ = try tail.newest(of: "t") }
                #expect(error?.kind == .authorization)
            }
        }
    }

    @Test func `a topic that does not exist is told at once`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            try cluster.create(topic: "t", partitions: 1)
            cluster.fail(topic: "t", with: .unknownTopic)
            let tail = try TopicTail(["bootstrap.servers": cluster.bootstrapServers], logger: quiet)
            let error = #expect(throws: KafkaError.self) { _ = try tail.newest(of: "t") }
            #expect(error?.kind == .unknownTopic)
        }
    }
}
#endif
