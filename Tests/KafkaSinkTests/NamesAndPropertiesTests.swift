// SPDX-License-Identifier: Apache-2.0

#if Kafka
import ChangeModel
import Testing

@testable import KafkaSink

@Suite struct TopicNamesTests {
    private let names = TopicNames(prefix: "shop")

    private func relation(_ schema: String, _ name: String, _ oid: UInt32 = 1) -> Relation {
        Relation(oid: oid, schema: schema, name: name, replicaIdentity: .default, columns: [])
    }

    @Test func `what a broker refuses in a name becomes an underscore`() {
        #expect(names.table(relation("public", "Orders-2.x")) == "shop.public.Orders-2.x")
        #expect(names.table(relation("a b", "ö\"$")) == "shop.a_b.___")
    }

    @Test func `two tables with one name and names that are too long are all told`() {
        let long = String(repeating: "x", count: 243)
        let findings = names.findings([
            relation("s", "a b", 1), relation("s", "a_b", 2), relation("s", long, 3),
            relation("s", "c", 4),
        ])
        #expect(findings.map(\.id) == ["topic.name_clash", "topic.name_too_long"])
        #expect(findings.map(\.subject) == ["s.a_b", "s.\(long)"])
    }

    @Test func `a prefix that is no name is told`() {
        #expect(TopicNames(prefix: "a b").findings([]).map(\.id) == ["topic.prefix"])
        #expect(TopicNames(prefix: "a-b.c_d").findings([]).isEmpty)
    }
}

@Suite struct ClientPropertiesTests {
    private func properties(
        _ given: [String: String],
        transactional: Bool = true
    ) throws -> ClientProperties {
        var options = KafkaSinkOptions(
            task: "orders",
            database: "shop",
            version: "0",
            format: ValueFormat(),
            topicPrefix: "shop",
            properties: given
        )
        options.transactional = transactional
        return try ClientProperties(options)
    }

    @Test func `what is given goes over what is chosen`() throws {
        let chosen = try properties(["linger.ms": "20", "transaction.timeout.ms": "9000"])
        #expect(chosen.producer["linger.ms"] == "20")
        #expect(chosen.producer["acks"] == "all")
        #expect(chosen.producer["enable.idempotence"] == "true")
        #expect(chosen.producer["message.timeout.ms"] == "9000")
        #expect(chosen.transactionalID == "shop.walrelay-orders")
        #expect(chosen.transactionTimeout == .seconds(9))
    }

    @Test func `without transactions nothing of them is left`() throws {
        let chosen = try properties([:], transactional: false)
        #expect(chosen.transactionalID == nil)
        #expect(chosen.producer.keys.allSatisfy { !$0.hasPrefix("transaction") })
        #expect(chosen.producer["enable.gapless.guarantee"] == "true")
        // One that timed out alone would leave a gap.
        #expect(chosen.producer["message.timeout.ms"] == "0")
        for (name, value) in [
            ("message.timeout.ms", "5000"), ("enable.gapless.guarantee", "false"),
        ] {
            #expect(throws: WalrelayError.self) {
                try properties([name: value], transactional: false)
            }
        }
        #expect(throws: WalrelayError.self) {
            try properties(["transactional.id": "x"], transactional: false)
        }
    }

    @Test func `a record always fits into an empty queue`() throws {
        let large = try properties(["message.max.bytes": "50000000"])
        #expect(Int(large.producer["queue.buffering.max.kbytes"] ?? "") ?? 0 > 50_000_000 >> 10)
        #expect(throws: WalrelayError.self) {
            try properties(["queue.buffering.max.kbytes": "100"])
        }
        #expect(throws: WalrelayError.self) { try properties(["message.max.bytes": "a lot"]) }
    }

    @Test func `batches are bounded by the least topic`() throws {
        let chosen = try properties([:])
        #expect(chosen.producer(batchLimit: nil)["batch.size"] == nil)
        #expect(chosen.producer(batchLimit: 10_000)["batch.size"] == "8976")
        #expect(chosen.producer(batchLimit: 100)["batch.size"] == "1")
        #expect(chosen.producer(batchLimit: 10_000_000)["batch.size"] == nil)
    }
}

@Suite struct CheckpointRecordTests {
    @Test func `what is written is what is read`() throws {
        var record = CheckpointRecord()
        let partial = PartialTransaction(
            commitLSN: LSN(0x300),
            ordinal: 5,
            lsn: LSN(0x45),
            place: 2
        )
        let document = CheckpointDocument(
            relations: [items.relation],
            types: [],
            partitions: ["t.public.items": 3]
        )
        let parts = try document.parts(number: 7)
        let mark = DocumentMark(number: 7, parts: parts.count, formerParts: 2)
        var whole = checkpoint(0x200)
        (whole.publicationOID, whole.timeline) = (77, 3)
        for (checkpoint, partial) in [(whole, partial), (checkpoint(0, .running), nil)] {
            try record.encode(checkpoint, partial: partial, document: mark)
            let read = try CheckpointRecord.Read(parsing: record.bytes)
            let stored = try CheckpointRecord.stored(read, parts: parts, record: record.bytes)
            #expect(stored.checkpoint == checkpoint)
            #expect(stored.partial == partial)
            #expect(stored.document == mark)
            #expect(stored.partitions == ["t.public.items": 3])
        }
    }

    @Test func `the document is written when it changes and now and then`() throws {
        var log = CheckpointLog(task: "orders", topic: "t")
        var keys: [String] = []
        func commit(_ checkpoint: Checkpoint) throws {
            try log.records(for: checkpoint, partial: nil, partitions: [:]) { key, _ in
                keys.append(String(decoding: key, as: UTF8.self))
            }
        }
        try commit(checkpoint(1))
        try commit(checkpoint(2))
        #expect(keys == ["orders.document.1.0", "orders", "orders"])
        keys = []
        try commit(checkpoint(3, .complete, []))
        #expect(keys == ["orders.document.0.0", "orders"])
        keys = []
        for position in 0..<UInt64(2_500) { try commit(checkpoint(4 + position, .complete, [])) }
        #expect(keys.filter { $0.contains("document") }.count == 2)
    }

    @Test func `nothing malformed is taken for a checkpoint`() throws {
        var record = CheckpointRecord()
        let mark = DocumentMark(number: 1, parts: 1, formerParts: 0)
        try record.encode(checkpoint(0x200), partial: nil, document: mark)
        for length in 0..<record.bytes.count {
            #expect(throws: MalformedCheckpoint.self) {
                try CheckpointRecord.Read(parsing: Array(record.bytes.prefix(length)))
            }
        }
        let read = try CheckpointRecord.Read(parsing: record.bytes)
        let other = CheckpointDocument(relations: [], types: [], partitions: [:])
        for parts in [try other.parts(number: 2), [Array("x".utf8)], [[]]] {
            #expect(throws: MalformedCheckpoint.self) {
                try CheckpointRecord.stored(read, parts: parts, record: [])
            }
        }
        let huge = String(decoding: record.bytes, as: UTF8.self)
            .replacing("\"parts\":1", with: "\"parts\":99999999")
        #expect(throws: MalformedCheckpoint.self) {
            try CheckpointRecord.Read(parsing: Array(huge.utf8))
        }
    }
}
#endif
