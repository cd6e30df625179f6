// SPDX-License-Identifier: Apache-2.0
//
// Changes → records → librdkafka's queue. The hot loop of this room: per record there is no
// allocation, no reference counting and no look-up. A slice of a batch is encoded into one buffer,
// then handed over record by record; the buffer is small, since librdkafka copies.

#if Kafka
import ChangeModel
import Glibc
import LibRDKafka
import Sink

/// Encodes changes and hands them to a producer.
final class RecordSender {
    /// Bytes of records that are encoded before they are handed over.
    private static let sliceBytes = 128 << 10
    /// Bytes of memory that an emptied buffer keeps; more was for a huge row.
    private static let keptBytes = 2 << 20
    /// What a record needs in a batch of its own besides key, value and header.
    static let overheadBytes = 128

    private let options: KafkaSinkOptions
    private let errors: KafkaErrors
    private var encoder: ChangeRecordEncoder
    private var buffer = OutputBuffer()
    private var records: [EventRecord] = []
    /// Where the relations' records go.
    let routes = TopicRoutes()
    /// Records that were handed over.
    private(set) var recordsWritten: UInt64 = 0
    /// Their bytes.
    private(set) var bytesWritten: UInt64 = 0
    /// Records that went to the dead letters instead.
    private(set) var deadLetters: UInt64 = 0

    init(_ options: KafkaSinkOptions, errors: KafkaErrors) {
        self.options = options
        self.errors = errors
        encoder = ChangeRecordEncoder(
            task: options.task,
            database: options.database,
            version: options.version,
            format: options.format,
            form: RecordForm(
                topicPrefix: options.topicPrefix,
                schemas: options.schemas,
                tombstones: options.tombstones
            )
        )
    }

    /// Hands over the records of the next changes, one at least; gives where the rest begins.
    ///
    /// The routes of the batch must have been selected. Waits while the queue is full.
    func send(
        _ batch: borrowing ChangeBatch,
        _ range: Range<Int>,
        at now: PostgresTime,
        to session: ProducerSession
    ) throws -> Int {
        buffer.removeAll(keepingUpTo: Self.keptBytes)
        records.removeAll(keepingCapacity: true)
        let next = try encoder.encode(
            batch,
            changes: range,
            at: now,
            into: &buffer,
            records: &records,
            upTo: Self.sliceBytes
        )
        let routes = routes.current
        let producer = session.producer
        var sent = 0
        try buffer.withUnsafeBytes { bytes in
            for record in records {
                let change = batch.changes[record.change]
                let route = routes[Int(change.relation)]
                let parts = RecordParts(record, in: bytes)
                guard parts.count + Self.overheadBytes <= route.recordLimit,
                    try hand(parts, of: record, change, route, to: producer, session)
                else {
                    try refuse(parts, of: change, batch, limit: route.recordLimit, to: session, now)
                    continue
                }
                sent += parts.count
            }
        }
        recordsWritten += UInt64(records.count)
        bytesWritten += UInt64(sent)
        return next
    }

    /// False where the record is too large for librdkafka.
    @inline(__always)
    private func hand(
        _ parts: RecordParts,
        of record: EventRecord,
        _ change: Change,
        _ route: Route,
        to producer: Producer,
        _ session: ProducerSession
    ) throws -> Bool {
        let partition = Self.partition(parts, isKeyless: record.isKeyless, route)
        var waiting: ContinuousClock.Instant?
        while true {
            let outcome = route.topic._withUnsafeGuaranteedRef { topic in
                producer.produce(
                    to: topic,
                    partition: partition,
                    key: parts.key,
                    value: parts.value,
                    header: parts.header,
                    tag: change.lsn.rawValue
                )
            }
            switch outcome {
            case .queued: return true
            case .queueFull: try session.waitForRoom(since: &waiting)
            case .tooLarge: return false
            case .failed(let error):
                let topic = route.topic.takeUnretainedValue().name
                throw session.refusal(of: error, "writing to \(topic)", .topic(topic))
            }
        }
    }

