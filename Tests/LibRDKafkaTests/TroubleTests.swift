// SPDX-License-Identifier: Apache-2.0
//
// Clusters that cannot be reached or are none: what the operator is told, and how soon.

#if Kafka
import LibRDKafka
import Logging
import Support
import Testing

struct TroubleTests {
    /// What is told about a server that is asked for a second, and again until that is enough: on a
    /// busy machine a connection takes longer to fail.
    private static func complaint(
        _ server: String,
        _ others: [String: String] = [:],
        logger: Logger = quiet,
        until isEnough: (KafkaError) -> Bool = { _ in true }
    ) throws -> KafkaError {
        let properties = [
            "bootstrap.servers": server, "reconnect.backoff.ms": "10",
            "reconnect.backoff.max.ms": "50",
        ]
        let admin = try Admin(properties.merging(others) { $1 }, logger: logger)
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            let began = ContinuousClock.now
            let error = try #require(throws: KafkaError.self) {
                _ = try admin.describe(topics: ["t"], timeout: .seconds(1))
            }
            #expect(ContinuousClock.now - began < .seconds(20))
            if isEnough(error) || deadline < .now { return error }
        }
    }

    @Test func `a port that nobody listens on`() async throws {
        try await onThread {
            let error = try Self.complaint("127.0.0.1:\(FreePort.find())") {
                $0.text.contains("Connection refused")
            }
            #expect(error.kind == .unreachable && error.isRetriable)
            #expect(error.text.contains("Connection refused"))
        }
    }

    @Test func `a host that does not exist`() async throws {
        try await onThread {
            let error = try Self.complaint("no-such-host.invalid:9092") { $0.name == "_RESOLVE" }
            #expect(error.kind == .unreachable)
            #expect(error.name == "_RESOLVE")
            #expect(error.text.contains("no-such-host.invalid"))
        }
    }

    @Test func `a server that speaks another protocol`() async throws {
        try await onThread {
            let server = try LineServer(answer: "HTTP/1.1 400 Bad Request\r\n\r\n")
            let error = try Self.complaint("127.0.0.1:\(server.port)") {
                $0.kind == .wrongProtocol
            }
            #expect(error.kind == .wrongProtocol && error.isRetriable)
            #expect(error.text.contains("127.0.0.1:\(server.port)"))
            #expect(error.text.contains("is it a Kafka port"))
            #expect(!error.text.contains("receive.message.max.bytes"))
        }
    }

    @Test func `a server that never answers`() async throws {
        try await onThread {
            let server = try LineServer(answer: nil)
            let error = try Self.complaint("127.0.0.1:\(server.port)")
            #expect(error.kind == .unreachable && error.isRetriable)
        }
    }

    @Test func `TLS with a server that has none`() async throws {
        try await onThread {
            let cluster = try MockCluster()
            let error = try Self.complaint(
                cluster.bootstrapServers,
                ["security.protocol": "ssl"]
            ) { $0.text.contains("SSL_HANDSHAKE") }
            #expect(error.kind == .unreachable && error.isRetriable)
            #expect(error.text.contains("SSL_HANDSHAKE"))
            #expect(error.text.contains("does the port speak TLS?"))
        }
    }

    @Test func `a broker that is away does not flood the log`() async throws {
        try await onThread {
            let log = LoggedLines()
            let producer = try Producer(
                "127.0.0.1:\(FreePort.find())",
                ["reconnect.backoff.max.ms": "10"],
                logger: log.logger
            )
            let topic = try producer.topic("t")
            #expect(producer.produce("k", "v", to: topic) == .queued)
            let end = ContinuousClock.now + .seconds(2)
            while ContinuousClock.now < end { producer.poll(.milliseconds(50)) }
            #expect(log.all.contains { $0.contains("Connection refused") })
            #expect(log.all.count < 10)
            #expect(log.all.allSatisfy { !$0.hasPrefix("error") })
        }
    }

    @Test(arguments: [nil, "HTTP/1.1 400 Bad Request\r\n\r\n"])
    func `closing takes little time whatever the other side does`(_ answer: String?) async throws {
        try await onThread {
            let server = try LineServer(answer: answer)
            var producer: Producer? = try Producer(
                "127.0.0.1:\(server.port)",
                ["transactional.id": "x"]
            )
            #expect(throws: KafkaError.self) {
                try producer?.initTransactions(timeout: .milliseconds(300))
            }
            let began = ContinuousClock.now
            producer = nil
            #expect(ContinuousClock.now - began < .seconds(10))
        }
    }
}
#endif
