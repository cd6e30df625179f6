// SPDX-License-Identifier: Apache-2.0
//
// What stands in a topic, as kcat sees it. A record is one line of kcat's output whose fields tabs
// part: JSON has no raw tab and no raw line feed; a record that is not JSON is read as nonsense.
import Foundation
import Glibc

/// One record of a topic.
public struct KafkaRecord: Sendable {
    /// The topic it stands in.
    public var topic: String
    /// The partition.
    public var partition: Int
    /// The place in the partition.
    public var offset: Int
    /// In milliseconds since 1970.
    public var timestamp: Int
    /// The key; nil where the record has none.
    public var key: String?
    /// The value; nil in a tombstone.
    public var value: String?
    /// The headers as `name=value`, commas between them; empty where there is none.
    public var headers: String

    /// The value of the header, where the record has that one and no other.
    public func header(_ name: String) -> String? {
        headers.hasPrefix("\(name)=") ? String(headers.dropFirst(name.count + 1)) : nil
    }

    /// The value as a change event; throws for a tombstone and for what is none.
    public func event() throws -> ChangeEvent {
        guard let value else { throw SupportError("\(topic)/\(partition)@\(offset): no value") }
        do {
            return try ChangeEvent(value)
        } catch {
            throw SupportError("\(topic)/\(partition)@\(offset): \(error)\n\(value.prefix(2_000))")
        }
    }

    /// A value that is a JSON object, by Foundation's parser; empty where there is none.
    public func object() throws -> [String: Any] {
        try JSONSerialization.jsonObject(with: Data((value ?? "{}").utf8)) as? [String: Any] ?? [:]
    }

    /// Out of a line `topic partition offset timestamp keyLength valueLength headers key value`.
    fileprivate init(line: UnsafeRawBufferPointer) throws {
        let parts = line.split(
            separator: UInt8(ascii: "\t"),
            maxSplits: 8,
            omittingEmptySubsequences: false
        )
        guard parts.count == 9 else { throw SupportError("a record in \(parts.count) parts") }
        func text(_ index: Int) -> String { String(decoding: parts[index], as: UTF8.self) }
        func number(_ index: Int) throws -> Int {
            guard let number = Int(text(index)) else {
                throw SupportError("no number: \(text(index))")
            }
            return number
        }
        func bytes(_ index: Int, length: Int) throws -> String? {
            guard length >= 0 else { return nil }
            guard parts[index].count == length else {
                throw SupportError("\(parts[index].count) bytes, not \(length): \(text(index))")
            }
            return text(index)
        }
        topic = text(0)
        partition = try number(1)
        offset = try number(2)
        timestamp = try number(3)
        key = try bytes(7, length: number(4))
        value = try bytes(8, length: number(5))
        headers = text(6)
    }
}

/// What a reader sees of transactions.
public enum KafkaIsolation: String, Sendable {
    /// Only what was committed.
    case committed = "read_committed"
    /// Also what was aborted and what is open.
    case uncommitted = "read_uncommitted"
}

extension KafkaBroker {
    /// The names of all topics but the broker's own, sorted.
    public func topics() throws -> [String] { try partitionCounts().keys.sorted() }

    /// How many partitions each topic has, the broker's own topics left out.
    public func partitionCounts() throws -> [String: Int] {
        let output = try kcat(["-L", "-J"])
        guard output.status == .code(0),
            let object = try JSONSerialization.jsonObject(with: Data(output.stdout.utf8))
                as? [String: Any],
            let topics = object["topics"] as? [[String: Any]]
        else { throw SupportError("kcat -L: \(output.stderr)") }
        return topics.reduce(into: [:]) { counts, topic in
            guard let name = topic["topic"] as? String, !name.hasPrefix("__") else { return }
            counts[name] = (topic["partitions"] as? [Any])?.count ?? 0
        }
    }

    /// Makes a topic, as its operator would before the daemon is there.
    public func createTopic(
        _ name: String,
        partitions: Int = 1,
        config: [String: String] = [:]
    ) throws {
        let settings = try JSONSerialization.data(withJSONObject: config)
        try python(
            """
            from confluent_kafka.admin import AdminClient, NewTopic
            admin = AdminClient({'bootstrap.servers': broker})
            topic = NewTopic(sys.argv[1], int(sys.argv[2]), 1, config=json.loads(sys.argv[3]))
            admin.create_topics([topic])[sys.argv[1]].result()
            """,
            [name, "\(partitions)", String(decoding: settings, as: UTF8.self)]
        )
    }

    /// The settings of a topic by name, as the broker tells them.
    public func config(of topic: String) throws -> [String: String] {
        let text = try python(
            """
            from confluent_kafka.admin import AdminClient, ConfigResource
            admin = AdminClient({'bootstrap.servers': broker})
            resource = ConfigResource(ConfigResource.Type.TOPIC, sys.argv[1])
            found = admin.describe_configs([resource])[resource].result()
            print(json.dumps({name: entry.value for name, entry in found.items()}))
            """,
            [topic]
        )
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
        return object as? [String: String] ?? [:]
    }

    /// Calls `body` with every record of a topic, each partition's in order.
    ///
    /// There are none where there is no such topic. Blocks its thread.
    public func read(
        _ topic: String,
        isolation: KafkaIsolation = .committed,
        _ body: (KafkaRecord) throws -> Void
    ) throws {
        guard try partitionCounts()[topic] != nil else { return }
        let directory = try TemporaryDirectory()
        let (path, errors) = (directory.file("records"), directory.file("errors"))
        let flags = O_WRONLY | O_CREAT | O_CLOEXEC
        let (out, err) = (open(path, flags, 0o600), open(errors, flags, 0o600))
        defer { for descriptor in [out, err] { close(descriptor) } }
        let child = try ChildProcess(
            Self.kcatPath,
            [
                "-C", "-b", address, "-t", topic, "-o", "beginning", "-e", "-q",
                "-X", "isolation.level=\(isolation.rawValue)",
                "-f", #"%t\t%p\t%o\t%T\t%K\t%S\t%h\t%k\t%s\n"#,
            ],
            stdout: out,
            stderr: err
        )
        let status = child.waitBlocking(.seconds(120))
        guard status == .code(0) else {
            let text = (try? String(contentsOfFile: errors, encoding: .utf8)) ?? ""
            let ending = status.map { "\($0)" } ?? "no end"
            throw SupportError("kcat on \(topic): \(ending)\n\(text.suffix(2_000))")
        }
        try Data(contentsOf: URL(filePath: path), options: .alwaysMapped).withUnsafeBytes { bytes in
            var rest = bytes[...]
            while let end = rest.firstLineFeed {
                try body(try KafkaRecord(line: UnsafeRawBufferPointer(rebasing: rest[..<end])))
                rest = rest[(end + 1)...]
            }
            guard rest.isEmpty else { throw SupportError("\(topic) ends within a record") }
        }
    }

    /// All records of a topic at once; for tests with few of them.
    public func records(
        of topic: String,
        isolation: KafkaIsolation = .committed
    ) throws -> [KafkaRecord] {
        var records: [KafkaRecord] = []
        try read(topic, isolation: isolation) { records.append($0) }
        return records
    }
}

extension Slice<UnsafeRawBufferPointer> {
    fileprivate var firstLineFeed: Int? {
        guard let base = base.baseAddress, !isEmpty,
            let found = memchr(base + startIndex, 0x0a, count)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
