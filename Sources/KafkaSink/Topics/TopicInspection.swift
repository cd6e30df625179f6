// SPDX-License-Identifier: Apache-2.0
//
// Holds what a task needs against what the brokers have, and changes nothing: `inspect` refuses
// with all that failed, `walrelay check` prints every line of it.

#if Kafka
import ChangeModel
import LibRDKafka

extension Topics {
    /// What was found of the topics of a task with these tables; blocks.
    ///
    /// Throws where no broker answers.
    func findings(_ relations: [Relation], admin: Admin) throws -> [Finding] {
        var findings = names.findings(relations)
        guard findings.isEmpty else { return findings }
        let topics = needed(for: relations)
        let cluster = try attempt("asking for the topics") { () throws(KafkaError) in
            try describe(topics, admin: admin)
        }
        var present: [NeededTopic] = []
        var missing: [NeededTopic] = []
        for (needed, found) in zip(topics, cluster.topics) {
            switch found.error?.kind {
            case nil: present.append(needed)
            case .unknownTopic: missing.append(needed)
            default: findings.append(fault(found, of: needed))
            }
        }
        findings += missing.compactMap(lack)
        findings += collisions(missing: missing, among: topics)
        findings += replication(missing, brokers: cluster.brokers.count)
        let settings = try attempt("asking for the settings of topics") { () throws(KafkaError) in
            try configurations(of: present, admin: admin)
        }
        findings += present.map { self.settings(settings[$0.name], of: $0) }
        return findings
    }

    private func fault(_ found: TopicDescription, of needed: NeededTopic) -> Finding {
        let error = found.error
        return Finding(
            error?.kind == .authorization ? "topic.unauthorized" : "topic.unusable",
            error?.kind == .unreachable ? .warning : .failed,
            subject: needed.name,
            found: error.map { "\($0)" } ?? "",
            mend: error?.kind == .authorization ? errors.accessStatement : ""
        )
    }

    private func lack(_ needed: NeededTopic) -> Finding? {
        guard !options.createTopics else {
            return Finding(
                "topic.to_be_made",
                .ok,
                subject: needed.name,
                found: "is missing and will be made"
            )
        }
        return Finding(
            "topic.missing",
            .failed,
            subject: needed.name,
            found: "is missing, and sink.kafka.createTopics is false",
            mend: creationStatement(of: needed)
        )
    }

    /// A broker makes no topic whose name differs from another's only in `.` and `_`.
    private func collisions(missing: [NeededTopic], among topics: [NeededTopic]) -> [Finding] {
        var owners: [String: [NeededTopic]] = [:]
        for needed in topics { owners[TopicNames.metricName(needed.name), default: []] += [needed] }
        return missing.compactMap { needed in
            let others = owners[TopicNames.metricName(needed.name)] ?? []
            guard let other = others.first(where: { $0.name < needed.name }) else { return nil }
            return Finding(
                "topic.name_collision",
                .failed,
                subject: needed.name,
                found: "differs from \(other.name) only in `.` and `_`: brokers make no such two",
                mend: "leave one of the two tables out, or give it to a task with another "
                    + "topicPrefix"
            )
        }
    }

    private func replication(_ missing: [NeededTopic], brokers: Int) -> [Finding] {
        guard let factor = options.replicationFactor, factor > brokers, !missing.isEmpty,
            options.createTopics
        else { return [] }
        return [
            Finding(
                "topic.replication",
                .failed,
                subject: "sink.kafka.replicationFactor",
                found: "is \(factor), and the cluster has \(brokers) brokers",
                mend: "set it to \(brokers) at most"
            )
        ]
    }

    private func settings(_ settings: [String: String]?, of needed: NeededTopic) -> Finding {
        if needed.purpose == .checkpoint, let policy = settings?["cleanup.policy"],
            policy != "compact"
        {
            return Finding(
                "topic.not_compacted",
                .failed,
                subject: needed.name,
                found: "has cleanup.policy=\(policy): the checkpoint would be deleted one day",
                mend: "kafka-configs --bootstrap-server \(errors.brokers) --alter --entity-type "
                    + "topics --entity-name \(needed.name) --add-config cleanup.policy=compact"
            )
        }
        return Finding("topic.present", .ok, subject: needed.name, found: "exists")
    }

    /// Throws `sink.topics_unfit` with all that failed.
    static func refuse(_ findings: [Finding]) throws(WalrelayError) {
        try Finding.refuse(
            findings,
            as: "sink.topics_unfit",
            "the brokers cannot take the tables as they are",
            hint: "mend them from the top down and start again; "
                + "`walrelay check` tells what is left"
        )
    }
}
#endif
