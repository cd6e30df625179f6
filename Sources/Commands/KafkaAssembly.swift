// SPDX-License-Identifier: Apache-2.0
//
// From the settings to the kafka sink and to the check of its brokers, in builds that have them
// (trait Kafka); in others one clear error.

import ChangeModel
import Foundation
import LibPQ
import Logging
import Replication
import Settings
import Sink

#if Kafka
import KafkaSink
#endif

enum KafkaAssembly {
    /// Asks the brokers about the tables that the source has; blocks.
    typealias Check = @Sendable (_ source: borrowing Connection) throws -> [Finding]

    #if Kafka
    /// How the sink is made.
    static func sink(
        _ section: Settings.Sink.Kafka,
        _ settings: Settings,
        database: String,
        log: Logger
    ) throws(WalrelayError) -> @Sendable (any SinkSupervisor) throws -> any Sink {
        { supervisor in
            // Each time that a sink is opened, since its passwords may have been renewed.
            let options = try options(section, settings, database: database)
            return KafkaSink(options, supervisor: supervisor, logger: log)
        }
    }

    /// How the brokers are checked; `nil` where the task has another sink.
    static func check(_ settings: Settings, database: String) throws(WalrelayError) -> Check? {
        guard case .kafka(let section) = settings.sink else { return nil }
        let options = try options(section, settings, database: database)
        let selection = settings.tables
        let appliesTruncate = settings.stream.onTruncate == .apply
        return { source in
            let tables = try SourceCatalog.tables(selection, measured: false, on: source)
            return KafkaCheck.findings(
                options,
                relations: tables.map(\.relation),
                appliesTruncate: appliesTruncate
            )
        }
    }

    private static func options(
        _ section: Settings.Sink.Kafka,
        _ settings: Settings,
        database: String
    ) throws(WalrelayError) -> KafkaSinkOptions {
        let properties = try section.resolvedProperties(
            environment: ProcessInfo.processInfo.environment
        )
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
        return options
    }
    #else
    /// Throws `sink.unavailable`, exit 78.
    static func sink(
        _ section: Settings.Sink.Kafka,
        _ settings: Settings,
        database: String,
        log: Logger
    ) throws(WalrelayError) -> @Sendable (any SinkSupervisor) throws -> any Sink {
        throw unavailable
    }

    /// Throws `sink.unavailable`, exit 78, where the task has a kafka sink; else `nil`.
    static func check(_ settings: Settings, database: String) throws(WalrelayError) -> Check? {
        guard case .kafka = settings.sink else { return nil }
        throw unavailable
    }

    private static var unavailable: WalrelayError {
        WalrelayError(
            "sink.unavailable",
            exit: .settings,
            "This build of walrelay has no kafka sink",
            hint: "build it with librdkafka-dev and without --disable-default-traits"
        )
    }
    #endif
}
