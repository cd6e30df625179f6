// SPDX-License-Identifier: Apache-2.0
//
// What is said of topics of clusters that no test has at hand.

#if Kafka
import ChangeModel
@testable import LibRDKafka
import Testing

@testable import KafkaSink

@Suite struct TopicJudgementTests {
    private static func options(
        _ change: (inout KafkaSinkOptions) -> Void = { _ in }
    ) -> KafkaSinkOptions {
        var options = KafkaSinkOptions(
            task: "orders",
            database: "shop",
            version: "0",
            format: ValueFormat(),
            topicPrefix: "p",
            properties: ["bootstrap.servers": "b:9092", "sasl.username": "cdc"]
        )
        change(&options)
        return options
    }

    private static func judgement(
        brokers: Int = 3,
        keyless: Set<String> = [],
        remembered: [String: Int] = [:],
        appliesTruncate: Bool = false,
        _ change: (inout KafkaSinkOptions) -> Void = { _ in }
    ) -> TopicJudgement {
        let options = options(change)
        return TopicJudgement(
            options: options,
            errors: KafkaErrors(options),
            brokerCount: brokers,
            keyless: keyless,
            remembered: remembered,
            appliesTruncate: appliesTruncate
        )
    }

    private static let table = NeededTopic(
        purpose: .table("public.t"),
        topic: NewTopic("p.public.t", partitions: 6, replicationFactor: 3)
    )
    private static let checkpoint = NeededTopic(
        purpose: .checkpoint,
        topic: NewTopic("p.walrelay-checkpoint", partitions: 1)
    )

    private static func there(_ name: String = "p.public.t", replicas: Int = 3) -> TopicDescription
    {
        TopicDescription(name: name, partitionCount: 6, replicaCount: replicas)
    }

    private static func brief(_ findings: [Finding]) -> [String] {
        findings.map { "\($0.id) \($0.level.rawValue)" }
    }

