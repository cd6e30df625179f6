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
    /// With `triesMaking` the brokers are asked whether they would make what is missing, which
    /// makes nothing. `remembered` are the partitions that keys are spread over already. Throws
    /// where no broker answers.
    func findings(
        _ relations: [Relation],
        admin: Admin,
        triesMaking: Bool = false,
        remembered: [String: Int] = [:],
        appliesTruncate: Bool = false
    ) throws -> [Finding] {
        var findings = names.findings(relations)
        guard findings.isEmpty else { return findings }
        let topics = needed(for: relations)
        let cluster = try attempt("asking for the topics") { () throws(KafkaError) in
            try describe(topics, admin: admin)
        }
        let judgement = TopicJudgement(
            options: options,
            errors: errors,
            brokerCount: cluster.brokers.count,
            keyless: Set(relations.filter(\.eventKey.isEmpty).map(names.table)),
            remembered: remembered,
            appliesTruncate: appliesTruncate
        )
        var present: [(needed: NeededTopic, found: TopicDescription)] = []
        var missing: [NeededTopic] = []
        for (needed, found) in zip(topics, cluster.topics) {
            switch found.error?.kind {
            case nil: present.append((needed, found))
            case .unknownTopic: missing.append(needed)
            default: findings.append(judgement.finding(ofUnusable: found))
            }
        }
        let collisions = collisions(missing: missing, among: topics)
        let settings = try attempt("asking for the settings of topics") { () throws(KafkaError) in
            try configurations(of: present.map(\.needed), admin: admin)
        }
        findings += present.flatMap {
            judgement.findings(of: $0.needed, there: $0.found, settings: settings[$0.needed.name])
        }
        var refusals: [String: KafkaError] = [:]
        if triesMaking, options.createTopics, collisions.isEmpty {
            refusals = try judged(missing, admin: admin)
        }
        findings += missing.map {
            judgement.finding(ofMissing: $0, refusal: refusals[$0.name])
        }
        findings += collisions
        findings += replication(missing, brokers: cluster.brokers.count)
        return findings
    }

    /// Why the brokers would not make topics, by name.
    private func judged(
        _ missing: [NeededTopic],
        admin: Admin
    ) throws -> [String: KafkaError] {
        var refusals: [String: KafkaError] = [:]
        for start in stride(from: 0, to: missing.count, by: Self.requestLimit) {
            let slice = missing[start..<min(start + Self.requestLimit, missing.count)]
            let failures = try attempt("asking whether topics would be made") {
                () throws(KafkaError) in
                do throws(KafkaError) {
                    return try admin.createTopics(
                        slice.map(\.topic),
                        onlyJudged: true,
                        timeout: Self.answerLimit
                    )
                } catch {
                    // Brokers before 0.10.2 cannot judge without making.
                    guard error.kind == .unsupported else { throw error }
                    return [:]
                }
            }
            refusals.merge(failures) { first, _ in first }
        }
        return refusals
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
