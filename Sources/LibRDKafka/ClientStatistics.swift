// SPDX-License-Identifier: Apache-2.0
//
// Of librdkafka's statistics what an operator watches. The document is JSON (STATISTICS.md of
// librdkafka); it holds no secrets.

#if Kafka
import FoundationEssentials

/// Figures of one client at one moment.
public struct ClientStatistics: Sendable, Equatable {
    /// Records that wait for delivery.
    public var queueMessages = 0
    /// Their bytes.
    public var queueBytes = 0
    /// Brokers that a connection stands to.
    public var brokersUp = 0
    /// Brokers that are known: the cluster's, or the given addresses before the first connection.
    public var brokersKnown = 0
    /// Microseconds from a request to its answer, the average of all brokers' last interval.
    public var rttMicroseconds = 0
    /// Microseconds from `produce` to the broker's answer, the average of the last interval.
    public var deliveryMicroseconds = 0

    /// Nothing known yet.
    public init() {}

    /// The figures of librdkafka's document, `nil` where it is none.
    init?(json: String) {
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(json.utf8)) else {
            return nil
        }
        queueMessages = document.msg_cnt ?? 0
        queueBytes = document.msg_size ?? 0
        let brokers = (document.brokers ?? [:]).values.filter {
            $0.source != "internal" && $0.source != "logical"
        }
        let learned = brokers.filter { ($0.nodeid ?? -1) >= 0 }
        brokersKnown = learned.isEmpty ? brokers.count : learned.count
        brokersUp = (learned.isEmpty ? brokers : learned).count { $0.state == "UP" }
        rttMicroseconds = Self.average(brokers.map(\.rtt))
        deliveryMicroseconds =
            Self.average(brokers.map(\.int_latency)) + Self.average(brokers.map(\.outbuf_latency))
            + rttMicroseconds
    }

    private static func average(_ windows: [Window?]) -> Int {
        let count = windows.reduce(0) { $0 + ($1?.cnt ?? 0) }
        guard count > 0 else { return 0 }
        return windows.reduce(0) { $0 + ($1?.sum ?? 0) } / count
    }

    private struct Document: Decodable {
        var msg_cnt: Int?
        var msg_size: Int?
        var brokers: [String: Broker]?
    }

    private struct Broker: Decodable {
        var source: String?
        var state: String?
        var nodeid: Int?
        var int_latency: Window?
        var outbuf_latency: Window?
        var rtt: Window?
    }

    private struct Window: Decodable {
        var sum: Int?
        var cnt: Int?
    }
}
#endif
