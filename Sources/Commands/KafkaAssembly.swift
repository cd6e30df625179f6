// SPDX-License-Identifier: Apache-2.0
//
// From the settings to the kafka sink and to the check of its brokers, in builds that have them
// (trait Kafka); in others one clear error.

import ChangeModel
import LibPQ
import Logging
import Replication
import Settings
import Sink

#if Kafka
import KafkaSink

/// A kafka sink that a task has.
struct KafkaTarget: Sendable {
    private let options: KafkaSinkOptions
    private let selection: TableSelection
    private let appliesTruncate: Bool

    init(
        _ section: Settings.Sink.Kafka,
        _ settings: Settings,
        database: String
    ) throws(WalrelayError) {
        var properties = section.properties.mapValues { $0.reveal() }
        properties["bootstrap.servers"] = section.bootstrapServers.joined(separator: ",")
        var options = KafkaSinkOptions(
            task: settings.task,
            database: database,
            version: walrelayVersion,
            format: settings.format,
            topicPrefix: section.topicPrefix,
            properties: properties
        )
        options.transactional = section.transactional
        options.createTopics = section.createTopics
        options.partitions = section.partitions
        options.replicationFactor = section.replicationFactor
        options.topicConfig = section.topicConfig
        options.tombstones = section.tombstones
        options.schemas = section.schemas
        options.transactionTopic = section.transactionTopic
        options.heartbeats = section.heartbeats
        options.onOversize = section.onOversize == .stop ? .stop : .deadLetter
        self.options = options
        selection = settings.tables
        appliesTruncate = settings.stream.onTruncate == .apply
    }

    /// Makes the sink.
    func sink(supervisor: any SinkSupervisor, log: Logger) -> any Sink {
        KafkaSink(options, supervisor: supervisor, logger: log)
    }

    /// What the brokers have to say of the tables that the source has; blocks.
    func findings(asking source: borrowing Connection) throws -> [Finding] {
        let tables = try SourceCatalog.tables(selection, measured: false, on: source)
        return KafkaCheck.findings(
            options,
            relations: tables.map(\.relation),
            appliesTruncate: appliesTruncate
        )
    }
}
#else
/// Stands where a kafka sink would be: in this build there can be none.
enum KafkaTarget {
    /// Throws `sink.unavailable`, exit 78.
    init(
        _ section: Settings.Sink.Kafka,
        _ settings: Settings,
        database: String
    ) throws(WalrelayError) {
        throw WalrelayError(
            "sink.unavailable",
            exit: .settings,
            "This build of walrelay has no kafka sink",
            hint: "build it with librdkafka-dev and without --disable-default-traits"
        )
    }

    func sink(supervisor: any SinkSupervisor, log: Logger) -> any Sink {
        switch self {}
    }

    func findings(asking source: borrowing Connection) throws -> [Finding] {
        switch self {}
    }
}
#endif

extension Settings {
    /// The kafka sink; `nil` where the task has another.
    func kafkaTarget(database: String) throws(WalrelayError) -> KafkaTarget? {
        guard case .kafka(let section) = sink else { return nil }
        return try KafkaTarget(section, self, database: database)
    }
}
