// SPDX-License-Identifier: Apache-2.0
//
// The words of this room: what librdkafka and the brokers say becomes an error that names the
// object, and the command or setting to try next.

#if Kafka
import ChangeModel
import LibRDKafka

/// What an error may be about.
enum KafkaObject {
    /// The brokers as a whole.
    case cluster
    /// A topic.
    case topic(String)
    /// The right to write in transactions.
    case transactions
}

/// Makes `WalrelayError`s for one sink.
struct KafkaErrors {
    let names: TopicNames
    /// `host:port,…`, for messages and commands.
    let brokers: String
    let transactionalID: String?
    /// The name that the brokers know us by; `nil` where it is not in the settings.
    let user: String?

    init(_ options: KafkaSinkOptions) {
        names = TopicNames(prefix: options.topicPrefix)
        brokers =
            options.properties["bootstrap.servers"]
            ?? options.properties["metadata.broker.list"] ?? ""
        user = options.properties["sasl.username"]
        transactionalID = options.transactional ? options.transactionalID : nil
    }

    /// The error of something that was tried on an object.
    ///
    /// `lastWord` is what the connections said last: of a time-out that is the reason.
    func error(
        _ error: KafkaError,
        while what: String,
        on object: KafkaObject,
        lastWord: KafkaError? = nil
    ) -> WalrelayError {
        switch error.kind {
        case .authorization: return unauthorized(error, what, object)
        case .authentication, .tls: return refusedLogin(error, what)
        case .unknownTopic: return missingTopic(object, what)
        // A wrong protocol may be that of a proxy without its brokers: so it may mend itself too.
        case .unreachable, .wrongProtocol:
            switch lastWord?.kind {
            case .authentication, .tls: return refusedLogin(lastWord ?? error, what)
            case .authorization: return unauthorized(lastWord ?? error, what, object)
            default: return unreachable(lastWord ?? error, what)
            }
        case .fenced: return fenced(what)
        case .badProperty: return badProperty(error)
        case .unsupported:
            return WalrelayError(
                "sink.unsupported",
                exit: .prerequisite,
                "While \(what): the brokers \(brokers) do not offer it: \(error)",
                hint: "brokers from Apache Kafka 2.5 on do; see also sink.kafka.transactional"
            )
        case .openTransaction: return openTransaction(what)
        case .tooLarge, .interrupted, .other:
            return WalrelayError(
                "sink.kafka",
                exit: .unreachable,
                "While \(what): \(error)",
                hint: "see the brokers' log; what was not committed is sent again",
                isTransient: true
            )
        }
    }

    /// `kafka-acls` for all that the sink does below its prefix.
    var accessStatement: String {
        let add =
            "kafka-acls --bootstrap-server \(brokers) --add --allow-principal "
            + "'User:\(user ?? "NAME")' --resource-pattern-type prefixed"
        let topics =
            "\(add) --topic '\(names.prefix).' --operation Create --operation Describe "
            + "--operation DescribeConfigs --operation Read --operation Write"
        guard let transactionalID else { return topics }
        return "\(topics) && \(add) --transactional-id '\(transactionalID)' "
            + "--operation Describe --operation Write"
    }

    /// `kafka-topics` for a topic that is missing.
    func creationStatement(
        of topic: String,
        partitions: Int?,
        replicationFactor: Int?,
        config: [String: String]
    ) -> String {
        var statement = "kafka-topics --bootstrap-server \(brokers) --create --topic \(topic)"
        if let partitions { statement += " --partitions \(partitions)" }
        if let replicationFactor { statement += " --replication-factor \(replicationFactor)" }
        for (name, value) in config.sorted(by: { $0.key < $1.key }) {
            statement += " --config \(name)=\(value)"
        }
        return statement
    }

    // MARK: - One each

    private func unauthorized(
        _ error: KafkaError,
        _ what: String,
        _ object: KafkaObject
    ) -> WalrelayError {
        let place =
            switch object {
            case .cluster: "the cluster"
            case .topic(let name): "the topic \(name)"
            case .transactions: "the transactional id \(transactionalID ?? "")"
            }
        return WalrelayError(
            "sink.unauthorized",
            exit: .prerequisite,
            "While \(what): the brokers \(brokers) do not allow it on \(place): \(error)",
            hint: accessStatement
        )
    }

    private func refusedLogin(_ error: KafkaError, _ what: String) -> WalrelayError {
        let isTLS = error.kind == .tls
        return WalrelayError(
            isTLS ? "sink.tls_failed" : "sink.login_refused",
            exit: .prerequisite,
            "While \(what): the brokers \(brokers) cannot be talked to: \(error)",
            hint: isTLS
                ? "see security.protocol and the ssl.* of sink.kafka.properties; "
                    + "openssl s_client -connect HOST:PORT shows the broker's certificate"
                : "see security.protocol and the sasl.* of sink.kafka.properties"
        )
    }

    private func unreachable(_ error: KafkaError, _ what: String) -> WalrelayError {
        WalrelayError(
            "sink.unreachable",
            exit: .unreachable,
            "While \(what): no answer from the brokers \(brokers): \(error)",
            hint: "see that the brokers run and that the port speaks Kafka, and whether it wants "
                + "TLS or SASL (security.protocol in sink.kafka.properties)",
            isTransient: true
        )
    }

