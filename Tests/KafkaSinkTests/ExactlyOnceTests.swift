// SPDX-License-Identifier: Apache-2.0
//
// Data and checkpoint in one Kafka transaction: what a reader of committed records sees, whatever
// the sink goes through.

#if Kafka
import ChangeModel
import Foundation
import Sink
import Support
import Testing

@testable import KafkaSink

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)), .serialized)
struct ExactlyOnceTests {
    @Test func `a task without a checkpoint begins with none and leaves the cluster alone`()
        async throws
    {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = place.sink()
        #expect(try sink.open() == nil)
        try sink.inspect([items.relation], types: [])
        try sink.close()
        #expect(try broker.topics().filter { $0.hasPrefix("\(place.prefix).") } == [])
    }

    @Test func `each change stands once over rollback, close and a new start`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = place.sink()
        _ = try sink.open()
        try sink.beginSnapshot(checkpoint(0, .running, []))
        try sink.prepare([items.relation], types: [])
        try sink.commit(checkpoint(0x100, .running))
        try sink.write(rows(1...100, in: transaction(0x100), kind: .read))
        try sink.commit(checkpoint(0x100))
        try sink.put([101], at: 0x200)
        try sink.write(rows(500...600, in: transaction(0x2FF)))
        try sink.rollback()
        try sink.put([102], at: 0x300)
        try sink.write(rows(700...800, in: transaction(0x3FF)))
        try sink.close()

        let next = place.sink()
        #expect(try next.open() == checkpoint(0x300))
        try next.put([103], at: 0x400)
        try next.close()
        #expect(try place.sink().open() == checkpoint(0x400))
        #expect(try broker.ids(of: place.itemsTopic).sorted() == Array(1...103))
        #expect(next.statistics.commits == 1)
        #expect(next.statistics.details["recordsWritten"] == "1")
        #expect(try broker.partitionCounts()[place.itemsTopic] == 3)
    }

    @Test func `a transaction that goes on waits for the commit of the one before it`()
        async throws
    {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        var batch = rows([1, 2], in: transaction(0x1FF), checkpoint: checkpoint(0x200))
        batch.append([3, 4], in: transaction(0x2FF))
        try sink.write(batch)
        try sink.commit(checkpoint(0x200))
        #expect(try broker.ids(of: place.itemsTopic).sorted() == [1, 2])
        #expect(try broker.ids(of: place.itemsTopic, isolation: .uncommitted).sorted() == [1, 2])
        let end = checkpoint(0x300)
        try sink.write(rows([5], in: transaction(0x2FF), from: 3, checkpoint: end))
        try sink.commit(end)
        #expect(try broker.ids(of: place.itemsTopic).sorted() == Array(1...5))
        try sink.close()
    }

    @Test func `opening fences nobody and the first transaction does`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let first = try place.begun()
        try first.put([1], at: 0x200)
        try first.write(rows([2], in: transaction(0x2FF)))

        let second = place.sink()
        #expect(try second.open() == checkpoint(0x200))
        try second.inspect([items.relation], types: [])
        try first.commit(checkpoint(0x300))

        // The first one has moved the checkpoint since the second one read it.
        let moved = failure { try second.put([3], at: 0x400) }
        #expect(moved.code == "sink.checkpoint_moved")
        #expect(moved.isTransient)
        try second.close()

        let third = place.sink()
        #expect(try third.open() == checkpoint(0x300))
        try third.put([4], at: 0x400)
        let fenced = failure { try first.put([3], at: 0x400) }
        #expect(fenced.code == "sink.fenced")
        #expect(fenced.exit == .unreachable)
        #expect(!fenced.isTransient)
        try first.close()
        try third.put([5], at: 0x500)
        try third.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == [1, 2, 4, 5])
    }

    @Test func `what a zombie had under way is void`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let zombie = try place.begun()
        try zombie.write(rows([1, 2, 3], in: transaction(0x1FF)))
        let heir = place.sink()
        _ = try heir.open()
        try heir.put([1, 2, 3], at: 0x200)
        let fenced = failure {
            try zombie.write(rows([4], in: transaction(0x1FF), from: 4))
            try zombie.commit(checkpoint(0x200))
        }
        #expect(fenced.code == "sink.fenced")
        try zombie.close()
        try heir.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == [1, 2, 3])
    }

    @Test func `the checkpoint goes and the data stays when a task ends`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun()
        try sink.put([1], at: 0x200)
        try sink.removeCheckpoint()
        let next = place.sink()
        #expect(try next.open() == nil)
        try next.begin()
        try next.close()
        #expect(try broker.ids(of: place.itemsTopic) == [1])
    }

    @Test func `without Kafka transactions all is delivered before the checkpoint`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun { $0.transactional = false }
        try sink.write(rows(1...50, in: transaction(0x1FF)))
        try sink.commit(checkpoint(0x200))
        try sink.write(rows([51], in: transaction(0x2FF)))
        try sink.close()
        let next = place.sink { $0.transactional = false }
        #expect(try next.open() == checkpoint(0x200))
        try next.put([51], at: 0x300)
        try next.close()
        let ids = try broker.ids(of: place.itemsTopic)
        #expect(Set(ids) == Set(1...51))
        #expect(place.options.properties["transactional.id"] == nil)
    }
}
#endif
