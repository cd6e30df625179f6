// SPDX-License-Identifier: Apache-2.0
//
// The check against a broker: it tells what is there, what would be made and what is in the way,
// and leaves the broker as it was.

#if Kafka
import ChangeModel
import Support
import Testing

@testable import KafkaSink

@Suite(
    .timeLimit(.minutes(3)),
    .enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence))
)
struct KafkaCheckTests {
    private static func options(
        _ servers: String,
        _ more: [String: String] = [:],
        _ change: (inout KafkaSinkOptions) -> Void = { _ in }
    ) -> KafkaSinkOptions {
        var options = KafkaSinkOptions(
            task: "orders",
            database: "shop",
            version: "0",
            format: ValueFormat(),
            topicPrefix: "p",
            properties: ["bootstrap.servers": servers].merging(more) { $1 }
        )
        change(&options)
        return options
    }

    private static func relation(
        _ name: String,
        schema: String = "public",
        oid: UInt32 = 1,
        identity: ReplicaIdentity = .default,
        hasKey: Bool = true
    ) -> Relation {
        Relation(
            oid: oid,
            schema: schema,
            name: name,
            replicaIdentity: identity,
            columns: [Column(name: "id", typeOID: 23, isKey: hasKey)]
        )
    }

    private static func check(
        _ options: KafkaSinkOptions,
        _ relations: [Relation]
    ) async throws -> [Finding] {
        try await onThread { KafkaCheck.findings(options, relations: relations) }
    }

    private static func lines(_ findings: [Finding]) -> [String] {
        findings.map { "\($0.id) \($0.level.rawValue) \($0.subject)" }
    }

    private static func topics(of broker: KafkaBroker) throws -> String {
        try broker.python(
            """
            from confluent_kafka.admin import AdminClient
            a = AdminClient({'bootstrap.servers': broker})
            print(' '.join(sorted(t for t in a.list_topics().topics if not t.startswith('__'))))
            """
        ).split(separator: "\n").joined()
    }

    private static func make(_ broker: KafkaBroker, _ topic: String, _ config: String) throws {
        try broker.python(
            """
            from confluent_kafka.admin import AdminClient, NewTopic
            a = AdminClient({'bootstrap.servers': broker})
            name, config = sys.argv[1], json.loads(sys.argv[2])
            for f in a.create_topics([NewTopic(name, 3, 1, config=config)]).values(): f.result()
            """,
            [topic, config]
        )
    }

