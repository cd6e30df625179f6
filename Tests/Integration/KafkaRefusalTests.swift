// SPDX-License-Identifier: Apache-2.0
//
// What an operator gets wrong with brokers, topics and properties, and what walrelay says to it:
// one error with its code, the object, and what to try next. And records that are too large.
import Foundation
import Support
import Testing

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)))
struct KafkaRefusalTests {
    private static let table = "CREATE TABLE t (id int PRIMARY KEY, s text)"
    private static let impatient = "retry: { for: 2s }"

    private static func refused(
        _ name: String,
        sql: String = table,
        address: String? = nil,
        kafka: [String] = []
    ) async throws -> Outcome {
        let task = try await KafkaTask.sharing(
            name,
            sql: sql,
            address: address,
            kafka: kafka,
            more: impatient
        )
        let outcome = try await task.run("run", ["--until", "now"])
        try await task.end()
        return outcome
    }

    @Test
    func `a port where nobody listens`() async throws {
        let port = try FreePort.find()
        let outcome = try await Self.refused("no_broker", address: "127.0.0.1:\(port)")
        outcome.expectRefusal(75, "sink.unreachable", "127.0.0.1:\(port)")
    }

    @Test
    func `a port of PostgreSQL`() async throws {
        let port = try await VersionClusters.all.cluster().port
        let outcome = try await Self.refused("wrong_protocol", address: "127.0.0.1:\(port)")
        outcome.expectRefusal(75, "sink.unreachable", "127.0.0.1:\(port)")
    }

    @Test
    func `a name that no server has`() async throws {
        let outcome = try await Self.refused("no_name", address: "kafka.invalid:9092")
        outcome.expectRefusal(75, "sink.unreachable", "kafka.invalid")
    }

    @Test
    func `TLS to a port without`() async throws {
        let outcome = try await Self.refused(
            "no_tls",
            kafka: ["properties: { security.protocol: ssl }"]
        )
        // A broker without TLS just closes the connection: it may also be one that is not up.
        #expect([.code(75), .code(77)].contains(outcome.status), "\(outcome.stderr)")
        #expect(outcome.stderr.uppercased().contains("TLS") || outcome.stderr.contains("SSL"))
    }

    @Test
    func `a topicPrefix that no topic can have`() async throws {
        let task = try await KafkaTask.sharing("bad_prefix", sql: Self.table)
        let settings = try String(contentsOfFile: task.relay.settingsPath, encoding: .utf8)
        let spoiled = settings.replacing("topicPrefix: bad_prefix", with: "topicPrefix: 'a b/c'")
        try spoiled.write(toFile: task.relay.settingsPath, atomically: true, encoding: .utf8)
        let outcome = try await task.run("run")
        #expect(outcome.status == .code(78))
        #expect(outcome.stderr.contains("topicPrefix"), "\(outcome.stderr)")
        try await task.end()
    }

    @Test(arguments: [
        ("lingre.ms", "5", "lingre.ms"), ("linger.ms", "never", "linger.ms"),
        ("enable.idempotence", "false", "enable.idempotence"), ("acks", "1", "acks"),
        ("sasl.password", "hunter2", "no.such"),
    ])
    func `a property that librdkafka has not, or that breaks a promise`(
        property: String,
        value: String,
        text: String
    ) async throws {
        // The last one is right by itself: a password is no reason to show it.
        let wrong = property == "sasl.password" ? ", no.such: 1" : ""
        let outcome = try await Self.refused(
            "property_\(property.filter(\.isLetter).lowercased())",
            kafka: ["properties: { \(property): '\(value)'\(wrong) }"]
        )
        #expect(outcome.status == .code(78), "\(outcome.stderr)")
        #expect(outcome.stderr.contains(text), "\(outcome.stderr)")
        #expect(!outcome.stderr.contains("hunter2"))
    }

    @Test
    func `a topic that is absent and not to be made`() async throws {
        let outcome = try await Self.refused("not_made", kafka: ["createTopics: false"])
        #expect(outcome.status == .code(77), "\(outcome.stderr)")
        #expect(
            outcome.stderr.contains("not_made.public.t") || outcome.stderr.contains("checkpoint")
        )
        #expect(outcome.stderr.contains("kafka-topics"), "\(outcome.stderr)")
    }

    @Test
    func `two tables whose topics would have one name`() async throws {
        let outcome = try await Self.refused(
            "one_name",
            sql:
                #"CREATE TABLE "a b" (id int PRIMARY KEY); CREATE TABLE "a/b" (id int PRIMARY KEY)"#
        )
        #expect([.code(77), .code(78)].contains(outcome.status), "\(outcome.stderr)")
        #expect(outcome.stderr.contains("one_name.public.a_b"), "\(outcome.stderr)")
    }

    // MARK: Records that are too large

    private static let limit = "properties: { message.max.bytes: 20000 }"
    private static let large = """
        INSERT INTO t VALUES (2, 'small');
        BEGIN;
        INSERT INTO t VALUES (3, 'with a large one');
        INSERT INTO t SELECT 4, string_agg(md5(i::text), '') FROM generate_series(1, 1000) i;
        INSERT INTO t VALUES (5, 'after it');
        COMMIT;
        """

    @Test
    func `a record that is too large ends the task before its transaction`() async throws {
        let task = try await KafkaTask.sharing(
            "too_large",
            sql: Self.table + "; INSERT INTO t VALUES (1, 'first')",
            kafka: [Self.limit]
        )
        try await task.runUntilNow()
        try await task.sql(Self.large)
        let outcome = try await task.run("run", ["--until", "now"])
        outcome.expectRefusal(65, "sink.record_too_large", "public.t", #"{"id":4}"#, "bytes")
        let keys = try await task.records("public.t").map(\.key)
        #expect(Set(keys).isSubset(of: [#"{"id":1}"#, #"{"id":2}"#]), "\(keys)")
        // With room for it the task goes on where it stopped.
        try await task.with(kafka: ["properties: { message.max.bytes: 900000 }"]).runUntilNow()
        #expect(try await task.differences(["public.t": ["id"]]) == [])
        try await task.end()
    }

    @Test
    func `a record that is too large goes to the dead letters`() async throws {
        let task = try await KafkaTask.sharing(
            "dead_letters",
            sql: Self.table + "; INSERT INTO t VALUES (1, 'first')",
            kafka: [Self.limit, "onOversize: deadLetter"]
        )
        try await task.runUntilNow()
        try await task.sql(Self.large)
        try await task.runUntilNow()
        let keys = try await task.records("public.t").map(\.key)
        #expect(keys == [1, 2, 3, 5].map { #"{"id":\#($0)}"# })
        let letters = try await task.records("dead-letter")
        try #require(letters.count == 1)
        let letter = letters[0].value ?? ""
        for text in ["public", "\"t\"", #""id":4"#] { #expect(letter.contains(text), "\(letter)") }
        let sequence = try await task.records("public.t").last?.event().commitLSN
        #expect(letter.contains("\(sequence ?? 0)"), "\(letter)")
        try await task.end()
    }
}
