// SPDX-License-Identifier: Apache-2.0
//
// Questions about a cluster and the making of topics. A broker may be too old for a question or
// not allow it: that is an error of that one answer, never the end of anything.

#if Kafka
import CRDKafka
public import Logging

/// What a cluster says of one topic.
public struct TopicDescription: Sendable, Equatable {
    /// The name.
    public var name: String
    /// The partitions; 0 where `error` says why there are none to see.
    public var partitionCount: Int
    /// The fewest replicas that one of its partitions has.
    public var replicaCount: Int
    /// Why the topic cannot be used: kind `unknownTopic` where it does not exist.
    public var error: KafkaError?
}

/// What a cluster says of itself.
public struct ClusterDescription: Sendable, Equatable {
    /// `host:port` of each broker, as the cluster tells its clients.
    public var brokers: [String]
    /// The topics that were asked for.
    public var topics: [TopicDescription]
}

/// A topic that is to be made.
public struct NewTopic: Sendable, Equatable {
    /// The name.
    public var name: String
    /// The partitions; `nil` leaves it to the broker.
    public var partitions: Int?
    /// The replicas; `nil` leaves it to the broker.
    public var replicationFactor: Int?
    /// Settings such as `cleanup.policy`.
    public var configuration: [String: String]

    /// Describes a topic.
    public init(
        _ name: String,
        partitions: Int? = nil,
        replicationFactor: Int? = nil,
        configuration: [String: String] = [:]
    ) {
        self.name = name
        self.partitions = partitions
        self.replicationFactor = replicationFactor
        self.configuration = configuration
    }
}

/// A connection to a cluster for asking and making topics.
///
/// Belongs to one thread.
public final class Admin {
    let client: Client

    init(of client: Client) { self.client = client }

    /// Starts librdkafka for questions only; connects to nothing yet.
    ///
    /// Takes a producer's properties: a transactional id among them is left alone and nobody is
    /// fenced. Throws `KafkaError` of kind `badProperty`.
    public init(
        _ properties: [String: String],
        logger: Logger,
        keepWaiting: @escaping () -> Bool = { true }
    ) throws(KafkaError) {
        var plain = properties
        // An idempotent producer asks for an id at once, which needs a right of its own.
        for name in ["transactional.id", "enable.idempotence", "enable.gapless.guarantee"] {
            plain[name] = nil
        }
        client = try Client(
            RD_KAFKA_PRODUCER,
            plain,
            defaults: ["allow.auto.create.topics": "false"],
            warnsOfProperties: false,
            logger: logger,
            keepWaiting: keepWaiting
        )
    }

    /// What the cluster says of itself and of the named topics; makes none of them.
    ///
    /// Blocks for at most `timeout`. Throws where no broker answers; what is wrong with one topic
    /// stands in its description.
    public func describe(
        topics names: [String],
        timeout: Duration
    ) throws(KafkaError) -> ClusterDescription {
        // librdkafka asks for the topics that it has handles of.
        var handles: [Topic] = []
        for name in names { handles.append(try Topic(name, of: client)) }
        let metadata = try metadata(timeout)
        defer { rd_kafka_metadata_destroy(metadata) }
        return withExtendedLifetime(handles) {
            ClusterDescription(metadata.pointee, topics: names)
        }
    }

    /// Whether whoever began this still waits for it.
    public func mayGoOn() -> Bool { client.keepWaiting() }

    private func metadata(
        _ timeout: Duration
    ) throws(KafkaError) -> UnsafePointer<rd_kafka_metadata> {
        let deadline = ContinuousClock.now + timeout
        // A slice is a request of its own: it grows so that a slow broker is waited for, too.
        var slice = Duration.milliseconds(500)
        while true {
            let began = ContinuousClock.now
            let left = max(.milliseconds(1), min(deadline - began, slice))
            var answer: UnsafePointer<rd_kafka_metadata>?
            let code = rd_kafka_metadata(client.handle, 0, nil, &answer, left.kafkaMilliseconds)
            client.serve()
            if code == RD_KAFKA_RESP_ERR_NO_ERROR, let answer {
                client.forgetLastError()
                return answer
            }
            let error = KafkaError(code, while: "asking for metadata")
            guard error.isRetriable else { throw error }
            try client.goOnWaiting(until: deadline, "asking for metadata")
            client.serve(max(.zero, .milliseconds(50) - (.now - began)))
            slice = min(slice * 2, .seconds(4))
        }
    }
}

extension Producer {
    /// An admin that shares this producer's connections and thread.
    public var admin: Admin { Admin(of: client) }

    /// The partitions of a topic; throws kind `unknownTopic` where it does not exist.
    ///
    /// Blocks for at most `timeout`.
    public func partitionCount(of topic: String, timeout: Duration) throws(KafkaError) -> Int {
        let topics = try admin.describe(topics: [topic], timeout: timeout).topics
        guard let found = topics.first(where: { $0.name == topic }) else {
            throw KafkaError(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, while: "topic \(topic)")
        }
        if let error = found.error { throw error }
        return found.partitionCount
    }
}

extension ClusterDescription {
    init(_ metadata: rd_kafka_metadata, topics names: [String]) {
        brokers = UnsafeBufferPointer(start: metadata.brokers, count: Int(metadata.broker_cnt))
            .map { "\(String(cString: $0.host)):\($0.port)" }
        var known: [String: TopicDescription] = [:]
        for topic in UnsafeBufferPointer(start: metadata.topics, count: Int(metadata.topic_cnt)) {
            let description = TopicDescription(topic)
            known[description.name] = description
        }
        topics = names.map { known[$0] ?? TopicDescription(missing: $0) }
    }
}

extension TopicDescription {
    init(_ topic: rd_kafka_metadata_topic) {
        let partitions = UnsafeBufferPointer(
            start: topic.partitions,
            count: Int(topic.partition_cnt)
        )
        name = String(cString: topic.topic)
        partitionCount = partitions.count
        replicaCount = partitions.map { Int($0.replica_cnt) }.min() ?? 0
        error = nil
        if topic.err != RD_KAFKA_RESP_ERR_NO_ERROR {
            error = KafkaError(topic.err, while: "topic \(name)")
            (partitionCount, replicaCount) = (0, 0)
        } else if partitions.isEmpty {
            self = TopicDescription(missing: name)
        }
    }

    init(missing name: String) {
        self.name = name
        (partitionCount, replicaCount) = (0, 0)
        error = KafkaError(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, while: "topic \(name)")
    }
}
#endif
