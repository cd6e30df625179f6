// SPDX-License-Identifier: Apache-2.0
//
// Brokers that refuse, stand still or are gone: one clear error each, or waiting and going on.

#if Kafka
import ChangeModel
import Foundation
import Glibc
import Support
import Testing

@testable import KafkaSink

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)), .serialized)
struct FaultTests {
    @Test func `where nobody listens the error names the address and the reason`() throws {
        let place = KafkaPlace("127.0.0.1:1")
        let error = failure { _ = try place.sink().open() }
        #expect(error.code == "sink.unreachable")
        #expect(error.isTransient)
        #expect(error.message.contains("127.0.0.1:1"))
        #expect(error.message.contains("refused"))
    }

    @Test func `properties that would weaken the promises are refused by name`() async throws {
        let place = try await KafkaPlace.onSharedBroker()
        for (name, value) in [
            ("acks", "1"), ("enable.idempotence", "false"), ("request.required.acks", "0"),
        ] {
            let error = failure {
                _ = try place.sink { $0.properties[name] = value }.open()
            }
            #expect(error.code == "sink.property_refused")
            #expect(error.message.contains(name))
        }
        let secret = failure {
            _ = try place.sink { $0.properties["sasl.pasword"] = "hush" }.open()
        }
        #expect(secret.exit == .settings)
        #expect(secret.message.contains("sasl.pasword"))
        #expect(!secret.description.contains("hush"))
    }

    @Test func `a broker that comes back is gone on with`() async throws {
        let broker = try await KafkaBroker.start()
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        try sink.put([1], at: 0x200)
        broker.suspend()
        try sink.write(rows([2], in: transaction(0x2FF)))
        // On a thread of its own: the commit keeps one of those that tasks run on.
        Thread.detachNewThread {
            sleep(3)
            broker.resume()
        }
        try sink.commit(checkpoint(0x300))
        try sink.put([3], at: 0x400)
        try sink.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == [1, 2, 3])
    }

    @Test func `a broker that is restarted between two transactions is gone on with`()
        async throws
    {
        let broker = try await KafkaBroker.start()
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        try sink.put([1], at: 0x200)
        // Not within one: this broker forgets a transaction that is open when it stops, and then
        // says that it has committed it.
        try await broker.restart()
        try sink.put([2], at: 0x300)
        try sink.close()
        let next = place.sink()
        #expect(try next.open() == checkpoint(0x300))
        try next.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == [1, 2])
    }

    @Test func `a stop ends the waiting for a broker that is gone`() async throws {
        let broker = try await KafkaBroker.start()
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        broker.suspend()
        try sink.write(rows([2], in: transaction(0x1FF)))
        place.supervisor.stop()
        let began = ContinuousClock.now
        #expect(failure { try sink.commit(checkpoint(0x200)) }.code == "CancellationError")
        try sink.close()
        let took = ContinuousClock.now - began
        #expect(took >= .seconds(2) && took < .seconds(9))
        broker.resume()
    }

    @Test func `a full queue slows the writer down and loses nothing`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun { $0.properties["queue.buffering.max.messages"] = "50" }
        let end = checkpoint(0x200)
        try sink.write(rows(1...3_000, in: transaction(0x1FF), checkpoint: end))
        try sink.commit(end)
        try sink.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == Array(1...3_000))
    }

    @Test func `a stop while the queue is full ends the writing`() async throws {
        let broker = try await KafkaBroker.start()
        let place = KafkaPlace(broker.address)
        let sink = try place.begun { $0.properties["queue.buffering.max.messages"] = "50" }
        broker.suspend()
        place.supervisor.stop()
        let began = ContinuousClock.now
        let error = failure { try sink.write(rows(1...3_000, in: transaction(0x1FF))) }
        #expect(error.code == "CancellationError")
        try sink.close()
        #expect(ContinuousClock.now - began < .seconds(9))
        broker.resume()
    }
}

@Suite(.serialized)
struct MockFaultTests {
    @Test func `who may not write to a topic is told the statement`() throws {
        let cluster = try MockCluster()
        let place = KafkaPlace(cluster.bootstrapServers)
        let topic = "\(place.prefix).walrelay-checkpoint"
        try cluster.create(topic: topic, partitions: 1)
        cluster.fail(topic: topic, with: .topicAuthorization)
        let error = failure { _ = try place.sink().open() }
        #expect(error.code == "sink.unauthorized")
        #expect(error.exit == .prerequisite)
        #expect(error.message.contains(topic))
        #expect(error.hint.contains("--topic '\(place.prefix).'"))
        #expect(error.hint.contains("--transactional-id '\(place.prefix).walrelay-orders'"))
    }

