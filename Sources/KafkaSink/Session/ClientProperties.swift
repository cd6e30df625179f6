// SPDX-License-Identifier: Apache-2.0
//
// From the sink's options to what librdkafka is told. What the operator gives goes over what is
// chosen here, except where it would break a promise: that is an error which names the property
// and never its value.

#if Kafka
import ChangeModel

/// The properties of the sink's clients.
struct ClientProperties {
    /// For the producer.
    let producer: [String: String]
    /// For a client that reads or asks and never writes.
    let plain: [String: String]
    /// `nil` where data and checkpoint are not in one transaction.
    let transactionalID: String?
    /// How long a broker leaves a transaction open.
    let transactionTimeout: Duration
    /// The largest record that the client takes, in bytes.
    let recordLimit: Int

    /// About what fits into the daemon's share of memory, with librdkafka's own beside it.
    private static let queueBytes = 16 << 20

    /// Throws `sink.property_refused` and `sink.property_malformed`.
    init(_ options: KafkaSinkOptions) throws(WalrelayError) {
        let given = options.properties
        try Self.refuseWeaker(given)
        plain = given.filter { !Self.isForProducer($0.key) }
        let timeout = try Self.number("transaction.timeout.ms", in: given) ?? 60_000
        transactionTimeout = .milliseconds(timeout)
        recordLimit = try Self.number("message.max.bytes", in: given) ?? 1_000_000

        var chosen = given
        func choose(_ name: String, _ value: String) {
            if chosen[name] == nil { chosen[name] = value }
        }
        choose("enable.idempotence", "true")
        if chosen["request.required.acks"] == nil { choose("acks", "all") }
        if options.transactional {
            choose("transactional.id", options.transactionalID)
            choose("transaction.timeout.ms", "\(timeout)")
        } else {
            guard given["transactional.id"] == nil else {
                throw Self.refused(
                    "transactional.id",
                    "it has no meaning where sink.kafka.transactional is false"
                )
            }
            // What comes behind a record that is lost is not delivered either: then a reader may
            // take the highest sequence of a partition as what it has. Of records that have timed
            // out librdkafka does not promise that: none does, what waits too long is given up with
            // all that is behind it, by closing the producer.
            for (name, needed) in [
                ("enable.gapless.guarantee", "true"), ("message.timeout.ms", "0"),
                ("delivery.timeout.ms", "0"),
            ] where given[name].map({ $0 != needed }) ?? false {
                throw Self.refused(
                    name,
                    "it has to be \(needed) where sink.kafka.transactional is false: a record that "
                        + "fails alone would leave a gap"
                )
            }
            choose("enable.gapless.guarantee", "true")
        }
        transactionalID = chosen["transactional.id"]
        if given["delivery.timeout.ms"] == nil {
            choose("message.timeout.ms", options.transactional ? "\(timeout)" : "0")
        }
        // A record must fit into an empty queue, or it would wait for ever.
        let queue = try Self.number("queue.buffering.max.kbytes", in: given).map { $0 << 10 }
        if let queue, queue < recordLimit {
            throw Self.refused(
                "queue.buffering.max.kbytes",
                "the queue has to hold a record of message.max.bytes (\(recordLimit) bytes)"
            )
        }
        choose("queue.buffering.max.kbytes", "\(max(Self.queueBytes, recordLimit * 2) >> 10)")
        // Sending less pays for the compressing, here and on the brokers (docs/benchmarks.md).
        if chosen["compression.codec"] == nil { choose("compression.type", "lz4") }
        choose("statistics.interval.ms", "5000")
        choose("reconnect.backoff.max.ms", "2000")
        choose("client.id", "walrelay-\(options.task)")
        producer = chosen
    }

    /// The producer's properties with batches that none of the topics refuses for their size.
    func producer(batchLimit: Int?) -> [String: String] {
        // What a batch has besides its records is not counted by librdkafka in full.
        guard let batchLimit, producer["batch.size"] == nil, batchLimit < 1_000_000 + 1_024 else {
            return producer
        }
        var bounded = producer
        bounded["batch.size"] = "\(max(1, batchLimit - 1_024))"
        return bounded
    }

    // MARK: - Rules

    private static func refuseWeaker(_ given: [String: String]) throws(WalrelayError) {
        if let value = given["enable.idempotence"], value != "true" {
            throw refused("enable.idempotence", "records could be lost, doubled or disordered")
        }
        for name in ["acks", "request.required.acks"] {
            guard let value = given[name], value != "all", value != "-1" else { continue }
            throw refused(name, "a record would count as durable that a broker's end can lose")
        }
        for name in ["partitioner", "partitioner_cb", "dr_cb", "dr_msg_cb"]
        where given[name] != nil {
            throw refused(name, "the sink chooses the partitions itself")
        }
    }

    private static func refused(_ name: String, _ reason: String) -> WalrelayError {
        WalrelayError(
            "sink.property_refused",
            exit: .settings,
            "sink.kafka.properties cannot have \(name) as it is set: \(reason)",
            hint: "take \(name) out of sink.kafka.properties"
        )
    }

    private static func number(
        _ name: String,
        in given: [String: String]
    ) throws(WalrelayError) -> Int? {
        guard let text = given[name] else { return nil }
        // librdkafka's own limits are narrower; it says so itself.
        if let number = Int(text), (1...Int(Int32.max)).contains(number) { return number }
        throw WalrelayError(
            "sink.property_malformed",
            exit: .settings,
            "\(name) in sink.kafka.properties is not a whole number above 0",
            hint: "set it to a number or take it out"
        )
    }

    /// Properties that a client which does not produce would complain of.
    private static func isForProducer(_ name: String) -> Bool {
        producerOnly.contains(name) || name.hasPrefix("queue.buffering.")
            || name.hasPrefix("transaction")
    }

    private static let producerOnly: Set = [
        "enable.idempotence", "enable.gapless.guarantee", "acks", "request.required.acks",
        "linger.ms", "batch.size", "batch.num.messages", "compression.type", "compression.codec",
        "compression.level", "message.timeout.ms", "delivery.timeout.ms", "request.timeout.ms",
        "message.send.max.retries", "retries", "retry.backoff.ms", "sticky.partitioning.linger.ms",
        "delivery.report.only.error", "produce.offset.report", "queuing.strategy",
        "msg_order_cmp", "statistics.interval.ms", "client.id",
    ]
}
#endif
