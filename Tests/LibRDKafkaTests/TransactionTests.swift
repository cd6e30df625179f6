// SPDX-License-Identifier: Apache-2.0
//
// Transactions of a producer on librdkafka's mock cluster.

#if Kafka
import LibRDKafka
import Support
import Testing

struct TransactionTests {
    private static func producer(
        _ cluster: MockCluster,
        _ others: [String: String] = [:]
    ) throws(KafkaError) -> Producer {
        let properties = ["transactional.id": "task", "transaction.timeout.ms": "20000"]
        return try Producer(cluster.bootstrapServers, properties.merging(others) { $1 })
    }

    private static func begun(
        _ cluster: MockCluster,
        _ body: (Producer, Topic) throws -> Void
    ) throws {
        try cluster.create(topic: "t", partitions: 1)
        let producer = try producer(cluster)
        let topic = try producer.topic("t")
        try producer.initTransactions(timeout: .seconds(30))
        try producer.beginTransaction()
        #expect(producer.produce("k", "v", to: topic) == .queued)
        try body(producer, topic)
    }

    @Test func `transactions are committed and aborted one after the other`() async throws {
        try await onThread {
            try Self.begun(MockCluster()) { producer, topic in
                try producer.commitTransaction(timeout: .seconds(20))
                try producer.beginTransaction()
                #expect(producer.produce("k", "v", to: topic) == .queued)
                try producer.abortTransaction(timeout: .seconds(20))
                try producer.beginTransaction()
                #expect(producer.produce("k", "v", to: topic) == .queued)
                try producer.commitTransaction(timeout: .seconds(20))
                #expect(producer.takeFailures().isEmpty)
                #expect(producer.fatalError == nil)
            }
        }
    }

    @Test func `outside of a transaction nothing is taken`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            let producer = try Self.producer(cluster)
            try producer.initTransactions(timeout: .seconds(30))
            let topic = try producer.topic("t")
            guard case .failed(let error) = producer.produce("k", "v", to: topic) else {
                Issue.record("the record was taken")
                return
            }
            #expect(error.name == "_STATE")
        }
    }

    @Test func `a refused record makes the commit fail; after an abort it goes on`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            try Self.begun(cluster) { producer, topic in
                try producer.commitTransaction(timeout: .seconds(20))
                cluster.fail(next: .produce, with: [.topicAuthorization])
                try producer.beginTransaction()
                #expect(producer.produce("k", "v", to: topic, tag: 7) == .queued)
                let error = #expect(throws: KafkaError.self) {
                    try producer.commitTransaction(timeout: .seconds(20))
                }
                #expect(error?.requiresAbort == true)
                #expect(error?.isFatal == false)
                let failure = try #require(producer.takeFailures().first.first)
                #expect(failure.error.kind == .authorization && failure.tag == 7)
                try producer.abortTransaction(timeout: .seconds(20))
                // librdkafka takes nothing for the topic until metadata says that it may, and of the
                // record that was refused a gap is left that only another abort closes.
                _ = try producer.partitionCount(of: "t", timeout: .seconds(20))
                for attempt in 1...2 {
                    try producer.beginTransaction()
                    #expect(producer.produce("k", "v", to: topic) == .queued)
                    do throws(KafkaError) {
                        try producer.commitTransaction(timeout: .seconds(20))
                        return
                    } catch {
                        #expect(attempt == 1 && error.requiresAbort)
                        try producer.abortTransaction(timeout: .seconds(20))
                    }
                }
                Issue.record("no transaction succeeds any more")
            }
        }
    }

    @Test func `a commit that ran out of time is made again when the broker is back`() async throws
    {
        try await onThread {
            let cluster = try MockCluster()
            try Self.begun(cluster) { producer, _ in
                cluster.down()
                let error = #expect(throws: KafkaError.self) {
                    try producer.commitTransaction(timeout: .milliseconds(500))
                }
                #expect(error?.isRetriable == true)
                #expect(error?.kind == .unreachable)
                let deadline = ContinuousClock.now + .seconds(20)
                while producer.lastError?.name != "_TRANSPORT", .now < deadline {
                    producer.poll(.milliseconds(50))
                }
                #expect(producer.lastError?.kind == .unreachable)
                #expect(producer.lastError?.name == "_TRANSPORT")
                cluster.up()
                try producer.commitTransaction(timeout: .seconds(20))
                #expect(producer.lastError == nil)
            }
        }
    }

    @Test func `after a commit that ran out of time an abort is refused`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            try Self.begun(cluster) { producer, _ in
                cluster.down()
                #expect(throws: KafkaError.self) {
                    try producer.commitTransaction(timeout: .milliseconds(300))
                }
                let error = #expect(throws: KafkaError.self) {
                    try producer.abortTransaction(timeout: .seconds(5))
                }
                #expect(error?.name == "_CONFLICT")
                #expect(error?.isRetriable == false && error?.isFatal == false)
            }
        }
    }

    @Test(arguments: [MockCluster.BrokerError.producerFenced, .invalidProducerEpoch])
    func `a fenced producer says so and is of no more use`(
        _ refusal: MockCluster.BrokerError
    ) async throws {
        try await onThread {
            let cluster = try MockCluster()
            try Self.begun(cluster) { producer, topic in
                cluster.fail(next: .endTransaction, with: [refusal])
                let error = #expect(throws: KafkaError.self) {
                    try producer.commitTransaction(timeout: .seconds(20))
                }
                #expect(error?.kind == .fenced)
                #expect(error?.isFatal == true)
                #expect(producer.fatalError?.kind == .fenced)
                guard case .failed(let later) = producer.produce("k", "v", to: topic) else {
                    Issue.record("the record was taken")
                    return
                }
                #expect(later.kind == .fenced)
            }
        }
    }

    @Test func `a transactional id that is not allowed is told as such`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            let refusals = Array(
                repeating: MockCluster.BrokerError.transactionalIDAuthorization,
                count: 20
            )
            cluster.fail(next: .initProducerID, with: refusals)
            let producer = try Self.producer(cluster)
            let error = #expect(throws: KafkaError.self) {
                try producer.initTransactions(timeout: .seconds(20))
            }
            #expect(error?.kind == .authorization)
            #expect(error?.name == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED")
        }
    }

    @Test func `passing troubles of the coordinator are waited out`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            cluster.fail(next: .initProducerID, with: [.coordinatorLoading, .disconnects])
            try Self.begun(cluster) { producer, _ in
                cluster.fail(next: .endTransaction, with: [.coordinatorLoading, .disconnects])
                try producer.commitTransaction(timeout: .seconds(20))
            }
        }
    }
}
#endif
