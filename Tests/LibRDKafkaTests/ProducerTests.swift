// SPDX-License-Identifier: Apache-2.0
//
// Producing to librdkafka's mock cluster, and what is told when something does not work.

#if Kafka
import LibRDKafka
import Support
import Testing

struct ProducerTests {
    @Test func `records arrive in order with their header, tombstones as such`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            try cluster.create(topic: "t", partitions: 1)
            let producer = try Producer(cluster.bootstrapServers)
            let topic = try producer.topic("t")
            #expect(try producer.partitionCount(of: "t", timeout: .seconds(20)) == 1)
            #expect(producer.produce("a", "1", to: topic) == .queued)
            #expect(producer.produce("a", "2", to: topic, header: ("h", "{}")) == .queued)
            #expect(producer.produce("b", "", to: topic) == .queued)
            #expect(producer.produce("c", nil, to: topic) == .queued)
            #expect(producer.produce("", "empty key", to: topic) == .queued)
            #expect(try producer.flush(timeout: .seconds(20)))
            #expect(producer.takeFailures().isEmpty)
            #expect(producer.queued == 0)
            let tail = try TopicTail(
                ["bootstrap.servers": cluster.bootstrapServers],
                logger: quiet
            )
            let found = try tail.newest(of: "t").map { "\($0.key)=\($0.value)" }
            #expect(found == ["=empty key", "c=-", "b=", "a=2"])
        }
    }

    @Test func `a full queue says so and takes records again once it has been served`() async throws
    {
        try await onThread {
            let cluster = try MockCluster()
            try cluster.create(topic: "t", partitions: 1)
            let producer = try Producer(
                cluster.bootstrapServers,
                ["queue.buffering.max.messages": "10"]
            )
            let topic = try producer.topic("t")
            cluster.down()
            for number in 0..<10 {
                #expect(producer.produce("k", "\(number)", to: topic) == .queued)
            }
            #expect(producer.produce("k", "one more", to: topic) == .queueFull)
            #expect(producer.produce("k", "x", to: topic, header: ("h", "v")) == .queueFull)
            cluster.up()
            #expect(try producer.flush(timeout: .seconds(30)))
            #expect(producer.produce("k", "one more", to: topic) == .queued)
            #expect(try producer.flush(timeout: .seconds(30)))
            #expect(producer.takeFailures().isEmpty)
        }
    }

    @Test func `a record over message.max.bytes is not taken`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            let producer = try Producer(cluster.bootstrapServers, ["message.max.bytes": "1000"])
            let topic = try producer.topic("t")
            let large = String(repeating: "x", count: 2_000)
            #expect(producer.produce("k", large, to: topic) == .tooLarge)
            #expect(producer.produce("k", large, to: topic, header: ("h", "v")) == .tooLarge)
            #expect(producer.queued == 0)
        }
    }

    @Test func `a record that the broker refuses comes back with its key and tag`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            try cluster.create(topic: "t", partitions: 2)
            let producer = try Producer(
                cluster.bootstrapServers,
                ["enable.idempotence": "false"]
            )
            let topic = try producer.topic("t")
            cluster.fail(next: .produce, with: [.tooLarge])
            let key = String(repeating: "k", count: 300)
            #expect(producer.produce(key, "v", to: topic, partition: 1, tag: .max) == .queued)
            #expect(try producer.flush(timeout: .seconds(20)))
            let failures = producer.takeFailures()
            #expect(failures.count == 1)
            let failure = try #require(failures.first.first)
            #expect(failure.topic == "t" && failure.partition == 1 && failure.tag == .max)
            #expect(failure.key == Array(repeating: UInt8(ascii: "k"), count: 256))
            #expect(failure.error.kind == .tooLarge)
            #expect(failure.error.name == "MSG_SIZE_TOO_LARGE")
            #expect(producer.takeFailures().isEmpty)
        }
    }

    @Test func `of many failures the first are kept and all are counted`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            let producer = try Producer(
                cluster.bootstrapServers,
                ["enable.idempotence": "false", "message.timeout.ms": "300"]
            )
            let topic = try producer.topic("t")
            cluster.down()
            for number in 0..<200 {
                #expect(producer.produce("\(number)", "v", to: topic) == .queued)
            }
            #expect(try producer.flush(timeout: .seconds(20)))
            let failures = producer.takeFailures()
            #expect(failures.count == 200)
            #expect(failures.first.count == 64)
            #expect(failures.first.allSatisfy { $0.error.kind == .unreachable })
        }
    }

    @Test func `records wait while the broker is down and arrive once it is back`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            try cluster.create(topic: "t", partitions: 1)
            let producer = try Producer(cluster.bootstrapServers)
            let topic = try producer.topic("t")
            #expect(producer.produce("k", "1", to: topic) == .queued)
            #expect(try producer.flush(timeout: .seconds(20)))
            cluster.down()
            #expect(producer.produce("k", "2", to: topic) == .queued)
            #expect(try !producer.flush(timeout: .milliseconds(500)))
            let deadline = ContinuousClock.now + .seconds(20)
            while producer.lastError == nil, .now < deadline { producer.poll(.milliseconds(50)) }
            #expect(producer.lastError?.kind == .unreachable)
            #expect(producer.queued > 0)
            cluster.up()
            #expect(try producer.flush(timeout: .seconds(30)))
            #expect(producer.lastError == nil)
            #expect(producer.takeFailures().isEmpty)
        }
    }

    @Test func `who does not want to wait on is let go`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            var asked = 0
            let producer = try Producer(cluster.bootstrapServers) {
                asked += 1
                return asked < 3
            }
            let topic = try producer.topic("t")
            cluster.down()
            #expect(producer.produce("k", "v", to: topic) == .queued)
            let error = #expect(throws: KafkaError.self) {
                _ = try producer.flush(timeout: .seconds(60))
            }
            #expect(error?.kind == .interrupted)
            #expect(asked == 3)
        }
    }

    @Test func `closing with records in the queue and no broker takes little time`() async throws {
        try await onThread {
            // What would hold it up does so each time; a machine that stands still does not.
            for _ in 0..<3 {
                let cluster = try MockCluster()
                var producer: Producer? = try Producer(cluster.bootstrapServers)
                var topic = try producer?.topic("t")
                cluster.down()
                if let topic {
                    for _ in 0..<1_000 { _ = producer?.produce("k", "v", to: topic) }
                }
                let began = ContinuousClock.now
                topic = nil
                producer = nil
                if ContinuousClock.now - began < .seconds(2) { return }
            }
            Issue.record("it took its two seconds each time")
        }
    }

    @Test func `statistics tell the queue, the brokers and how long they take`() async throws {
        try await onThread {
            let cluster = try MockCluster(brokers: 2)
            try cluster.create(topic: "t", partitions: 1)
            let producer = try Producer(
                cluster.bootstrapServers,
                ["statistics.interval.ms": "100"]
            )
            let topic = try producer.topic("t")
            #expect(producer.produce("k", "v", to: topic) == .queued)
            #expect(try producer.flush(timeout: .seconds(20)))
            let deadline = ContinuousClock.now + .seconds(20)
            var slowest = 0
            while ContinuousClock.now < deadline {
                producer.poll(.milliseconds(100))
                slowest = max(slowest, producer.statistics.deliveryMicroseconds)
                if slowest > 0, producer.statistics.brokersKnown == 2,
                    producer.statistics.brokersUp > 0
                {
                    break
                }
            }
            #expect(slowest > 0)
            #expect(producer.statistics.brokersKnown == 2)
            #expect(producer.statistics.brokersUp > 0)
            cluster.down()
            for _ in 0..<5 { #expect(producer.produce("k", "12345", to: topic) == .queued) }
            while ContinuousClock.now < deadline, producer.statistics.queueMessages != 5 {
                producer.poll(.milliseconds(100))
            }
            #expect(producer.statistics.queueMessages == 5)
            #expect(producer.statistics.queueBytes == 25)
        }
    }
}
#endif
