// SPDX-License-Identifier: Apache-2.0
//
// Where the records of a relation go, looked up once per version and ready per batch: the hot loop
// only indexes an array. How many partitions a topic's keys are spread over is remembered with the
// checkpoint and never grows: a topic that was given more of them later keeps the keys where they
// are, so that all changes of one key stay in one partition.

#if Kafka
import ChangeModel
import LibRDKafka

/// Where the records of one relation version go.
struct Route {
    /// The topic; `TopicRoutes` keeps it alive.
    let topic: Unmanaged<Topic>
    /// Over how many partitions keys are spread.
    let partitions: Int32
    /// The largest record that the topic takes, in bytes.
    let recordLimit: Int
    /// Whether rows without a key stay in the order of their changes, all in one partition.
    let keepsKeylessOrder: Bool
}

/// The routes of a session.
final class TopicRoutes {
    /// Those of the batch that was selected last, by its relation indices.
    private(set) var current: [Route] = []
    private var currentVersions: [UInt64] = []
    private var byVersion: [UInt64: Route] = [:]
    private var topics: [String: Topic] = [:]

    /// How many versions are kept from batch to batch.
    private static let versionLimit = 4_096

    /// Makes `current` the routes of these relations; `resolve` gives those that are not known.
    func select(
        _ relations: [RelationVersion],
        resolve: (Relation) throws -> Route
    ) throws {
        if relations.count == currentVersions.count,
            relations.indices.allSatisfy({ relations[$0].version == currentVersions[$0] })
        {
            return
        }
        if byVersion.count > Self.versionLimit { byVersion.removeAll() }
        current.removeAll(keepingCapacity: true)
        currentVersions.removeAll(keepingCapacity: true)
        for version in relations {
            let route = try byVersion[version.version] ?? resolve(version.relation)
            byVersion[version.version] = route
            current.append(route)
        }
        // Last, so that a selection that failed is made anew.
        for version in relations { currentVersions.append(version.version) }
    }

    /// The handle of a topic, made once.
    func topic(_ name: String, of producer: Producer) throws(KafkaError) -> Topic {
        if let topic = topics[name] { return topic }
        let topic = try producer.topic(name)
        topics[name] = topic
        return topic
    }

    /// Forgets everything: the handles are those of one producer.
    func forget() {
        current.removeAll()
        currentVersions.removeAll()
        byVersion.removeAll()
        topics.removeAll()
    }
}
#endif
