// SPDX-License-Identifier: Apache-2.0
//
// librdkafka's own pretence of a cluster, in the test process: it listens on real ports, speaks
// enough of the protocol for producers, transactions and consumers, and fails on request. It has
// no admin requests, shows aborted records like others and forgets all when it goes.

#if Kafka
import CRDKafka
import Foundation

/// A cluster that exists only in this process; it goes when the last reference goes.
public final class MockCluster: Sendable {
    /// Requests that can be made to fail, by the protocol's number.
    public enum Request: Int16, Sendable {
        case produce = 0
        case fetch = 1
        case listOffsets = 2
        case metadata = 3
        case findCoordinator = 10
        case initProducerID = 22
        case addPartitionsToTransaction = 24
        case endTransaction = 26
    }

    /// An error that a broker answers with, by the protocol's number.
    public struct BrokerError: RawRepresentable, Sendable {
        /// The number.
        public var rawValue: Int32

        /// The error of this number; negative ones are librdkafka's own.
        public init(rawValue: Int32) { self.rawValue = rawValue }

        /// The broker closes the connection instead of answering.
        public static let disconnects = BrokerError(rawValue: -195)
        /// Coordinator load in progress: a retriable error.
        public static let coordinatorLoading = BrokerError(rawValue: 14)
        /// The record is larger than the topic takes.
        public static let tooLarge = BrokerError(rawValue: 10)
        /// Not allowed to write to the topic.
        public static let topicAuthorization = BrokerError(rawValue: 29)
        /// Not allowed to use the cluster so.
        public static let clusterAuthorization = BrokerError(rawValue: 31)
        /// Not allowed to use the transactional id.
        public static let transactionalIDAuthorization = BrokerError(rawValue: 53)
        /// Another producer has taken over the transactional id.
        public static let producerFenced = BrokerError(rawValue: 90)
        /// The same, as older requests say it.
        public static let invalidProducerEpoch = BrokerError(rawValue: 47)
        /// No such topic or partition.
        public static let unknownTopic = BrokerError(rawValue: 3)
    }

    /// `host:port` of each broker, for `bootstrap.servers`.
    public let bootstrapServers: String

    // librdkafka's functions lock what these point to by themselves.
    private nonisolated(unsafe) let client: OpaquePointer
    private nonisolated(unsafe) let cluster: OpaquePointer
    private let brokerCount: Int32

    /// Starts brokers, numbered from 1, on free ports of 127.0.0.1.
    public init(brokers: Int = 1) throws {
        let configuration = rd_kafka_conf_new()
        // It would log that it has no brokers of its own.
        rd_kafka_conf_set(configuration, "log_level", "0", nil, 0)
        guard let client = rd_kafka_new(RD_KAFKA_PRODUCER, configuration, nil, 0) else {
            rd_kafka_conf_destroy(configuration)
            throw SupportError("librdkafka does not start")
        }
        guard let cluster = rd_kafka_mock_cluster_new(client, Int32(brokers)) else {
            rd_kafka_destroy(client)
            throw SupportError("librdkafka's mock cluster does not start")
        }
        (self.client, self.cluster, brokerCount) = (client, cluster, Int32(brokers))
        bootstrapServers = String(cString: rd_kafka_mock_cluster_bootstraps(cluster))
    }

    deinit {
        // Its thread looks up only once a second; nobody has to wait for that.
        let (cluster, client) = (UInt(bitPattern: cluster), UInt(bitPattern: client))
        Thread.detachNewThread {
            if let cluster = OpaquePointer(bitPattern: cluster) {
                rd_kafka_mock_cluster_destroy(cluster)
            }
            if let client = OpaquePointer(bitPattern: client) { rd_kafka_destroy(client) }
        }
    }

    /// Makes a topic; topics that are only asked for come by themselves, with 4 partitions.
    public func create(topic: String, partitions: Int) throws {
        let replicas = min(brokerCount, 3)
        let code = rd_kafka_mock_topic_create(cluster, topic, Int32(partitions), replicas)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw SupportError("topic \(topic): \(String(cString: rd_kafka_err2name(code)))")
        }
    }

    /// Makes all metadata of a topic say this error from now on.
    public func fail(topic: String, with error: BrokerError) {
        rd_kafka_mock_topic_set_error(cluster, topic, rd_kafka_resp_err_t(rawValue: error.rawValue))
    }

    /// Makes the next requests of a kind fail, one with each error.
    public func fail(next request: Request, with errors: [BrokerError]) {
        let codes = errors.map { rd_kafka_resp_err_t(rawValue: $0.rawValue) }
        rd_kafka_mock_push_request_errors_array(cluster, request.rawValue, codes.count, codes)
    }

    /// Forgets the errors that requests of a kind would still fail with.
    public func clear(_ request: Request) {
        rd_kafka_mock_clear_request_errors(cluster, request.rawValue)
    }

    /// Closes all brokers' connections and ports; nobody can connect until `up`.
    public func down() {
        for broker in 1...brokerCount { rd_kafka_mock_broker_set_down(cluster, broker) }
    }

    /// Opens them again.
    public func up() {
        for broker in 1...brokerCount { rd_kafka_mock_broker_set_up(cluster, broker) }
    }

    /// Delays every answer of all brokers.
    public func delay(milliseconds: Int) {
        for broker in 1...brokerCount {
            rd_kafka_mock_broker_set_rtt(cluster, broker, Int32(milliseconds))
        }
    }
}
#endif
