// SPDX-License-Identifier: Apache-2.0
//
// Of librdkafka's statistics what an operator watches. The document is JSON (STATISTICS.md of
// librdkafka); it holds no secrets.

#if Kafka
import FoundationEssentials
import Glibc

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
    init?(json text: UnsafePointer<CChar>) {
        // Behind the brokers stands a kilobyte for each partition of each topic, which nothing here
        // asks for: with some thousand of them it is most of the document.
        let document = UnsafeRawBufferPointer(start: text, count: strlen(text))
        let topics = strstr(text, ", \"topics\":{").map { UnsafePointer($0) - text } ?? 0
        let head = Data(document.prefix(topics)) + [UInt8(ascii: "}")]
        guard let figures = Self.decode(head) ?? Self.decode(Data(document)) else { return nil }
        queueMessages = figures.messageCount ?? 0
        queueBytes = figures.messageBytes ?? 0
        let brokers = (figures.brokers ?? [:]).values.filter {
            $0.source != "internal" && $0.source != "logical"
        }
        // Once the cluster has told its brokers the given addresses are the same ones again.
        let learned = brokers.filter { ($0.nodeid ?? -1) >= 0 }
        let known = learned.isEmpty ? brokers : learned
        brokersKnown = known.count
        brokersUp = known.count { $0.state == "UP" }
        rttMicroseconds = Self.average(brokers.map(\.rtt))
        deliveryMicroseconds =
            Self.average(brokers.map(\.queueing)) + Self.average(brokers.map(\.sending))
            + rttMicroseconds
    }

    private static func decode(_ json: Data) -> Figures? {
        try? JSONDecoder().decode(Figures.self, from: json)
    }

    private static func average(_ windows: [Window?]) -> Int {
        let count = windows.reduce(0) { $0 + ($1?.cnt ?? 0) }
        guard count > 0 else { return 0 }
        return windows.reduce(0) { $0 + ($1?.sum ?? 0) } / count
    }

    private struct Figures: Decodable {
        var messageCount: Int?
        var messageBytes: Int?
        var brokers: [String: Broker]?

        enum CodingKeys: String, CodingKey {
            case messageCount = "msg_cnt"
            case messageBytes = "msg_size"
            case brokers
        }
    }

    private struct Broker: Decodable {
        var source: String?
        var state: String?
        var nodeid: Int?
        var queueing: Window?
        var sending: Window?
        var rtt: Window?

        enum CodingKeys: String, CodingKey {
            case source, state, nodeid, rtt
            case queueing = "int_latency"
            case sending = "outbuf_latency"
        }
    }

    private struct Window: Decodable {
        var sum: Int?
        var cnt: Int?
    }
}
#endif
