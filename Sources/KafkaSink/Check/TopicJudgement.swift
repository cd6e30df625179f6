// SPDX-License-Identifier: Apache-2.0
//
// What is good and what is not about one topic of a task, from what the cluster says of it. Pure,
// so that clusters nobody has at hand can be judged in tests.

#if Kafka
import ChangeModel
import LibRDKafka

/// Judges the topics of one task.
struct TopicJudgement {
    let options: KafkaSinkOptions
    let errors: KafkaErrors
    /// The brokers of the cluster.
    let brokerCount: Int
    /// The topics of tables whose rows have no key.
    let keyless: Set<String>
    /// Over how many partitions of a topic its keys are spread already.
    let remembered: [String: Int]
    /// Whether a TRUNCATE becomes a record, which has no key.
    let appliesTruncate: Bool

    /// What is to be said of a topic that is there: how it is, then each trouble.
    ///
    /// `settings` are `nil` where we may not ask for them.
    func findings(
        of needed: NeededTopic,
        there: TopicDescription,
        settings: [String: String]?
    ) -> [Finding] {
        let faults =
            replication(there, settings ?? [:]) + cleanup(needed, settings?["cleanup.policy"])
            + spread(there)
        guard !faults.contains(where: { $0.level == .failed }) else { return faults }
        return [
            Finding("topic.present", .ok, subject: needed.name, found: text(there, settings))
        ] + faults
    }

    /// What is to be said of a topic that is not there.
    ///
    /// `refusal` is why the brokers would not make it; `nil` where they would, or were not asked.
    func finding(ofMissing needed: NeededTopic, refusal: KafkaError?) -> Finding {
        let topic = needed.topic
        let statement = errors.creationStatement(
            of: topic.name,
            partitions: topic.partitions,
            replicationFactor: topic.replicationFactor,
            config: topic.configuration
        )
        guard options.createTopics else {
            return Finding(
                "topic.missing",
                .failed,
                subject: topic.name,
                found: "is missing, and sink.kafka.createTopics is false",
                mend: statement
            )
        }
        if let refusal {
            return Finding(
                refusal.kind == .authorization ? "topic.unauthorized" : "topic.refused",
                .failed,
                subject: topic.name,
                found: "is missing and would not be made: \(refusal)",
                mend: refusal.kind == .authorization
                    ? errors.accessStatement
                    : "set partitions, replicationFactor or topicConfig of sink.kafka, or make it "
                        + "by hand: \(statement)"
            )
        }
        let partitions = topic.partitions.map { Prose.count($0, "partition") }
        let replicas = topic.replicationFactor.map { Prose.count($0, "replica") }
        let known = [partitions, replicas].compactMap { $0 }.joined(separator: " and ")
        return Finding(
            "topic.to_be_made",
            .ok,
            subject: topic.name,
            found: "is missing and will be made with "
                + (known.isEmpty ? "the brokers' defaults" : known)
        )
    }

    /// What is to be said of a topic that we may not see, or that cannot be used just now.
    func finding(ofUnusable there: TopicDescription) -> Finding {
        let isDenied = there.error?.kind == .authorization
        return Finding(
            isDenied ? "topic.unauthorized" : "topic.unusable",
            there.error?.kind == .unreachable ? .warning : .failed,
            subject: there.name,
            found: there.error.map { "\($0)" } ?? "cannot be used",
            mend: isDenied ? errors.accessStatement : ""
        )
    }

    private func replication(
        _ there: TopicDescription,
        _ settings: [String: String]
    ) -> [Finding] {
        let replicas = there.replicaCount
        let least = settings["min.insync.replicas"].flatMap { Int($0) }
        if let least, least > replicas {
            return [
                Finding(
                    "topic.insync",
                    .failed,
                    subject: there.name,
                    found: "takes no record: it has \(Prose.count(replicas, "replica")), and "
                        + "min.insync.replicas is \(least)",
                    mend: alter(there.name, "min.insync.replicas=\(replicas)")
                )
            ]
        }
        // Of a cluster of one broker the whole is said once.
        guard brokerCount > 1 else { return [] }
        if replicas == 1 {
            return [
                Finding(
                    "topic.replicas",
                    .warning,
                    subject: there.name,
                    found: "has one replica: while its broker is away the task waits, and what the "
                        + "broker loses is lost",
                    mend: "kafka-reassign-partitions, to three replicas a partition"
                )
            ]
        }
        guard least == 1 else { return [] }
        return [
            Finding(
                "topic.insync",
                .warning,
                subject: there.name,
                found: "min.insync.replicas is 1: a record may count as written while one broker "
                    + "alone has it",
                mend: alter(there.name, "min.insync.replicas=2")
            )
        ]
    }