    private func missingTopic(_ object: KafkaObject, _ what: String) -> WalrelayError {
        guard case .topic(let name) = object else {
            return WalrelayError(
                "sink.topic_missing",
                exit: .unreachable,
                "While \(what): a topic or a partition is not there",
                hint: "kafka-topics --bootstrap-server \(brokers) --list",
                isTransient: true
            )
        }
        return WalrelayError(
            "sink.topic_missing",
            exit: .unreachable,
            "While \(what): the brokers \(brokers) have no topic \(name)",
            hint: creationStatement(
                of: name,
                partitions: nil,
                replicationFactor: nil,
                config: [:]
            ),
            isTransient: true
        )
    }

    private func fenced(_ what: String) -> WalrelayError {
        WalrelayError(
            "sink.fenced",
            exit: .unreachable,
            "While \(what): another producer has taken the transactional id "
                + "\(transactionalID ?? ""); what was not committed here is void",
            hint: "see that no second walrelay runs this task, and that no other task has its "
                + "transactional.id"
        )
    }

    private func badProperty(_ error: KafkaError) -> WalrelayError {
        WalrelayError(
            "sink.property_malformed",
            exit: .settings,
            "sink.kafka.properties: \(error.text)",
            hint: error.property.map { "see \($0) in librdkafka's CONFIGURATION.md" }
                ?? "see librdkafka's CONFIGURATION.md"
        )
    }

    private func openTransaction(_ what: String) -> WalrelayError {
        WalrelayError(
            "sink.transaction_open",
            exit: .unreachable,
            "While \(what): a transaction of another producer is open on it",
            hint: "kafka-transactions --bootstrap-server \(brokers) find-hanging --broker-id 0",
            isTransient: true
        )
    }

    /// The broker gave up a transaction that was open for too long.
    func timedOut(_ limit: Duration) -> WalrelayError {
        WalrelayError(
            "sink.transaction_timed_out",
            exit: .unreachable,
            "A Kafka transaction was open for longer than \(limit) and is void",
            hint: "its changes are sent again; where that comes back, set a higher "
                + "transaction.timeout.ms in sink.kafka.properties",
            isTransient: true
        )
    }

    /// A broker takes less than was known here.
    func refusedSize(_ failure: DeliveryFailure) -> WalrelayError {
        let key = failure.key.map { String(decoding: $0, as: UTF8.self) } ?? "none"
        return WalrelayError(
            "sink.record_too_large",
            exit: .refused,
            "A batch with the record of key \(key), at \(LSN(failure.tag)), is larger than "
                + "\(failure.topic) takes",
            hint: "raise max.message.bytes of the topic, or lower batch.size in "
                + "sink.kafka.properties"
        )
    }

    /// A broker takes no such record, such as one without key in a compacted topic.
    func refusedRecord(_ failure: DeliveryFailure) -> WalrelayError {
        let isKeyless = failure.key == nil
        return WalrelayError(
            "sink.record_refused",
            exit: .refused,
            "\(failure.topic) does not take "
                + (isKeyless ? "a record without key, that of a TRUNCATE" : "a record")
                + " at \(LSN(failure.tag)): \(failure.error)",
            hint: isKeyless
                ? "set cleanup.policy=delete for the topic, or stream.onTruncate: ignore"
                : "see the broker's log"
        )
    }

    func tooLarge(_ record: OversizeRecord) -> WalrelayError {
        WalrelayError(
            "sink.record_too_large",
            exit: .refused,
            "The event of \(record.table) with key \(record.keyText), at \(record.lsn) in the "
                + "transaction at \(record.commitLSN), has \(record.bytes) bytes with "
                + "its batch, and \(record.topic) takes \(record.limit)",
            hint: "raise max.message.bytes of the topic and message.max.bytes in "
                + "sink.kafka.properties, or set sink.kafka.onOversize: deadLetter"
        )
    }

    func checkpointMoved(_ task: String) -> WalrelayError {
        WalrelayError(
            "sink.checkpoint_moved",
            exit: .checkpointMismatch,
            "The checkpoint of task \(task) in \(names.checkpoint) is another than when this "
                + "session began",
            hint: "see that no second walrelay runs this task; "
                + "this one goes on from what the topic says",
            isTransient: true
        )
    }

    func malformed(_ task: String, _ reason: String) -> WalrelayError {
        WalrelayError(
            "sink.checkpoint_malformed",
            exit: .checkpointMismatch,
            "The checkpoint of task \(task) in \(names.checkpoint) cannot be read: \(reason)",
            hint: "run the walrelay that wrote it; or take a new task name, which takes a new "
                + "snapshot"
        )
    }

    func ordinalsChanged(_ partial: PartialTransaction, _ found: String) -> WalrelayError {
        WalrelayError(
            "sink.ordinals_changed",
            exit: .checkpointMismatch,
            "The topics hold the changes of the transaction at \(partial.commitLSN) up to the "
                + "\(partial.ordinal). at \(partial.lsn), and now \(found): the tables or columns "
                + "that the task takes were changed in between",
            hint: "start once more with the settings as they were, until that transaction is "
                + "past; then change them"
        )
    }

    static func callOrder(_ what: String) -> WalrelayError {
        WalrelayError("sink.call_order", exit: .internalError, "The kafka sink \(what)")
    }
}
#endif
