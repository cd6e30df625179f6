// SPDX-License-Identifier: Apache-2.0
//
// From the settings to the kafka sink, in builds that have it (trait Kafka).

import ChangeModel
import Settings

#if Kafka
import KafkaSink

extension Settings {
    /// The options of a kafka sink; `nil` where the task has another.
    func kafkaTarget(database: String) -> KafkaSinkOptions? {
        guard case .kafka(let section) = sink else { return nil }
        var properties = section.properties.mapValues { $0.reveal() }
        properties["bootstrap.servers"] = section.bootstrapServers.joined(separator: ",")
        var options = KafkaSinkOptions(
            task: task,
            database: database,
            version: walrelayVersion,
            format: format,
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
}
#endif

extension SinkAssembly {
    /// What a build without the trait has to say of a kafka sink.
    static var kafkaUnavailable: WalrelayError {
        WalrelayError(
            "sink.unavailable",
            exit: .settings,
            "This build has no kafka sink",
            hint: "build walrelay with librdkafka-dev and without --disable-default-traits, or set "
                + "sink.kind to ndjson, stream or postgresql"
        )
    }
}
