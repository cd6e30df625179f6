// SPDX-License-Identifier: Apache-2.0
//
// A producer of librdkafka. It takes a copy of every record, so a buffer may be used again at
// once; librdkafka's threads send. Nothing here is allocated per record. Belongs to one thread,
// which has to call `poll` now and then: failures, logs and statistics come from there only.

#if Kafka
import CRDKafka
public import Logging

/// A topic that a producer knows; to be kept and used again, not made for each record.
///
/// Keeps the producer's connections open for as long as it lives.
public final class Topic {
    /// The name.
    public let name: String
    let handle: OpaquePointer
    private let client: Client

    init(_ name: String, of client: Client) throws(KafkaError) {
        guard let handle = rd_kafka_topic_new(client.handle, name, nil) else {
            throw KafkaError(rd_kafka_last_error(), while: "topic \(name)")
        }
        (self.name, self.handle, self.client) = (name, handle, client)
    }

    deinit { rd_kafka_topic_destroy(handle) }
}

/// What became of a record that was handed to a producer.
public enum ProduceOutcome: Sendable, Equatable {
    /// librdkafka has it, delivers it and reports a failure.
    case queued
    /// The queue is full: `poll` and try again.
    case queueFull
    /// The record is larger than `message.max.bytes`; it was not taken.
    case tooLarge
    /// It was not taken for another reason.
    case failed(KafkaError)
}

/// A connection to a cluster for writing.
public final class Producer {
    let client: Client

    /// Starts librdkafka; blocks for some milliseconds and connects to nothing yet.
    ///
    /// Throws `KafkaError` of kind `badProperty`. Missing topics are not made by asking for them,
    /// only failures are reported, and statistics come every 5 s unless the properties say
    /// otherwise. Every call that waits asks `keepWaiting` several times a second and throws an
    /// error of kind `interrupted` once that is false.
    public init(
        _ properties: [String: String],
        logger: Logger,
        keepWaiting: @escaping () -> Bool = { true }
    ) throws(KafkaError) {
        client = try Client(
            RD_KAFKA_PRODUCER,
            properties,
            defaults: [
                "allow.auto.create.topics": "false",
                "delivery.report.only.error": "true",
                "statistics.interval.ms": "5000",
            ],
            warnsOfProperties: true,
            logger: logger,
            keepWaiting: keepWaiting
        )
    }

    /// A handle of a topic; asks no broker, so the topic need not exist.
    public func topic(_ name: String) throws(KafkaError) -> Topic {
        try Topic(name, of: client)
    }

    /// Hands a record to librdkafka, which copies it; never blocks.
    ///
    /// A `nil` value is a tombstone. `tag` comes back with a failure. Records of one partition are
    /// delivered in the order of the calls as long as the producer is idempotent. After a broker
    /// has said that a topic is unknown or not allowed, records for it fail here at once until
    /// `partitionCount` or librdkafka's own metadata has seen it mended.
    public func produce(
        to topic: Topic,
        partition: Int32,
        key: UnsafeRawBufferPointer?,
        value: UnsafeRawBufferPointer?,
        header: (name: StaticString, value: UnsafeRawBufferPointer)? = nil,
        tag: UInt64
    ) -> ProduceOutcome {
        if let header {
            return produce(to: topic, partition, key, value, header.name, header.value, tag)
        }
        let (keyBytes, keyCount) = Self.bytes(key)
        let (valueBytes, valueCount) = Self.bytes(value)
        let result = rd_kafka_produce(
            topic.handle,
            partition,
            RD_KAFKA_MSG_F_COPY,
            valueBytes,
            valueCount,
            keyBytes,
            keyCount,
            UnsafeMutableRawPointer(bitPattern: UInt(tag))
        )
        return result == 0 ? .queued : outcome(of: rd_kafka_last_error())
    }

