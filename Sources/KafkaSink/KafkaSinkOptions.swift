// SPDX-License-Identifier: Apache-2.0
//
// What a kafka sink is told, in plain terms; where it comes from (YAML, secrets) is not its affair.

#if Kafka
public import ChangeModel

/// The settings of one kafka sink.
public struct KafkaSinkOptions: Sendable {
    /// What is done with a record that is larger than its topic takes.
    public enum Oversize: Sendable, Equatable {
        /// Stop before its transaction, exit 65.
        case stop
        /// Put its key, position and size into `<topicPrefix>.dead-letter` and go on.
        case deadLetter
    }

    /// The task's name: `source.name` of the events and the key of the checkpoint.
    public var task: String
    /// The source's database.
    public var database: String
    /// walrelay's version.
    public var version: String
    /// How values are spelled.
    public var format: ValueFormat
    /// What every topic's name begins with.
    public var topicPrefix: String
    /// librdkafka's properties as the operator gave them, `bootstrap.servers` included; may hold
    /// secrets.
    public var properties: [String: String]
    /// Whether data and checkpoint are committed in one Kafka transaction.
    public var transactional = true
    /// Whether missing topics are made.
    public var createTopics = true
    /// The partitions of a topic that is made; `nil` leaves it to the broker.
    public var partitions: Int?
    /// The replicas of a topic that is made; `nil` leaves it to the broker.
    public var replicationFactor: Int?
    /// Settings of the topics that are made for tables, such as `retention.ms`.
    public var topicConfig: [String: String] = [:]
    /// Whether a delete is followed by a record without value.
    public var tombstones = true
    /// Whether keys and values are `{"schema":…,"payload":…}`.
    public var schemas = false
    /// Whether `<topicPrefix>.transaction` tells the beginning and the end of each transaction.
    public var transactionTopic = false
    /// How often a record goes to `<topicPrefix>.heartbeat` while nothing changes; `nil` never.
    public var heartbeats: Duration?
    /// What is done with a record that is larger than its topic takes.
    public var onOversize = Oversize.stop

    /// Creates options with defaults.
    public init(
        task: String,
        database: String,
        version: String,
        format: ValueFormat,
        topicPrefix: String,
        properties: [String: String]
    ) {
        self.task = task
        self.database = database
        self.version = version
        self.format = format
        self.topicPrefix = topicPrefix
        self.properties = properties
    }

    /// What brokers know the task's producer by, within the topics' prefix: one prefixed right
    /// covers both.
    var transactionalID: String {
        properties["transactional.id"] ?? "\(topicPrefix).walrelay-\(task)"
    }
}

extension KafkaSinkOptions: CustomStringConvertible, CustomReflectable {
    /// The task; the properties may hold secrets.
    public var description: String { "the kafka sink of task \(task)" }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
#endif
