// SPDX-License-Identifier: Apache-2.0
//
// Source transactions that last longer than a broker keeps a Kafka transaction open.

#if Kafka
import ChangeModel
import Support
import Testing

@testable import KafkaSink

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)), .serialized)
struct PartialTransactionTests {
    /// A sink that closes a transaction after three seconds: what is to be in one part must not
    /// take as long on a machine that stalls.
    private func impatient(_ options: inout KafkaSinkOptions) {
        options.properties["transaction.timeout.ms"] = "9000"
    }

    /// Serves the sink until it has committed a part.
    private func waitForPart(_ sink: KafkaSink) async throws {
        try await eventually("a part is committed") {
            try sink.idle()
            return sink.partCommit != nil
        } giveUp: { _ in
            true
        }
    }

    /// Writes 1…5 of the transaction at 0/300 behind a whole one at 0/1FF, in part.
    private func leavePart(_ place: KafkaPlace) async throws {
        let sink = try place.begun(impatient)
        try sink.put([100], at: 0x200)
        try sink.write(rows(1...5, in: transaction(0x300)))
        try await waitForPart(sink)
        try sink.write(rows(6...7, in: transaction(0x300), from: 6))
        try sink.close()
    }

    @Test func `a part is committed by age and a replay goes on behind it`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        try await leavePart(place)
        #expect(try broker.ids(of: place.itemsTopic).sorted() == [1, 2, 3, 4, 5, 100])

        let next = place.sink(impatient)
        #expect(try next.open() == checkpoint(0x200))
        // A position before the transaction does not make the sink forget the part.
        try next.commit(checkpoint(0x210))
        try next.close()
        let last = place.sink(impatient)
        #expect(try last.open() == checkpoint(0x210))
        try last.write(rows(1...3, in: transaction(0x300)))
        let end = checkpoint(0x400)
        try last.write(rows(4...8, in: transaction(0x300), from: 4, checkpoint: end))
        try last.commit(end)
        try last.put([9], at: 0x500)
        try last.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == Array(1...9) + [100])
    }

    @Test func `whole transactions before the part are left out of the replay too`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun(impatient)
        var batch = rows([1, 2], in: transaction(0x1FF), checkpoint: checkpoint(0x300))
        batch.append([3, 4], in: transaction(0x2FF))
        batch.committedCount = 4
        try sink.write(batch)
        try await waitForPart(sink)
        try sink.close()
        let next = place.sink(impatient)
        #expect(try next.open() == checkpoint(0x100))
        try next.write(batch)
        try next.commit(checkpoint(0x300))
        try next.close()
        #expect(try broker.ids(of: place.itemsTopic).sorted() == [1, 2, 3, 4])
    }

    @Test func `another change in the place of the last one is refused`() async throws {
        let place = try await KafkaPlace.onSharedBroker()
        try await leavePart(place)
        let next = place.sink(impatient)
        _ = try next.open()
        let error = failure {
            try next.write(rows(1...8, in: transaction(0x300), lsnBase: 0x1_000))
        }
        #expect(error.code == "sink.ordinals_changed")
        #expect(error.exit == .checkpointMismatch)
        try next.close()
    }

    @Test func `another change of the same record in the place of the last one is refused`()
        async throws
    {
        let place = try await KafkaPlace.onSharedBroker()
        // One change, and four that one record of the WAL has brought.
        func batch(_ firsts: Int, of count: Int) -> ChangeBatch {
            var batch = rows(1...count, in: transaction(0x300))
            for index in firsts..<count { batch.changes[index].lsn = LSN(0x99) }
            return batch
        }
        let sink = try place.begun(impatient)
        try sink.write(batch(1, of: 5))
        try await waitForPart(sink)
        try sink.close()
        // Without the first one each change has come one place nearer.
        let next = place.sink(impatient)
        _ = try next.open()
        #expect(failure { try next.write(batch(0, of: 5)) }.code == "sink.ordinals_changed")
        try next.close()
        let last = place.sink(impatient)
        _ = try last.open()
        try last.write(batch(1, of: 6))
        try last.commit(checkpoint(0x400))
        try last.close()
    }

    @Test func `rows that are copied beside it take back nothing of a part`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = try place.begun(impatient)
        try sink.write(rows(1...5, in: transaction(0x300)))
        try await waitForPart(sink)
        try sink.writeCopied(rows(50...52, in: transaction(0x100), kind: .read))
        try sink.dropUnfinished()
        #expect(sink.partCommit == LSN(0x300))
        // It comes again from its beginning.
        let end = checkpoint(0x400)
        try sink.write(rows(1...8, in: transaction(0x300), checkpoint: end))
        try sink.commit(end)
        #expect(sink.partCommit == nil)
        try sink.close()
        let expected = Array(1...8) + Array(50...52)
        #expect(try broker.ids(of: place.itemsTopic).sorted() == expected)
    }

    @Test func `a transaction that has become shorter is refused`() async throws {
        let place = try await KafkaPlace.onSharedBroker()
        try await leavePart(place)
        let next = place.sink(impatient)
        _ = try next.open()
        let end = checkpoint(0x400)
        try next.write(rows(1...3, in: transaction(0x300), checkpoint: end))
        #expect(failure { try next.commit(end) }.code == "sink.ordinals_changed")
        try next.close()
        let other = place.sink(impatient)
        _ = try other.open()
        #expect(
            failure { try other.write(rows([9], in: transaction(0x500))) }.code
                == "sink.ordinals_changed"
        )
        try other.close()
    }

    @Test func `rows of a snapshot are committed by age`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let sink = place.sink(impatient)
        _ = try sink.open()
        try sink.beginSnapshot(checkpoint(0, .running, []))
        try sink.prepare([items.relation], types: [])
        try sink.commit(checkpoint(0x100, .running))
        try sink.write(rows(1...5, in: transaction(0x100), kind: .read))
        try await Task.sleep(for: .milliseconds(3_100))
        try sink.write(rows(6...7, in: transaction(0x100), kind: .read))
        #expect(try broker.ids(of: place.itemsTopic).sorted() == Array(1...7))
        try sink.close()
        #expect(try place.sink().open() == checkpoint(0x100, .running))
    }

    @Test func `marks are told once over a replay`() async throws {
        let broker = try await SharedBroker.broker
        let place = KafkaPlace(broker.address)
        let told: (inout KafkaSinkOptions) -> Void = {
            impatient(&$0)
            $0.transactionTopic = true
        }
        let sink = try place.begun(told)
        try sink.put([100], at: 0x200)
        try sink.write(rows(1...5, in: transaction(0x300)))
        try await waitForPart(sink)
        try sink.close()
        let next = place.sink(told)
        _ = try next.open()
        let end = checkpoint(0x400)
        try next.write(rows(1...8, in: transaction(0x300), checkpoint: end))
        try next.commit(end)
        try next.close()
        let marks = try broker.records(of: "\(place.prefix).transaction").map { record in
            let object = try record.object()
            return "\(object["status"] ?? "") \(object["id"] ?? "") \(object["event_count"] ?? "")"
        }
        #expect(
            marks == [
                "BEGIN 511:511 <null>", "END 511:511 1", "BEGIN 768:768 <null>", "END 768:768 8",
            ]
        )
    }
}
#endif