    private func produce(
        to topic: Topic,
        _ partition: Int32,
        _ key: UnsafeRawBufferPointer?,
        _ value: UnsafeRawBufferPointer?,
        _ headerName: StaticString,
        _ headerValue: UnsafeRawBufferPointer,
        _ tag: UInt64
    ) -> ProduceOutcome {
        withUnsafeTemporaryAllocation(of: rd_kafka_vu_t.self, capacity: 7) { fields in
            fields.initialize(repeating: rd_kafka_vu_t())
            fields[0].vtype = RD_KAFKA_VTYPE_RKT
            fields[0].u.rkt = topic.handle
            fields[1].vtype = RD_KAFKA_VTYPE_PARTITION
            fields[1].u.i32 = partition
            fields[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS
            fields[2].u.i = RD_KAFKA_MSG_F_COPY
            fields[3].vtype = RD_KAFKA_VTYPE_OPAQUE
            fields[3].u.ptr = UnsafeMutableRawPointer(bitPattern: UInt(tag))
            fields[4].vtype = RD_KAFKA_VTYPE_KEY
            (fields[4].u.mem.ptr, fields[4].u.mem.size) = Self.bytes(key)
            fields[5].vtype = RD_KAFKA_VTYPE_VALUE
            (fields[5].u.mem.ptr, fields[5].u.mem.size) = Self.bytes(value)
            fields[6].vtype = RD_KAFKA_VTYPE_HEADER
            headerName.withUTF8Buffer { name in
                // A static string ends with a NUL.
                fields[6].u.header.name = UnsafeRawPointer(name.baseAddress)?
                    .assumingMemoryBound(to: CChar.self)
            }
            fields[6].u.header.val = Self.bytes(headerValue).0.map { UnsafeRawPointer($0) }
            fields[6].u.header.size = headerValue.count
            guard let error = rd_kafka_produceva(client.handle, fields.baseAddress, fields.count)
            else { return .queued }
            let code = rd_kafka_error_code(error)
            rd_kafka_error_destroy(error)
            return outcome(of: code)
        }
    }

    /// librdkafka takes a null pointer for "no value", so that an empty one needs some address.
    @inline(__always)
    private static func bytes(
        _ buffer: UnsafeRawBufferPointer?
    ) -> (UnsafeMutableRawPointer?, Int) {
        guard let buffer else { return (nil, 0) }
        let address = buffer.baseAddress ?? UnsafeRawPointer(bitPattern: 1)
        return (UnsafeMutableRawPointer(mutating: address), buffer.count)
    }

    private func outcome(of code: rd_kafka_resp_err_t) -> ProduceOutcome {
        switch code {
        case RD_KAFKA_RESP_ERR__QUEUE_FULL: .queueFull
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: .tooLarge
        default: .failed(client.fatalError ?? KafkaError(code))
        }
    }

    /// Serves what librdkafka reported: logs, statistics, errors, failed deliveries.
    ///
    /// Blocks for at most `timeout`, and only as long as there is nothing to serve.
    public func poll(_ timeout: Duration = .zero) { client.serve(timeout) }

    /// The failed deliveries since the last call; what an abort threw away is not among them.
    public func takeFailures() -> DeliveryFailures {
        defer { client.failures = DeliveryFailures() }
        return client.failures
    }

    /// Waits until every record is delivered or has failed; false where `timeout` came first.
    ///
    /// Records are sent at once, whatever `linger.ms` says. Failures are then in `takeFailures`.
    public func flush(timeout: Duration) throws(KafkaError) -> Bool {
        let deadline = ContinuousClock.now + timeout
        while true {
            let left = max(.zero, min(deadline - .now, Client.slice))
            let isDone =
                rd_kafka_flush(client.handle, left.kafkaMilliseconds) == RD_KAFKA_RESP_ERR_NO_ERROR
            client.serve()
            if isDone {
                if client.failures.isEmpty { client.forgetLastError() }
                return true
            }
            if deadline <= .now { return false }
            guard client.keepWaiting() else { throw .stopped }
        }
    }

    /// Records that are not delivered yet, and events that are not served.
    public var queued: Int { Int(rd_kafka_outq_len(client.handle)) }

    /// librdkafka's own figures, at most one `statistics.interval.ms` old.
    public var statistics: ClientStatistics { client.statistics }

    /// What a broker or the connection last complained of since something last succeeded.
    ///
    /// Says why a call timed out, such as `Connection refused`.
    public var lastError: KafkaError? { client.lastError }

    /// The error after which only a new producer can go on, if there was one.
    public var fatalError: KafkaError? { client.fatalError }
}
#endif
