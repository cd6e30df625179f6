// SPDX-License-Identifier: Apache-2.0
//
// Reading one partition from an offset on, up to its end.

#if Kafka
import CRDKafka

/// A reading that ends when it goes out of scope; a partition has one at a time.
struct PartitionReading: ~Copyable {
    private let topic: Topic
    private let partition: Int32
    private let client: Client
    private let queue: OpaquePointer
    private let began: Bool

    init(of topic: Topic, _ partition: Int32, from offset: Int64, _ client: Client) {
        (self.topic, self.partition, self.client) = (topic, partition, client)
        queue = rd_kafka_queue_new(client.handle)
        began = rd_kafka_consume_start_queue(topic.handle, partition, offset, queue) == 0
    }

    deinit {
        if began { rd_kafka_consume_stop(topic.handle, partition) }
        rd_kafka_queue_destroy(queue)
    }

    /// The next record, which the caller destroys; `nil` at `end` or where no more is committed.
    ///
    /// A record that is not destroyed would keep librdkafka from ending.
    func next(
        before end: Int64,
        _ deadline: ContinuousClock.Instant
    ) throws(KafkaError) -> UnsafeMutablePointer<rd_kafka_message_t>? {
        let message = try awaitMessage(deadline)
        if message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR, message.pointee.offset < end {
            return message
        }
        rd_kafka_message_destroy(message)
        return nil
    }

    /// Where the next record is or would be, for a reading that began at the end.
    func end(_ deadline: ContinuousClock.Instant) throws(KafkaError) -> Int64 {
        let message = try awaitMessage(deadline)
        defer { rd_kafka_message_destroy(message) }
        return message.pointee.offset
    }

    /// A record or the end of the partition; any other error is thrown or waited for.
    private func awaitMessage(
        _ deadline: ContinuousClock.Instant
    ) throws(KafkaError) -> UnsafeMutablePointer<rd_kafka_message_t> {
        guard began else {
            throw KafkaError(rd_kafka_last_error(), while: "reading topic \(topic.name)")
        }
        while true {
            let message = rd_kafka_consume_queue(queue, Client.slice.kafkaMilliseconds)
            client.serve()
            if let message {
                let code = message.pointee.err
                if code == RD_KAFKA_RESP_ERR_NO_ERROR
                    || code == RD_KAFKA_RESP_ERR__PARTITION_EOF
                {
                    client.forgetLastError()
                    return message
                }
                rd_kafka_message_destroy(message)
                let error = KafkaError(code, while: "reading topic \(topic.name)")
                guard client.note(error).isRetriable else { throw error }
            }
            try client.goOnWaiting(until: deadline, "reading topic \(topic.name)")
        }
    }
}
#endif
