// SPDX-License-Identifier: Apache-2.0
//
// Properties that librdkafka does not take: the property is named, its value never.

#if Kafka
import LibRDKafka
import Support
import Testing

struct PropertyTests {
    private static let secret = "s3cr3t-v4lue"

    @Test(arguments: [
        ("no.such.property", "librdkafka has no such property"),
        ("linger.ms", "invalid value"),
        ("security.protocol", "invalid value"),
        ("enable.idempotence", "not true or false"),
        ("compression.type", "invalid value"),
        ("debug", "invalid value"),
    ])
    func `a property that is not taken is named`(_ name: String, _ reason: String) throws {
        let error = try #require(throws: KafkaError.self) {
            _ = try Producer("127.0.0.1:1", [name: Self.secret])
        }
        #expect(error.kind == .badProperty)
        #expect(error.property == name)
        #expect(error.text.contains(name) && error.text.contains(reason))
        #expect(!"\(error)".contains(Self.secret))
    }

    @Test func `a number out of range is told with the range`() throws {
        let error = try #require(throws: KafkaError.self) {
            _ = try Producer("127.0.0.1:1", ["linger.ms": "-77"])
        }
        #expect(
            error.text == "property linger.ms: its value is outside the allowed range 0..900000"
        )
        let other = try #require(throws: KafkaError.self) {
            _ = try Producer("127.0.0.1:1", ["message.max.bytes": "7"])
        }
        #expect(other.text.contains("allowed range 1000..1000000000"))
    }

    @Test func `properties that do not fit each other are named`() throws {
        let error = try #require(throws: KafkaError.self) {
            _ = try Producer(
                "127.0.0.1:1",
                ["transactional.id": "x", "enable.idempotence": "false"]
            )
        }
        #expect(error.kind == .badProperty)
        #expect(error.property == "transactional.id")
        #expect(error.text.contains("enable.idempotence"))
    }

    @Test func `a value with a NUL is refused, not cut`() throws {
        let error = try #require(throws: KafkaError.self) {
            _ = try Producer("127.0.0.1:1", ["sasl.password": "abc\0def"])
        }
        #expect(error.property == "sasl.password")
        #expect(!error.text.contains("abc"))
    }

    @Test(arguments: [
        ["ssl.key.pem": secret, "security.protocol": "ssl"],
        [
            "ssl.key.location": "/nonexistent", "ssl.key.password": secret,
            "security.protocol": "ssl",
        ],
    ])
    func `what librdkafka says of wrong secrets does not hold them`(
        _ properties: [String: String]
    ) throws {
        let error = try #require(throws: KafkaError.self) {
            _ = try Producer("127.0.0.1:1", properties)
        }
        #expect(error.kind == .badProperty)
        #expect(!"\(error)".contains(Self.secret))
    }

    @Test func `a secret that librdkafka quotes in an error is blanked out`() async throws {
        try await onThread {
            let log = LoggedLines()
            let cluster = try MockCluster()
            let producer = try Producer(
                cluster.bootstrapServers,
                [
                    "security.protocol": "sasl_plaintext", "sasl.mechanisms": "OAUTHBEARER",
                    "enable.sasl.oauthbearer.unsecure.jwt": "true",
                    "sasl.oauthbearer.config": "principal=me \(Self.secret)",
                ],
                logger: log.logger
            )
            let deadline = ContinuousClock.now + .seconds(20)
            while producer.lastError == nil, ContinuousClock.now < deadline {
                producer.poll(.milliseconds(50))
            }
            let error = try #require(producer.lastError)
            #expect(error.kind == .authentication)
            #expect(error.text.contains("***"))
            #expect(!"\(error)\(log.all)".contains(Self.secret))
        }
    }
}
#endif