    @Test func `who may not use the transactional id is told so`() throws {
        let cluster = try MockCluster()
        let place = KafkaPlace(cluster.bootstrapServers)
        try cluster.create(topic: "\(place.prefix).walrelay-checkpoint", partitions: 1)
        try cluster.create(topic: place.itemsTopic, partitions: 3)
        let sink = place.sink()
        #expect(try sink.open() == nil)
        cluster.fail(next: .initProducerID, with: [.transactionalIDAuthorization])
        let error = failure { try sink.commit(checkpoint(0x100)) }
        #expect(error.code == "sink.unauthorized")
        #expect(error.message.contains("\(place.prefix).walrelay-orders"))
        try sink.close()
    }

    @Test func `a checkpoint does not pass records that were refused`() throws {
        for isTransactional in [true, false] {
            let cluster = try MockCluster()
            let place = KafkaPlace(cluster.bootstrapServers)
            try cluster.create(topic: "\(place.prefix).walrelay-checkpoint", partitions: 1)
            try cluster.create(topic: place.itemsTopic, partitions: 3)
            let sink = place.sink { $0.transactional = isTransactional }
            #expect(try sink.open() == nil)
            try sink.commit(checkpoint(0x100))
            try sink.put([1], at: 0x200)
            cluster.fail(next: .produce, with: [.topicAuthorization])
            let error = failure { try sink.put([2], at: 0x300) }
            #expect(error.code == "sink.unauthorized")
            // In a transaction the checkpoint's record is sent beside the others: it may be the one.
            #expect(error.message.contains(isTransactional ? place.prefix : place.itemsTopic))
            try sink.close()
            // The mock cluster shows what was aborted too: only without transactions does its
            // topic tell.
            guard !isTransactional else { continue }
            let next = place.sink { $0.transactional = false }
            #expect(try next.open() == checkpoint(0x200))
            try next.close()
        }
    }

    @Test func `a transaction that another producer has taken over ends the task`() throws {
        let cluster = try MockCluster()
        let place = KafkaPlace(cluster.bootstrapServers)
        try cluster.create(topic: "\(place.prefix).walrelay-checkpoint", partitions: 1)
        try cluster.create(topic: place.itemsTopic, partitions: 3)
        let sink = place.sink()
        #expect(try sink.open() == nil)
        try sink.commit(checkpoint(0x100))
        cluster.fail(next: .endTransaction, with: [.producerFenced])
        let error = failure { try sink.put([1], at: 0x200) }
        #expect(error.code == "sink.fenced")
        #expect(error.exit == .unreachable)
        #expect(!error.isTransient)
        try sink.close()
    }

    @Test func `a coordinator that is loading is waited for and one that refuses is not`() throws {
        let cluster = try MockCluster()
        let place = KafkaPlace(cluster.bootstrapServers)
        try cluster.create(topic: "\(place.prefix).walrelay-checkpoint", partitions: 1)
        try cluster.create(topic: place.itemsTopic, partitions: 3)
        let sink = place.sink()
        #expect(try sink.open() == nil)
        try sink.commit(checkpoint(0x100))
        cluster.fail(next: .endTransaction, with: [.coordinatorLoading, .coordinatorLoading])
        try sink.put([1], at: 0x200)
        cluster.fail(next: .addPartitionsToTransaction, with: [.topicAuthorization])
        let error = failure { try sink.put([2], at: 0x300) }
        #expect(error.code == "sink.unauthorized")
        try sink.close()
    }

    @Test func `brokers that go away and come back are waited for`() throws {
        let cluster = try MockCluster()
        let place = KafkaPlace(cluster.bootstrapServers)
        try cluster.create(topic: "\(place.prefix).walrelay-checkpoint", partitions: 1)
        try cluster.create(topic: place.itemsTopic, partitions: 3)
        let sink = place.sink()
        #expect(try sink.open() == nil)
        try sink.commit(checkpoint(0x100))
        try sink.write(rows(1...10, in: transaction(0x1FF)))
        cluster.down()
        Thread.detachNewThread {
            sleep(5)
            cluster.up()
        }
        try sink.commit(checkpoint(0x200))
        #expect(place.supervisor.notes.map(\.code) == ["sink.unreachable"])
        try sink.put([11], at: 0x300)
        try sink.close()
    }
}
#endif
