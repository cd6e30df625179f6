// SPDX-License-Identifier: Apache-2.0
//
// `<topicPrefix>.heartbeat`: a sign of life for readers while no table changes, with the position
// up to which that is so.

#if Kafka
import ChangeModel

/// When a heartbeat is due, and what it says.
struct Heartbeat {
    private let interval: Duration
    private let isSchemaShown: Bool
    private var last = ContinuousClock.now
    /// The key: whose heartbeat it is.
    let key: [UInt8]

    init(every interval: Duration, topicPrefix: String, schemas: Bool) {
        self.interval = interval
        isSchemaShown = schemas
        var key = JSONLine()
        if schemas { key.raw(Self.keySchema) }
        key.raw("{\"serverName\":")
        key.quoted(topicPrefix)
        key.raw(schemas ? "}}" : "}")
        self.key = key.bytes
    }

    /// Whether readers have heard nothing for long enough.
    var isDue: Bool { ContinuousClock.now - last >= interval }

    /// Notes that readers have heard something.
    mutating func restart() {
        last = .now
    }

    /// The value.
    func value(position: LSN, at now: PostgresTime) -> [UInt8] {
        var line = JSONLine()
        if isSchemaShown { line.raw(Self.valueSchema) }
        line.raw("{\"ts_ms\":\(now.unixMicroseconds / 1_000),\"lsn\":\(position.rawValue)}")
        if isSchemaShown { line.raw("}") }
        return line.bytes
    }

    private static let keySchema = """
        {"schema":{"type":"struct","fields":[\
        {"type":"string","optional":false,"field":"serverName"}],"optional":false,\
        "name":"io.debezium.connector.common.ServerNameKey","version":1},"payload":
        """

    private static let valueSchema = """
        {"schema":{"type":"struct","fields":[\
        {"type":"int64","optional":false,"field":"ts_ms"},\
        {"type":"int64","optional":false,"field":"lsn"}],"optional":false,\
        "name":"io.debezium.connector.common.Heartbeat","version":1},"payload":
        """
}
#endif
