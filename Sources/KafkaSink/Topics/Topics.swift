// SPDX-License-Identifier: Apache-2.0
//
// The topics of a task on the brokers: which are needed, which are there, what they take. Asks and
// makes; writes no record and needs no transaction.

#if Kafka
import ChangeModel
import Glibc
import LibRDKafka
import Logging

/// A topic that the sink writes to.
struct NeededTopic: Sendable, Equatable {
    /// What it is for.
    enum Purpose: Sendable, Equatable {
        /// The checkpoint of the task.
        case checkpoint
        /// The rows of the named table.
        case table(String)
        /// Transactions, heartbeats, dead letters.
        case own
    }

    var purpose: Purpose
    var topic: NewTopic
    var name: String { topic.name }
}

/// What the brokers have of the topics of a task.
final class Topics {
    let names: TopicNames
    let options: KafkaSinkOptions
    let errors: KafkaErrors
    private let log: Logger
    /// The largest batch of each topic that was asked for and may be seen.
    private var limits: [String: Int] = [:]
    /// The partitions of each topic that was seen.
    private var counts: [String: Int] = [:]

    /// How long the brokers may take for an answer.
    static let answerLimit: Duration = .seconds(10)
    /// How long brokers may take to tell a topic's settings, which some never do.
    static let settingsLimit: Duration = .seconds(5)
    /// How long brokers may take to make topics and to tell each other.
    static let creationLimit: Duration = .seconds(60)
    /// Topics of one request.
    static let requestLimit = 500

    init(_ options: KafkaSinkOptions, errors: KafkaErrors, log: Logger) {
        self.options = options
        self.errors = errors
        self.log = log
        names = TopicNames(prefix: options.topicPrefix)
    }

    // MARK: - What is needed

    /// The checkpoint's topic: compacted, small segments, so that little of it is ever read.
    var checkpointTopic: NeededTopic {
        NeededTopic(
            purpose: .checkpoint,
            topic: NewTopic(
                names.checkpoint,
                partitions: 1,
                replicationFactor: options.replicationFactor,
                configuration: safety.merging(
                    ["cleanup.policy": "compact", "segment.bytes": "16777216"]
                ) { $1 }
            )
        )
    }

    /// Of the settings for the tables' topics those on which it depends whether a record that was
    /// acknowledged stays: what goes on by the checkpoint is as safe as what it says.
    private var safety: [String: String] {
        options.topicConfig.filter {
            ["min.insync.replicas", "unclean.leader.election.enable"].contains($0.key)
        }
    }

    /// The topics besides those of the tables that the settings ask for.
    var ownTopics: [NeededTopic] {
        var wanted: [String] = []
        if options.transactionTopic { wanted.append(names.transaction) }
        if options.heartbeats != nil { wanted.append(names.heartbeat) }
        if options.onOversize == .deadLetter { wanted.append(names.deadLetter) }
        return wanted.map { name in
            // One partition: what they tell is in an order.
            NeededTopic(
                purpose: .own,
                topic: NewTopic(
                    name,
                    partitions: 1,
                    replicationFactor: options.replicationFactor,
                    configuration: safety
                )
            )
        }
    }

    func tableTopic(_ relation: Relation) -> NeededTopic {
        NeededTopic(
            purpose: .table(relation.qualifiedName),
            topic: NewTopic(
                names.table(relation),
                partitions: options.partitions,
                replicationFactor: options.replicationFactor,
                configuration: options.topicConfig
            )
        )
    }

    /// Every topic that a task with these tables writes to.
    func needed(for relations: [Relation]) -> [NeededTopic] {
        [checkpointTopic] + ownTopics + relations.map(tableTopic)
    }

    // MARK: - What is there

    /// The least size of a batch that one of the topics takes which are there or will be made.
    ///
    /// `nil` where none is known.
    var batchLimit: Int? {
        let own = options.topicConfig["max.message.bytes"].flatMap(Int.init)
        return (limits.values + (own.map { [$0] } ?? [])).min()
    }

    /// The largest batch of a topic; `nil` where it is not known.
    func limit(of topic: String) -> Int? { limits[topic] }

    /// Whether a topic was seen.
    func isKnown(_ topic: String) -> Bool { counts[topic] != nil }

    /// The topics that were seen.
    var knownNames: [String] { Array(counts.keys) }

    /// Asks for topics; blocks.
    func describe(
        _ topics: [NeededTopic],
        admin: Admin
    ) throws(KafkaError) -> ClusterDescription {
        let cluster = try admin.describe(
            topics: topics.map(\.name),
            timeout: Self.answerLimit
        )
        for topic in cluster.topics where topic.error == nil {
            counts[topic.name] = topic.partitionCount
        }
        return cluster
    }

    /// Asks for the settings of topics that exist, and notes what they take; blocks.
    ///
    /// Of those that we may not ask for there is nothing: then the brokers refuse what is large.
    func configurations(
        of topics: [NeededTopic],
        admin: Admin
    ) throws(KafkaError) -> [String: [String: String]] {
        var found: [String: [String: String]] = [:]
        for start in stride(from: 0, to: topics.count, by: Self.requestLimit) {
            let slice = topics[start..<min(start + Self.requestLimit, topics.count)]
            let answers: [String: Result<[String: String], KafkaError>]
            do throws(KafkaError) {
                answers = try admin.configurations(
                    ofTopics: slice.map(\.name),
                    timeout: Self.settingsLimit
                )
            } catch {
                if error.kind == .interrupted { throw error }
                log.info(
                    "the settings of topics are not to be had: \(error)",
                    metadata: ["code": "sink.topic_settings"]
                )
                return found
            }
            for (name, answer) in answers {
                guard case .success(let settings) = answer else { continue }
                found[name] = settings
                if let limit = settings["max.message.bytes"].flatMap(Int.init) {
                    limits[name] = limit
                }
            }
        }
        return found
    }