    @Test func `a topic that is as it should be is described in one line`() {
        let found = Self.judgement().findings(
            of: Self.table,
            there: Self.there(),
            settings: [
                "cleanup.policy": "delete", "retention.ms": "604800000",
                "max.message.bytes": "1048588", "min.insync.replicas": "2",
            ]
        )
        #expect(
            found == [
                Finding(
                    "topic.present",
                    .ok,
                    subject: "p.public.t",
                    found: "6 partitions, 3 replicas, cleanup.policy delete, kept 7 days, "
                        + "max.message.bytes 1048588"
                )
            ]
        )
    }

    @Test(arguments: [
        ("-1", "for ever"), ("86400000", "1 day"), ("5400000", "90 minutes"), ("1", "1 ms"),
    ])
    func `a retention is told in whole units`(_ value: String, _ text: String) {
        let found = Self.judgement().findings(
            of: Self.table,
            there: Self.there(),
            settings: ["cleanup.policy": "delete", "retention.ms": value]
        )
        #expect(found.first?.found.hasSuffix("kept \(text)") == true)
    }

    @Test func `settings that may not be asked for are no fault`() {
        let found = Self.judgement().findings(of: Self.table, there: Self.there(), settings: nil)
        #expect(Self.brief(found) == ["topic.present ok"])
        #expect(found.first?.found.hasSuffix("its settings may not be asked for") == true)
    }

    @Test func `fewer replicas than have to be in sync is a failure with its statement`() {
        let found = Self.judgement(brokers: 1).findings(
            of: Self.table,
            there: Self.there(replicas: 1),
            settings: ["min.insync.replicas": "2"]
        )
        #expect(Self.brief(found) == ["topic.insync failed"])
        #expect(
            found.first?.mend
                == "kafka-configs --bootstrap-server b:9092 --alter --entity-type topics "
                + "--entity-name p.public.t --add-config min.insync.replicas=1"
        )
    }

    @Test func `what a lost broker would lose is warned of where there are others`() {
        func brief(_ replicas: Int, _ least: String, brokers: Int) -> [String] {
            Self.brief(
                Self.judgement(brokers: brokers).findings(
                    of: Self.table,
                    there: Self.there(replicas: replicas),
                    settings: ["min.insync.replicas": least]
                )
            )
        }
        #expect(brief(1, "1", brokers: 3) == ["topic.present ok", "topic.replicas warning"])
        #expect(brief(3, "1", brokers: 3) == ["topic.present ok", "topic.insync warning"])
        #expect(brief(3, "2", brokers: 3) == ["topic.present ok"])
        #expect(brief(1, "1", brokers: 1) == ["topic.present ok"])
    }

    @Test func `partitions that came later stay empty, and that is said`() {
        func brief(_ remembered: Int) -> [String] {
            Self.brief(
                Self.judgement(remembered: ["p.public.t": remembered])
                    .findings(of: Self.table, there: Self.there(), settings: [:])
            )
        }
        #expect(brief(6) == ["topic.present ok"])
        #expect(brief(4) == ["topic.present ok", "topic.partitions_unused warning"])
    }

    @Test(arguments: ["delete", "compact,delete"])
    func `a checkpoint that ages away is a failure`(policy: String) {
        let found = Self.judgement().findings(
            of: Self.checkpoint,
            there: Self.there("p.walrelay-checkpoint"),
            settings: ["cleanup.policy": policy]
        )
        #expect(Self.brief(found) == ["topic.not_compacted failed"])
        #expect(found.first?.mend.hasSuffix("--add-config cleanup.policy=compact") == true)
    }

    @Test func `a compacted topic wants keys, tombstones and no truncates`() {
        func ids(_ judgement: TopicJudgement) -> [String] {
            judgement.findings(
                of: Self.table,
                there: Self.there(),
                settings: ["cleanup.policy": "compact"]
            ).map(\.id)
        }
        #expect(ids(Self.judgement()) == ["topic.present"])
        #expect(
            ids(Self.judgement(keyless: ["p.public.t"])) == [
                "topic.present", "topic.compacted_keyless",
            ]
        )
        #expect(
            ids(Self.judgement { $0.tombstones = false }) == [
                "topic.present", "topic.compacted_no_tombstones",
            ]
        )
        #expect(
            ids(Self.judgement(appliesTruncate: true)) == [
                "topic.present", "topic.compacted_truncate",
            ]
        )
    }

    @Test func `a missing topic will be made, or is a failure with the statement that makes it`() {
        let made = Self.judgement().finding(ofMissing: Self.table, refusal: nil)
        #expect(made.level == .ok)
        #expect(made.found == "is missing and will be made with 6 partitions and 3 replicas")
        let left = Self.judgement { $0.createTopics = false }
            .finding(ofMissing: Self.table, refusal: nil)
        #expect("\(left.id) \(left.level)" == "topic.missing failed")
        #expect(
            left.mend
                == "kafka-topics --bootstrap-server b:9092 --create --topic p.public.t "
                + "--partitions 6 --replication-factor 3"
        )
    }

    @Test func `a topic that may not be seen is told with the right that it takes`() {
        var there = Self.there()
        there.error = KafkaError(code: 29, text: "not authorized")
        let denied = Self.judgement().finding(ofUnusable: there)
        #expect("\(denied.id) \(denied.level)" == "topic.unauthorized failed")
        #expect(denied.mend.contains("--allow-principal 'User:cdc'"))
        // A leader that is being elected will be there.
        there.error = KafkaError(code: 5, text: "leader not available")
        let waiting = Self.judgement().finding(ofUnusable: there)
        #expect("\(waiting.id) \(waiting.level)" == "topic.unusable warning")
    }

    @Test func `a topic that the brokers would refuse is a failure in their words`() {
        let denied = Self.judgement().finding(
            ofMissing: Self.table,
            refusal: KafkaError(code: 29, text: "not authorized")
        )
        #expect("\(denied.id) \(denied.level)" == "topic.unauthorized failed")
        #expect(denied.mend.hasPrefix("kafka-acls --bootstrap-server b:9092 --add"))
        let refused = Self.judgement().finding(
            ofMissing: Self.table,
            refusal: KafkaError(code: 40, text: "Unknown topic config name: nonsense")
        )
        #expect(refused.id == "topic.refused")
        #expect(refused.found.contains("Unknown topic config name: nonsense"))
    }
}
#endif
