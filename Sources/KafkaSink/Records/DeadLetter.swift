// SPDX-License-Identifier: Apache-2.0
//
// What is told of a record that is larger than its topic takes: in an error, or in the record
// that stands for it in `<topicPrefix>.dead-letter`.

#if Kafka
import ChangeModel

/// A record that is too large, without its content.
struct OversizeRecord {
    /// How much of a key an error shows.
    static let shownKeyBytes = 256
    /// A key that is larger is left out of the dead letter too.
    private static let keyLimit = 64 << 10

    var task: String
    var table: String
    var schemaName: String
    var tableName: String
    var topic: String
    var kind: ChangeKind
    /// The key as JSON; `nil` where the record has none.
    var key: [UInt8]?
    var lsn: LSN
    var commitLSN: LSN
    var ordinal: UInt64
    var xid: UInt32
    var bytes: Int
    var limit: Int

    /// The beginning of the key, for people.
    var keyText: String {
        guard let key else { return "none" }
        let text = String(decoding: key.prefix(Self.shownKeyBytes), as: UTF8.self)
        return key.count > Self.shownKeyBytes ? "\(text)…" : text
    }

    /// The key of the dead letter: that of the record, unless it is itself too large.
    var letterKey: [UInt8]? {
        key.flatMap { $0.count <= Self.keyLimit ? $0 : nil }
    }

    /// The value of the dead letter, a JSON object.
    func letter(at now: PostgresTime) -> [UInt8] {
        var line = JSONLine()
        line.raw("{\"task\":")
        line.quoted(task)
        line.raw(",\"topic\":")
        line.quoted(topic)
        line.raw(",\"schema\":")
        line.quoted(schemaName)
        line.raw(",\"table\":")
        line.quoted(tableName)
        line.raw(",\"op\":\"\(Character(Unicode.Scalar(kind.operation)))\",\"key\":")
        if let key = letterKey {
            key.withUnsafeBytes { line.raw($0) }
        } else {
            line.raw("null")
        }
        line.raw(",\"keyBytes\":\(key?.count ?? 0)")
        line.raw(",\"sequence\":\"[\\\"\(commitLSN.rawValue)\\\",\\\"\(ordinal)\\\"]\"")
        line.raw(",\"lsn\":\(lsn.rawValue),\"commitLSN\":\(commitLSN.rawValue)")
        line.raw(",\"ordinal\":\(ordinal),\"txId\":\(xid)")
        line.raw(",\"bytes\":\(bytes),\"limit\":\(limit)")
        line.raw(",\"ts_ms\":\(now.unixMicroseconds / 1_000)}")
        return line.bytes
    }
}
#endif
