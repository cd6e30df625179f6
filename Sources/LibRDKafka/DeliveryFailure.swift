// SPDX-License-Identifier: Apache-2.0
//
// Records that librdkafka had taken and could not deliver.

#if Kafka
import CRDKafka

/// One record that was not delivered.
public struct DeliveryFailure: Sendable, Equatable {
    /// The topic's name.
    public var topic: String
    /// The partition that the record was produced to.
    public var partition: Int32
    /// The first 256 bytes of the key; `nil` for a record without key.
    public var key: [UInt8]?
    /// The tag given to `Producer.produce`.
    public var tag: UInt64
    /// Why.
    public var error: KafkaError

    init(_ message: rd_kafka_message_t) {
        topic = message.rkt.map { String(cString: rd_kafka_topic_name($0)) } ?? ""
        partition = message.partition
        key = message.key.map {
            Array(UnsafeRawBufferPointer(start: $0, count: min(message.key_len, Client.keyLimit)))
        }
        tag = UInt64(UInt(bitPattern: message._private))
        error = KafkaError(message.err)
    }
}

/// The records that were not delivered since the last time they were asked for.
public struct DeliveryFailures: Sendable, Equatable {
    /// The first of them, 64 at most.
    public private(set) var first: [DeliveryFailure] = []
    /// How many there were in all.
    public private(set) var count = 0

    /// None.
    public init() {}

    /// Whether all was delivered.
    public var isEmpty: Bool { count == 0 }

    mutating func add(_ failure: @autoclosure () -> DeliveryFailure) {
        count += 1
        if first.count < Client.failureLimit { first.append(failure()) }
    }
}
#endif
