// SPDX-License-Identifier: Apache-2.0
//
// The newest records of a compacted topic, read from its end backwards: first a few, then twice
// as many before them, and so on. Only committed records count, and all that was written when the
// reading began: an open transaction before that point is waited for, because what it hides may
// be newer than all that is visible. No consumer group takes part, so no right on one is needed.

#if Kafka
import CRDKafka
public import Logging

/// The newest record of one key.
public struct TailRecord: Sendable, Equatable {
    /// Its place in the partition.
    public var offset: Int64
    /// The key.
    public var key: [UInt8]
    /// The value; `nil` for a tombstone.
    public var value: [UInt8]?
}

/// A reader of the ends of topics.
///
/// Belongs to one thread.
public final class TopicTail {
    /// Offsets that are read at first.
    private static let firstWindow: Int64 = 128
    /// Offsets that are read at once at most.
    private static let windowLimit: Int64 = 1 << 20

    private let client: Client

    /// Starts librdkafka for reading; connects to nothing yet.
    ///
    /// Takes a producer's properties: what is for producers only is ignored. Throws `KafkaError`
    /// of kind `badProperty`.
    public init(
        _ properties: [String: String],
        logger: Logger,
        keepWaiting: @escaping () -> Bool = { true }
    ) throws(KafkaError) {
        var plain = properties
        for name in ["transactional.id", "group.id"] { plain[name] = nil }
        let forced = [
            "isolation.level": "read_committed",
            "enable.partition.eof": "true",
            "enable.auto.commit": "false",
            "auto.offset.reset": "earliest",
            // Of a missing topic one wants to hear at once.
            "allow.auto.create.topics": "false",
            "topic.metadata.propagation.max.ms": "0",
        ]
        plain.merge(forced) { _, forced in forced }
        client = try Client(
            RD_KAFKA_CONSUMER,
            plain,
            defaults: [
                // At the end of a partition a broker holds its answer back for so long.
                "fetch.wait.max.ms": "10",
                "fetch.error.backoff.ms": "100",
                "fetch.message.max.bytes": "1048576",
                "queued.max.messages.kbytes": "4096",
            ],
            warnsOfProperties: false,
            logger: logger,
            keepWaiting: keepWaiting
        )
    }

    /// Hands over the newest record of each wanted key, the newest first, until `body` is false.
    ///
    /// What is handed over lies before the end of the partition as it was when this was called.
    /// Of keys that are not wanted nothing is copied. Blocks for at most `limit`; throws kind
    /// `unknownTopic` where the topic does not exist, and the retriable kind `openTransaction`
    /// where somebody else's transaction did not end in time.
    public func newestByKey(
        of topic: String,
        partition: Int32 = 0,
        within limit: Duration,
        where isWanted: (UnsafeRawBufferPointer) -> Bool,
        _ body: (TailRecord) -> Bool
    ) throws(KafkaError) {
        let deadline = ContinuousClock.now + limit
        // A reading of a topic that does not exist waits for it; a known one begins at once.
        let known = try Admin(of: client).describe(topics: [topic], timeout: limit)
        for description in known.topics { if let error = description.error { throw error } }
        let topic = try Topic(topic, of: client)
        let (low, end) = try stableRange(of: topic, partition, deadline)
        var seen: Set<[UInt8]> = []
        var (to, length) = (end, Self.firstWindow)
        while to > low {
            let from = max(low, to - length)
            var newest: [[UInt8]: TailRecord] = [:]
            let reading = PartitionReading(of: topic, partition, from: from, client)
            while let message = try reading.next(before: to, deadline) {
                defer { rd_kafka_message_destroy(message) }
                let key = UnsafeRawBufferPointer(
                    start: message.pointee.key,
                    count: message.pointee.key_len
                )
                guard isWanted(key) else { continue }
                let record = TailRecord(message.pointee)
                newest[record.key] = record
            }
            for record in newest.values.sorted(by: { $0.offset > $1.offset })
            where seen.insert(record.key).inserted {
                guard body(record) else { return }
            }
            (to, length) = (from, min(length * 2, Self.windowLimit))
        }
    }

    /// The first offset and the one behind the last, once no transaction is open before that.
    private func stableRange(
        of topic: Topic,
        _ partition: Int32,
        _ deadline: ContinuousClock.Instant
    ) throws(KafkaError) -> (low: Int64, end: Int64) {
        var first: (low: Int64, end: Int64)?
        var open: Int64?
        while true {
            let reading = PartitionReading(
                of: topic,
                partition,
                from: Int64(RD_KAFKA_OFFSET_END),
                client
            )
            let stable: Int64
            do throws(KafkaError) {
                stable = try reading.end(deadline)
            } catch {
                guard let open, error.isRetriable else { throw error }
                throw Self.openTransaction(topic, open)
            }
            // The broker told both with its answer to the fetch; reading is on the same thread.
            var low: Int64 = 0
            var high: Int64 = 0
            rd_kafka_get_watermark_offsets(client.handle, topic.name, partition, &low, &high)
            let range = first ?? (max(0, low), max(0, high))
            first = range
            if stable >= range.end { return range }
            open = stable
            guard ContinuousClock.now < deadline else { throw Self.openTransaction(topic, stable) }
            guard client.keepWaiting() else { throw .stopped }
            client.serve(.milliseconds(50))
        }
    }

    private static func openTransaction(_ topic: Topic, _ offset: Int64) -> KafkaError {
        KafkaError(
            code: RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS.rawValue,
            text: "topic \(topic.name): an open transaction of another producer hides what was"
                + " written from offset \(offset) on",
            kind: .openTransaction,
            isRetriable: true
        )
    }
}

extension TailRecord {
    init(_ message: rd_kafka_message_t) {
        offset = message.offset
        key = Array(UnsafeRawBufferPointer(start: message.key, count: message.key_len))
        value = message.payload.map {
            Array(UnsafeRawBufferPointer(start: $0, count: message.len))
        }
    }
}
#endif