    @Test func `it tells what would be made and makes nothing`() async throws {
        let broker = try await KafkaBroker.start()
        let found = try await Self.check(
            Self.options(broker.address) {
                $0.transactionTopic = true
                $0.partitions = 2
            },
            [Self.relation("a"), Self.relation("log", oid: 2, identity: .full, hasKey: false)]
        )
        #expect(
            Self.lines(found) == [
                "kafka.brokers ok brokers", "kafka.single_broker warning brokers",
                "kafka.transactions ok transactional.id", "kafka.checkpoint ok checkpoint",
                "table.keyless warning public.log",
                "topic.to_be_made ok p.walrelay-checkpoint", "topic.to_be_made ok p.transaction",
                "topic.to_be_made ok p.public.a", "topic.to_be_made ok p.public.log",
            ]
        )
        #expect(try Self.topics(of: broker) == "")
    }

    @Test func `topics that are there are told with what they have, and what is wrong`()
        async throws
    {
        let broker = try await KafkaBroker.start()
        try Self.make(broker, "p.public.a", #"{"max.message.bytes": "5000"}"#)
        try Self.make(broker, "p.public.b", #"{"min.insync.replicas": "2"}"#)
        try Self.make(broker, "p.public.c", #"{"cleanup.policy": "compact"}"#)
        try Self.make(broker, "p.walrelay-checkpoint", "{}")
        let before = try Self.topics(of: broker)
        let found = try await Self.check(
            Self.options(broker.address) { $0.tombstones = false },
            ["a", "b", "c"].enumerated().map { Self.relation($1, oid: UInt32($0)) }
        )
        let faults = found.filter { $0.level != .ok }
        #expect(
            Self.lines(faults) == [
                "kafka.single_broker warning brokers",
                "topic.not_compacted failed p.walrelay-checkpoint",
                "topic.insync failed p.public.b",
                "topic.compacted_no_tombstones warning p.public.c",
            ]
        )
        let a = try #require(found.first { $0.subject == "p.public.a" })
        #expect(a.found.hasPrefix("3 partitions, 1 replica, cleanup.policy delete"))
        #expect(a.found.hasSuffix("max.message.bytes 5000"))
        #expect(try Self.topics(of: broker) == before)
    }

    @Test func `what the brokers would refuse is told in their words`() async throws {
        let broker = try await KafkaBroker.start()
        let config = try await Self.check(
            Self.options(broker.address) { $0.topicConfig = ["retentoin.ms": "1"] },
            [Self.relation("a")]
        ).filter { $0.level == .failed }
        #expect(Self.lines(config) == ["topic.refused failed p.public.a"])
        #expect(config.first?.found.contains("retentoin.ms") == true)
        let replicas = try await Self.check(
            Self.options(broker.address) { $0.replicationFactor = 3 },
            [Self.relation("a")]
        ).filter { $0.level == .failed }
        #expect(replicas.contains { $0.id == "topic.replication" })
        #expect(try Self.topics(of: broker) == "")
    }

    @Test func `topics are missing where they are not to be made`() async throws {
        let broker = try await KafkaBroker.start()
        let options = Self.options(broker.address) { $0.createTopics = false }
        let found = try await Self.check(options, [Self.relation("a")])
        let missing = found.filter { $0.level == .failed }
        #expect(
            Self.lines(missing) == [
                "topic.missing failed p.walrelay-checkpoint", "topic.missing failed p.public.a",
            ]
        )
        #expect(
            missing.first?.mend.hasPrefix(
                "kafka-topics --bootstrap-server \(broker.address) --create --topic "
                    + "p.walrelay-checkpoint --partitions 1"
            ) == true
        )
    }

    @Test func `names that come to one topic, or nearly, are refused`() async throws {
        let broker = try await KafkaBroker.start()
        let same = try await Self.check(
            Self.options(broker.address),
            [Self.relation("ä"), Self.relation("ö", oid: 2)]
        )
        #expect(same.filter { $0.level == .failed }.map(\.id) == ["topic.name_clash"])
        let near = try await Self.check(
            Self.options(broker.address),
            [Self.relation("b_c", schema: "a"), Self.relation("c", schema: "a_b", oid: 2)]
        )
        #expect(near.filter { $0.level == .failed }.map(\.id) == ["topic.name_collision"])
    }

    @Test func `a property that librdkafka does not take is named, its value not`() async throws {
        let broker = try await KafkaBroker.start()
        for (name, value) in [("lingering.ms", "hunter2"), ("linger.ms", "hunter2")] {
            let found = try await Self.check(Self.options(broker.address, [name: value]), [])
            #expect(Self.lines(found) == ["sink.property_malformed failed brokers"])
            #expect(found.first?.found.contains(name) == true)
            #expect(found.first?.found.contains("hunter2") == false)
        }
    }

    @Test func `brokers that do not answer are one finding with the reason`() async throws {
        let port = try FreePort.find()
        let found = try await Self.check(Self.options("127.0.0.1:\(port)"), [Self.relation("a")])
        #expect(Self.lines(found) == ["sink.unreachable failed brokers"])
        #expect(found.first?.found.contains("refused") == true, "\(found)")
    }

    @Test func `a port without TLS is told from one that is closed`() async throws {
        let broker = try await KafkaBroker.start()
        let found = try await Self.check(
            Self.options(broker.address, ["security.protocol": "ssl"]),
            [Self.relation("a")]
        )
        #expect(found.count == 1)
        // The broker's end of the connection or our reading of its answer: what comes first.
        let ids = ["sink.tls_failed", "sink.unreachable"]
        #expect(ids.contains(found.first?.id ?? ""), "\(found)")
        #expect(found.first?.found.lowercased().contains("ssl") == true, "\(found)")
        #expect(found.first?.mend.contains("security.protocol") == true)
    }
}
#endif
