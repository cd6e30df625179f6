// SPDX-License-Identifier: Apache-2.0
//
// The brokers' part of `walrelay check`: can they be talked to, are the topics there or would they
// be made, and what of it may cause trouble. Asks and changes nothing: no record is written, no
// topic made, no transactional id taken over.

#if Kafka
public import ChangeModel
import LibRDKafka
import Logging

/// The check of a Kafka cluster.
public enum KafkaCheck {
    /// The findings say all there is to say.
    private static let silent = Logger(label: "walrelay.check") { _ in SwiftLogNoOpLogHandler() }

    /// What there is to say of a task that takes these relations.
    ///
    /// `appliesTruncate` is whether a TRUNCATE is handed to the sink.
    /// Whatever keeps the brokers from being asked is a finding too, the last one. Blocks, for
    /// about a minute at most.
    public static func findings(
        _ options: KafkaSinkOptions,
        relations: [Relation],
        appliesTruncate: Bool = false
    ) -> [Finding] {
        var findings: [Finding] = []
        do {
            let properties = try ClientProperties(options)
            let errors = KafkaErrors(options)
            let topics = Topics(options, errors: errors, log: silent)
            try judge(properties, errors)
            let admin = try topics.attempt("starting librdkafka") { () throws(KafkaError) in
                try Admin(properties.plain, logger: silent)
            }
            let cluster = try topics.attempt("asking the brokers") { () throws(KafkaError) in
                try admin.describe(topics: [], timeout: Topics.answerLimit)
            }
            findings += brokers(cluster, options)
            findings.append(producing(options, properties))
            let stored = try checkpoint(options, properties, topics, admin)
            findings.append(standing(stored, in: topics.names))
            findings += keyless(relations)
            findings += try topics.findings(
                relations,
                admin: admin,
                triesMaking: true,
                remembered: stored?.partitions ?? [:],
                appliesTruncate: appliesTruncate
            )
            if let user = errors.user { findings.append(rights(of: user, errors)) }
        } catch let error as WalrelayError {
            findings.append(
                Finding(
                    error.code,
                    .failed,
                    subject: "brokers",
                    found: error.message,
                    mend: error.hint
                )
            )
        } catch {
            findings.append(Finding("sink.kafka", .failed, subject: "brokers", found: "\(error)"))
        }
        return findings
    }

    /// Has librdkafka look at all properties together, files among them, without a connection.
    private static func judge(
        _ properties: ClientProperties,
        _ errors: KafkaErrors
    ) throws(WalrelayError) {
        var unconnected = properties.producer(batchLimit: nil)
        unconnected["bootstrap.servers"] = nil
        unconnected["metadata.broker.list"] = nil
        do throws(KafkaError) {
            _ = try Producer(unconnected, logger: silent)
        } catch {
            throw errors.error(error, while: "reading sink.kafka.properties", on: .cluster)
        }
    }

    private static func brokers(
        _ cluster: ClusterDescription,
        _ options: KafkaSinkOptions
    ) -> [Finding] {
        let names = cluster.brokers.sorted()
        let secured = options.properties["security.protocol"]?.lowercased() ?? "plaintext"
        var findings = [
            Finding(
                "kafka.brokers",
                .ok,
                subject: "brokers",
                found: "\(Prose.list(names)) over \(secured)"
            )
        ]
        if names.count == 1 {
            findings.append(
                Finding(
                    "kafka.single_broker",
                    .warning,
                    subject: "brokers",
                    found: "there is one broker: while it is away the task waits, and what it "
                        + "loses is lost"
                )
            )
        }
        if secured.hasSuffix("plaintext"), !names.allSatisfy(isLoopback) {
            findings.append(
                Finding(
                    "kafka.plaintext",
                    .warning,
                    subject: "security.protocol",
                    found: "\(secured): rows cross the network for everybody to read and change",
                    mend: "set security.protocol: \(secured == "plaintext" ? "ssl" : "sasl_ssl") "
                        + "in sink.kafka.properties, with the port that the brokers have for it"
                )
            )
        }
        return findings
    }

    private static func isLoopback(_ broker: String) -> Bool {
        ["127.", "localhost:", "::1:", "[::1]:"].contains(where: broker.hasPrefix)
    }

    private static func producing(
        _ options: KafkaSinkOptions,
        _ properties: ClientProperties
    ) -> Finding {
        guard let transactionalID = properties.transactionalID else {
            return Finding(
                "kafka.idempotent",
                .ok,
                subject: "transactional",
                found: "false: at least once; after a crash records may come again, and "
                    + "source.sequence tells"
            )
        }
        return Finding(
            "kafka.transactions",
            .ok,
            subject: "transactional.id",
            found: "\(transactionalID): exactly once for consumers with "
                + "isolation.level=read_committed"
        )
    }

    /// The task's checkpoint, read as a run would read it; `nil` where there is none to see.
    ///
    /// Where a transaction of a producer hides it, that is an error here and not ended as a run
    /// does it.
    private static func checkpoint(
        _ options: KafkaSinkOptions,
        _ properties: ClientProperties,
        _ topics: Topics,
        _ admin: Admin
    ) throws -> StoredCheckpoint? {
        let there = try topics.attempt("asking for the topics") { () throws(KafkaError) in
            try topics.describe([topics.checkpointTopic], admin: admin).topics
        }
        // What keeps a topic from being read is told with all the others.
        guard there.allSatisfy({ $0.error == nil }) else { return nil }
        let log = CheckpointLog(task: options.task, topic: topics.names.checkpoint)
        do {
            let tail = try TopicTail(properties.plain, logger: silent)
            return try log.load(from: tail, within: Topics.answerLimit)
        } catch let error as KafkaError {
            throw topics.errors.error(
                error,
                while: "reading the checkpoint",
                on: .topic(topics.names.checkpoint)
            )
        } catch let error as MalformedCheckpoint {
            throw topics.errors.malformed(options.task, error.reason)
        }
    }

    private static func standing(_ stored: StoredCheckpoint?, in names: TopicNames) -> Finding {
        let found: String
        if let checkpoint = stored?.checkpoint {
            let isRunning = checkpoint.snapshot == .running
            found =
                "the task is at \(checkpoint.position)" + (isRunning ? ", in its snapshot" : "")
        } else {
            found = "none that can be seen in \(names.checkpoint): the task begins"
        }
        return Finding("kafka.checkpoint", .ok, subject: "checkpoint", found: found)
    }

    /// Tables whose records have no key of the row.
    private static func keyless(_ relations: [Relation]) -> [Finding] {
        relations.filter(\.eventKey.isEmpty).map { relation in
            let isFull = relation.replicaIdentity == .full
            let order =
                isFull
                ? "; to keep their order all go into one partition, and which row an update means "
                    + "only its before tells" : ""
            return Finding(
                "table.keyless",
                isFull ? .warning : .ok,
                subject: relation.qualifiedName,
                found: "has no key: each record's key is its place in the stream\(order)",
                mend: isFull
                    ? "give it a primary key, or a unique index for REPLICA IDENTITY USING INDEX"
                    : ""
            )
        }
    }

    /// What cannot be asked without trying it.
    private static func rights(of user: String, _ errors: KafkaErrors) -> Finding {
        Finding(
            "kafka.rights",
            .ok,
            subject: "rights",
            found: "whether \(user) may write cannot be asked without writing; it takes: "
                + errors.accessStatement
        )
    }
}
#endif
