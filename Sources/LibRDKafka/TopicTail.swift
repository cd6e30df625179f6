// SPDX-License-Identifier: Apache-2.0
//
// The newest records of a compacted topic, read from its end backwards: first a few, then twice
// as many before them, and so on. Only committed records count, and all that was written when the
// reading began: an open transaction before that point is waited for, because what it hides may
// be newer than all that is visible. No consumer group takes part.

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

/// A reader of the ends of topics. Belongs to one thread.
public final class TopicTail {
    let client: Client

    /// Starts librdkafka for reading; connects to nothing yet.
    ///
    /// Takes a producer's properties. Throws `KafkaError` of kind `badProperty`.
    public init(
        _ properties: [String: String],
        logger: Logger,
        keepWaiting: @escaping () -> Bool = { true }
    ) throws(KafkaError) {
        client = try Client(
            RD_KAFKA_CONSUMER,
            properties,
            defaults: [:],
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
        throw KafkaError(RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED, while: "topic \(topic)")
    }
}
#endif
