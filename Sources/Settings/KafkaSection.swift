// SPDX-License-Identifier: Apache-2.0
//
// `sink.kafka`: which topics, what stands in them, and librdkafka's own properties as they were
// given. What walrelay decides about those itself stands in KafkaProperties.swift.

public import ChangeModel

extension Settings.Sink {
    /// `sink.kafka`: topics of a Kafka cluster.
    public struct Kafka: Sendable, Equatable {
        /// What is done with a record that is larger than its topic takes.
        public enum Oversize: String, Sendable, CaseIterable {
            /// Stop before its transaction, exit 65.
            case stop
            /// Put its key, position and size into `<topicPrefix>.dead-letter` and go on.
            case deadLetter
        }

        /// `host:port` of the servers that are asked first.
        public var bootstrapServers: [String]
        /// What a topic's name begins with: `<topicPrefix>.<schema>.<table>`.
        public var topicPrefix: String
        /// Whether data and checkpoint are committed in one Kafka transaction.
        public var transactional = true
        /// Whether missing topics are made.
        public var createTopics = true
        /// The partitions of a topic that is made, 1 to 10 000; nil leaves it to the broker.
        public var partitions: Int?
        /// The replicas of a topic that is made, 1 to 100; nil leaves it to the broker.
        public var replicationFactor: Int?
        /// Settings of the topics that are made for tables, such as `retention.ms`.
        public var topicConfig: [String: String] = [:]
        /// Whether a delete is followed by a record without value.
        public var tombstones = true
        /// Whether keys and values are `{"schema":…,"payload":…}`.
        public var schemas = false
        /// Whether `<topicPrefix>.transaction` tells the bounds of each transaction.
        public var transactionTopic = false
        /// How often a record goes to `<topicPrefix>.heartbeat`, 1 s to 24 h; nil never.
        public var heartbeats: Duration?
        /// What is done with a record that is larger than its topic takes.
        public var onOversize = Oversize.stop
        /// Where `sasl.password` comes from, if it is none of the properties.
        public var password: SecretSource?
        /// Where `ssl.key.password` comes from, if it is none of the properties.
        public var keyPassword: SecretSource?
        /// Further properties of librdkafka; any of them may be a secret.
        public var properties: [String: Secret] = [:]

        /// Creates the section with defaults.
        public init(bootstrapServers: [String], topicPrefix: String) {
            self.bootstrapServers = bootstrapServers
            self.topicPrefix = topicPrefix
        }
    }
}

extension Settings.Sink.Kafka {
    static func read(_ section: Section, task: String?) -> Self? {
        let servers = section.require("bootstrapServers", .commaList(of: "a host:port"))
        let prefix = section.take("topicPrefix", .topicPrefix) ?? task
        var kafka = Self(bootstrapServers: servers ?? [], topicPrefix: prefix ?? "")
        section.take("transactional", .boolean, into: &kafka.transactional)
        section.take("createTopics", .boolean, into: &kafka.createTopics)
        kafka.partitions = section.take("partitions", .integer(in: 1...10_000))
        kafka.replicationFactor = section.take("replicationFactor", .integer(in: 1...100))
        kafka.topicConfig = section.section("topicConfig") { $0.entries { _ in .text } } ?? [:]
        section.take("tombstones", .boolean, into: &kafka.tombstones)
        section.take("schemas", .boolean, into: &kafka.schemas)
        section.take("transactionTopic", .boolean, into: &kafka.transactionTopic)
        let pause = Form<Duration>.duration(in: .seconds(1) ... .seconds(86_400))
        section.take("heartbeats", pause.or("off"), into: &kafka.heartbeats)
        section.take("onOversize", .choice, into: &kafka.onOversize)
        let transactional = kafka.transactional
        kafka.properties =
            section.section("properties") {
                KafkaProperties.read($0, transactional: transactional)
            } ?? [:]
        let file = Form<SecretSource>.secretFile(from: section.context.baseDirectory)
        kafka.password = section.take("passwordFile", file)
        kafka.keyPassword = section.take("keyPasswordFile", file)
        kafka.judge(section)
        return servers == nil || prefix == nil ? nil : kafka
    }

    /// The properties with their secrets as they are now.
    ///
    /// Holds passwords in clear: for librdkafka only. Blocks on the file system and throws as
    /// `SecretSource.read` does.
    public func resolvedProperties(
        environment: [String: String]
    ) throws(WalrelayError) -> [String: String] {
        var resolved = properties.mapValues { $0.reveal() }
        resolved["bootstrap.servers"] = bootstrapServers.joined(separator: ",")
        for (source, property) in secretFiles {
            resolved[property] = try source.read(environment: environment)
        }
        return resolved
    }

    /// The files that secrets come from, and the properties that these are.
    private var secretFiles: [(source: SecretSource, property: String)] {
        [(password, "sasl.password"), (keyPassword, "ssl.key.password")].compactMap { pair in
            pair.0.map { ($0, pair.1) }
        }
    }

    /// Warnings where somebody else may read the secrets' files; blocks on the file system.
    func passwordFileWarnings() -> [String] {
        secretFiles.compactMap { $0.source.fileWarning(noun: "password") }
    }

    /// What goes ill together.
    private func judge(_ section: Section) {
        for (key, property) in [
            ("passwordFile", "sasl.password"), ("keyPasswordFile", "ssl.key.password"),
        ] where section.has(key) && properties[property] != nil {
            section.fault(key, "cannot stand beside properties.\(property)")
        }
        if let least = topicConfig["min.insync.replicas"].flatMap({ Int($0) }),
            let replicationFactor, least > replicationFactor
        {
            section.fault(
                "topicConfig",
                "min.insync.replicas is \(least) and replicationFactor \(replicationFactor): such a"
                    + " topic takes no record"
            )
        }
        if !createTopics {
            let idle = ["partitions", "replicationFactor", "topicConfig"].filter(section.has)
            if !idle.isEmpty {
                section.warn(
                    "\(idle.joined(separator: ", ")) without effect: createTopics is false"
                )
            }
        }
    }
}
