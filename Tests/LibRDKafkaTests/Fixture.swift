// SPDX-License-Identifier: Apache-2.0
//
// Producers of the tests, and what they logged.

#if Kafka
import LibRDKafka
import Logging
import Support
import Synchronization

/// The lines that a logger was given.
final class LoggedLines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    func add(_ line: String) { lines.withLock { $0.append(line) } }

    /// A logger that writes here.
    var logger: Logger { Logger(label: "test", factory: { _ in Handler(lines: self) }) }

    private struct Handler: LogHandler {
        let lines: LoggedLines
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            lines.add("\(event.level) \(event.message)")
        }
    }
}

/// A logger that says nothing.
let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

extension Producer {
    /// A producer for `bootstrapServers` that hurries; `others` are further properties.
    convenience init(
        _ bootstrapServers: String,
        _ others: [String: String] = [:],
        logger: Logger = quiet,
        keepWaiting: @escaping () -> Bool = { true }
    ) throws(KafkaError) {
        var properties = [
            "bootstrap.servers": bootstrapServers,
            "enable.idempotence": "true",
            "reconnect.backoff.ms": "10",
            "reconnect.backoff.max.ms": "100",
        ]
        properties.merge(others) { $1 }
        try self.init(properties, logger: logger, keepWaiting: keepWaiting)
    }

    /// Hands over a record of two texts.
    func produce(
        _ key: String?,
        _ value: String?,
        to topic: Topic,
        partition: Int32 = 0,
        header: (StaticString, String)? = nil,
        tag: UInt64 = 0
    ) -> ProduceOutcome {
        withBytes(key) { key in
            withBytes(value) { value in
                withBytes(header?.1) { bytes in
                    var headerBytes: (name: StaticString, value: UnsafeRawBufferPointer)?
                    if let header, let bytes { headerBytes = (header.0, bytes) }
                    return produce(
                        to: topic,
                        partition: partition,
                        key: key,
                        value: value,
                        header: headerBytes,
                        tag: tag
                    )
                }
            }
        }
    }
}

private func withBytes<Result>(
    _ text: String?,
    _ body: (UnsafeRawBufferPointer?) -> Result
) -> Result {
    guard let text else { return body(nil) }
    return Array(text.utf8).withUnsafeBytes { body($0) }
}

extension TopicTail {
    /// The newest texts of all keys of a topic, a tombstone as "-"; each key with its order.
    func newest(
        of topic: String,
        where isWanted: (String) -> Bool = { _ in true },
        within limit: Duration = .seconds(20)
    ) throws(KafkaError) -> [(key: String, value: String)] {
        var found: [(key: String, value: String)] = []
        try newestByKey(
            of: topic,
            within: limit,
            where: { isWanted(String(decoding: $0, as: UTF8.self)) },
            { record in
                let value = record.value.map { String(decoding: $0, as: UTF8.self) } ?? "-"
                found.append((String(decoding: record.key, as: UTF8.self), value))
                return true
            }
        )
        return found
    }
}
#endif