    /// As Java's producer chooses for a key; a record without key, a TRUNCATE, goes to the first.
    @inline(__always)
    private static func partition(
        _ parts: RecordParts,
        isKeyless: Bool,
        _ route: Route
    ) -> Int32 {
        guard route.partitions > 1, let key = parts.key, !(isKeyless && route.keepsKeylessOrder)
        else { return 0 }
        return Murmur2.partition(key, count: route.partitions)
    }

    // MARK: - Records that are not of a table

    /// Hands over a record of the sink's own to partition 0; waits while the queue is full.
    func send(
        key: [UInt8]?,
        value: [UInt8]?,
        to name: String,
        tag: LSN,
        by session: ProducerSession
    ) throws {
        let topic: Topic
        do throws(KafkaError) {
            topic = try routes.topic(name, of: session.producer)
        } catch {
            throw errors.error(error, while: "writing to \(name)", on: .topic(name))
        }
        var waiting: ContinuousClock.Instant?
        while true {
            let outcome = Self.withBytes(key) { key in
                Self.withBytes(value) { value in
                    session.producer.produce(
                        to: topic,
                        partition: 0,
                        key: key,
                        value: value,
                        tag: tag.rawValue
                    )
                }
            }
            switch outcome {
            case .queued:
                bytesWritten += UInt64((key?.count ?? 0) + (value?.count ?? 0))
                return
            case .queueFull: try session.waitForRoom(since: &waiting)
            case .tooLarge:
                throw KafkaErrors.callOrder("made a record for \(name) that is too large")
            case .failed(let error):
                throw session.refusal(of: error, "writing to \(name)", .topic(name))
            }
        }
    }

    private static func withBytes<Result>(
        _ bytes: [UInt8]?,
        _ body: (UnsafeRawBufferPointer?) -> Result
    ) -> Result {
        guard let bytes else { return body(nil) }
        return bytes.withUnsafeBytes(body)
    }

    // MARK: - Records that are too large

    private func refuse(
        _ parts: RecordParts,
        of change: Change,
        _ batch: borrowing ChangeBatch,
        limit: Int,
        to session: ProducerSession,
        _ now: PostgresTime
    ) throws {
        let relation = batch.relations[Int(change.relation)].relation
        let transaction = batch.transactions[Int(change.transaction)]
        let record = OversizeRecord(
            task: options.task,
            table: relation.qualifiedName,
            schemaName: relation.schema,
            tableName: relation.name,
            topic: errors.names.table(relation),
            kind: change.kind,
            key: parts.key.map { Array($0) },
            lsn: change.lsn,
            commitLSN: transaction.commitLSN,
            ordinal: change.ordinal,
            xid: transaction.xid,
            bytes: parts.count + Self.overheadBytes,
            limit: limit
        )
        guard options.onOversize == .deadLetter else { throw errors.tooLarge(record) }
        try send(
            key: record.letterKey,
            value: record.letter(at: now),
            to: errors.names.deadLetter,
            tag: change.lsn,
            by: session
        )
        deadLetters += 1
    }
}

/// The bytes of a record, in the buffer that they were encoded into.
private struct RecordParts {
    let key: UnsafeRawBufferPointer?
    let value: UnsafeRawBufferPointer?
    let header: (name: StaticString, value: UnsafeRawBufferPointer)?

    @inline(__always)
    init(_ record: EventRecord, in bytes: UnsafeRawBufferPointer) {
        key = record.key.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
        value = record.value.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
        switch record.header {
        case .none: header = nil
        case .newKey(let range):
            header = ("__debezium.newkey", UnsafeRawBufferPointer(rebasing: bytes[range]))
        case .oldKey(let range):
            header = ("__debezium.oldkey", UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
    }

    @inline(__always)
    var count: Int { (key?.count ?? 0) + (value?.count ?? 0) + (header?.value.count ?? 0) }
}

extension PostgresTime {
    /// The system clock's moment.
    static var now: PostgresTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return PostgresTime(
            unixMicroseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
        )
    }
}
#endif