    /// A key stays where its former changes are, so new partitions stay empty.
    private func spread(_ there: TopicDescription) -> [Finding] {
        guard let count = remembered[there.name], count < there.partitionCount else { return [] }
        return [
            Finding(
                "topic.partitions_unused",
                .warning,
                subject: there.name,
                found: "was given more partitions: the task's keys stay in the first \(count)",
                mend: "to spread them, walrelay teardown, and a new snapshot into a topic that is "
                    + "made anew"
            )
        ]
    }

    private func cleanup(_ needed: NeededTopic, _ policy: String?) -> [Finding] {
        guard let policy else { return [] }
        let isCompacted = policy.contains("compact")
        switch needed.purpose {
        case .checkpoint where policy != "compact":
            return [
                Finding(
                    "topic.not_compacted",
                    .failed,
                    subject: needed.name,
                    found: "has cleanup.policy=\(policy): the checkpoint would be deleted one day",
                    mend: alter(needed.name, "cleanup.policy=compact")
                )
            ]
        case .table(let table) where isCompacted && keyless.contains(needed.name):
            return [
                Finding(
                    "topic.compacted_keyless",
                    .warning,
                    subject: needed.name,
                    found: "is compacted, and \(table) has no key: each record has a key of its "
                        + "own, so none replaces another",
                    mend: alter(needed.name, "cleanup.policy=delete")
                )
            ]
        case .table where isCompacted && appliesTruncate:
            return [
                Finding(
                    "topic.compacted_truncate",
                    .warning,
                    subject: needed.name,
                    found: "is compacted and takes no record without a key: a TRUNCATE, which "
                        + "stream.onTruncate: apply would write there, stops the task",
                    mend: "set stream.onTruncate: stop or ignore"
                )
            ]
        case .table where isCompacted && !options.tombstones:
            return [
                Finding(
                    "topic.compacted_no_tombstones",
                    .warning,
                    subject: needed.name,
                    found: "is compacted, and sink.kafka.tombstones is false: of each deleted row "
                        + "a record stays for ever",
                    mend: "set sink.kafka.tombstones: true"
                )
            ]
        default: return []
        }
    }

    private func alter(_ topic: String, _ setting: String) -> String {
        "kafka-configs --bootstrap-server \(errors.brokers) --alter --entity-type topics "
            + "--entity-name \(topic) --add-config \(setting)"
    }

    private func text(_ there: TopicDescription, _ settings: [String: String]?) -> String {
        var parts = [
            Prose.count(there.partitionCount, "partition"),
            Prose.count(there.replicaCount, "replica"),
        ]
        guard let settings else {
            return parts.joined(separator: ", ") + "; its settings may not be asked for"
        }
        if let policy = settings["cleanup.policy"] { parts.append("cleanup.policy \(policy)") }
        if let kept = settings["retention.ms"].flatMap({ Int64($0) }),
            settings["cleanup.policy"]?.contains("delete") == true
        {
            parts.append("kept \(Self.time(kept))")
        }
        if let limit = settings["max.message.bytes"].flatMap({ Int64($0) }) {
            parts.append("max.message.bytes \(limit)")
        }
        return parts.joined(separator: ", ")
    }

    /// A retention for people: `for ever`, `7 days`, `90 minutes`.
    private static func time(_ milliseconds: Int64) -> String {
        guard milliseconds >= 0 else { return "for ever" }
        let units: [(name: String, length: Int64)] = [
            ("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000),
        ]
        for unit in units where milliseconds >= unit.length && milliseconds % unit.length == 0 {
            return Prose.count(Int(milliseconds / unit.length), unit.name)
        }
        return "\(milliseconds) ms"
    }
}
#endif