    // MARK: - Making

    /// Makes those of the topics that are missing; blocks.
    ///
    /// Throws `sink.topic_missing` where topics are not to be made, `sink.topic_refused` with all
    /// that the brokers did not make.
    func make(_ topics: [NeededTopic], admin: Admin) throws {
        let missing = try attempt("looking for topics") { () throws(KafkaError) in
            let cluster = try describe(topics, admin: admin)
            var missing: [NeededTopic] = []
            for (needed, found) in zip(topics, cluster.topics) where found.error != nil {
                if found.error?.kind == .unknownTopic {
                    missing.append(needed)
                } else if let error = found.error {
                    throw error
                }
            }
            return missing
        }
        if !missing.isEmpty { try create(missing, admin: admin) }
        _ = try attempt("reading the settings of topics") { () throws(KafkaError) in
            try configurations(of: topics, admin: admin)
        }
    }

    private func create(_ missing: [NeededTopic], admin: Admin) throws {
        guard options.createTopics else { throw missingTopics(missing) }
        for start in stride(from: 0, to: missing.count, by: Self.requestLimit) {
            let slice = missing[start..<min(start + Self.requestLimit, missing.count)]
            let failures = try attempt("making topics") { () throws(KafkaError) in
                try admin.createTopics(slice.map(\.topic), timeout: Self.creationLimit)
            }
            if !failures.isEmpty { throw refused(failures) }
        }
        log.notice(
            "made \(Prose.count(missing.count, "topic")): \(Prose.list(missing.map(\.name)))"
        )
        // The broker that is asked may not have heard of them yet.
        let deadline = ContinuousClock.now + Self.creationLimit
        while true {
            let unknown = try attempt("looking for topics") { () throws(KafkaError) in
                try describe(missing, admin: admin).topics.first { $0.error != nil }
            }
            guard let unknown, let error = unknown.error else { return }
            let mayMend = error.kind == .unknownTopic || error.kind == .unreachable
            guard admin.mayGoOn() else { throw CancellationError() }
            guard mayMend, ContinuousClock.now < deadline else {
                throw errors.error(
                    error,
                    while: "waiting for a new topic",
                    on: .topic(unknown.name)
                )
            }
            usleep(50_000)
        }
    }

    private func missingTopics(_ missing: [NeededTopic]) -> WalrelayError {
        WalrelayError(
            "sink.topic_missing",
            exit: .prerequisite,
            "The brokers \(errors.brokers) do not have "
                + "\(Prose.list(missing.map(\.name))), and sink.kafka.createTopics is false",
            hint: missing.prefix(20).map { creationStatement(of: $0) }.joined(separator: "; ")
        )
    }

    private func refused(_ failures: [String: KafkaError]) -> WalrelayError {
        let sorted = failures.sorted { $0.key < $1.key }
        if let first = sorted.first, first.value.kind == .authorization {
            return errors.error(
                first.value,
                while: "making topics",
                on: .topic(first.key)
            )
        }
        if let first = sorted.first, first.value.kind == .unreachable {
            return errors.error(
                first.value,
                while: "making topics",
                on: .topic(first.key)
            )
        }
        let lines = sorted.prefix(20).map { "\n  \($0.value.text)" }.joined()
        return WalrelayError(
            "sink.topic_refused",
            exit: .prerequisite,
            "The brokers \(errors.brokers) do not make \(failures.count) topics:\(lines)",
            hint: "see partitions, replicationFactor and topicConfig of sink.kafka, or make them "
                + "yourself"
        )
    }

    func creationStatement(of needed: NeededTopic) -> String {
        errors.creationStatement(
            of: needed.name,
            partitions: needed.topic.partitions,
            replicationFactor: needed.topic.replicationFactor,
            config: needed.topic.configuration
        )
    }

    /// Over how many partitions the keys of a topic are spread from now on.
    ///
    /// What was `remembered` when its first record was written stands, unless the topic has fewer.
    func partitions(of topic: String, remembered: Int?) -> Int {
        let count = counts[topic] ?? 1
        guard let remembered, remembered != count else { return count }
        if remembered > count {
            log.warning(
                "\(topic) has \(count) partitions and had \(remembered): it was made anew"
            )
            return count
        }
        log.warning(
            """
            \(topic) has \(count) partitions; its keys stay in the first \(remembered), \
            where their former changes are
            """
        )
        return remembered
    }

    func attempt<Result>(
        _ what: String,
        on object: KafkaObject = .cluster,
        _ body: () throws(KafkaError) -> Result
    ) throws -> Result {
        do throws(KafkaError) {
            return try body()
        } catch {
            if error.kind == .interrupted { throw CancellationError() }
            throw errors.error(error, while: what, on: object)
        }
    }
}
#endif
