// SPDX-License-Identifier: Apache-2.0
//
// Questions about the mock cluster, which knows metadata but no admin requests.

#if Kafka
import LibRDKafka
import Support
import Testing

struct AdminTests {
    @Test func `a cluster tells its brokers and topics, in the order they were asked for`()
        async throws
    {
        try await onThread {
            let cluster = try MockCluster(brokers: 3)
            try cluster.create(topic: "a", partitions: 1)
            try cluster.create(topic: "b", partitions: 12)
            try cluster.create(topic: "closed", partitions: 1)
            cluster.fail(topic: "closed", with: .topicAuthorization)
            let admin = try Admin(
                ["bootstrap.servers": cluster.bootstrapServers, "transactional.id": "x"],
                logger: quiet
            )
            let found = try admin.describe(topics: ["b", "closed", "a"], timeout: .seconds(20))
            let brokers = cluster.bootstrapServers.split(separator: ",").map(String.init)
            #expect(found.brokers.sorted() == brokers.sorted())
            #expect(found.topics.map(\.name) == ["b", "closed", "a"])
            #expect(found.topics.map(\.partitionCount) == [12, 0, 1])
            #expect(found.topics[0].replicaCount == 3)
            #expect(found.topics[0].error == nil)
            #expect(found.topics[1].error?.kind == .authorization)
        }
    }

    @Test func `a producer that asks for partitions learns why there are none`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            try cluster.create(topic: "t", partitions: 1)
            cluster.fail(topic: "t", with: .unknownTopic)
            let producer = try Producer(cluster.bootstrapServers)
            let error = #expect(throws: KafkaError.self) {
                _ = try producer.partitionCount(of: "t", timeout: .seconds(20))
            }
            #expect(error?.kind == .unknownTopic)
            #expect(error?.text.contains("topic t") == true)
        }
    }

    @Test func `an admin request that nobody answers ends in time, and records go on`() async throws
    {
        try await onThread {
            let cluster = try MockCluster()
            try cluster.create(topic: "t", partitions: 1)
            let producer = try Producer(cluster.bootstrapServers)
            let admin = producer.admin
            let creation = #expect(throws: KafkaError.self) {
                try admin.createTopics([NewTopic("new")], timeout: .milliseconds(500))
            }
            #expect(creation?.kind == .unreachable && creation?.isRetriable == true)
            let question = #expect(throws: KafkaError.self) {
                _ = try admin.configurations(ofTopics: ["t"], timeout: .milliseconds(500))
            }
            #expect(question?.kind == .unreachable && question?.isRetriable == true)
            let topic = try producer.topic("t")
            #expect(producer.produce("k", "v", to: topic) == .queued)
            #expect(try producer.flush(timeout: .seconds(20)))
        }
    }

    @Test func `an impossible topic is refused before anybody is asked`() throws {
        let admin = try Admin(["bootstrap.servers": "127.0.0.1:1"], logger: quiet)
        let error = #expect(throws: KafkaError.self) {
            try admin.createTopics([NewTopic("t", partitions: 1_000_000)], timeout: .seconds(5))
        }
        #expect(error?.text.contains("topic t") == true)
        #expect(error?.kind == .other)
    }

    @Test func `asking ends when the caller wants to stop`() async throws {
        try await onThread {
            let admin = try Admin(
                ["bootstrap.servers": "127.0.0.1:\(FreePort.find())"],
                logger: quiet,
                keepWaiting: { false }
            )
            let metadata = #expect(throws: KafkaError.self) {
                _ = try admin.describe(topics: ["t"], timeout: .seconds(60))
            }
            #expect(metadata?.kind == .interrupted)
            let creation = #expect(throws: KafkaError.self) {
                try admin.createTopics([NewTopic("t")], timeout: .seconds(60))
            }
            #expect(creation?.kind == .interrupted)
        }
    }
}
#endif
