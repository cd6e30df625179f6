// SPDX-License-Identifier: Apache-2.0
//
// sink.kafka: its keys, their defaults and bounds, and the properties that walrelay does not leave
// to anybody.

import ChangeModel
import Settings
import Testing

/// A draft with one kafka section in flow style, on line 4.
private func draft(_ keys: String) -> Draft {
    Draft(sink: "{ kind: kafka, kafka: { bootstrapServers: a, \(keys) } }")
}

/// A draft whose properties are block style, one a line from line 8 on.
private func draft(properties: [String], _ keys: String = "transactional: true") -> Draft {
    let lines = properties.map { "      \($0)\n" }.joined()
    return Draft(
        sink: "\n  kind: kafka\n  kafka:\n    bootstrapServers: a\n    \(keys)\n"
            + "    properties:\n\(lines)"
    )
}

private func kafka(_ draft: Draft) throws -> Settings.Sink.Kafka {
    guard case .kafka(let kafka) = try draft.settings(["P": "secret"]).sink else {
        throw Missing()
    }
    return kafka
}

private struct Missing: Error {}

@Suite struct KafkaSectionTests {
    @Test func `every key is read`() throws {
        let read = try kafka(
            Draft(
                sink: """
                    { kind: kafka, kafka: { bootstrapServers: "a:9092, b:9092", topicPrefix: p.x,
                      transactional: false, createTopics: true, partitions: 12,
                      replicationFactor: 3, topicConfig: { retention.ms: -1, cleanup.policy: compact },
                      tombstones: false, schemas: true, transactionTopic: true, heartbeats: 30s,
                      onOversize: deadLetter,
                      properties: { sasl.password: "${P}", linger.ms: 5 } } }
                    """
            )
        )
        var due = Settings.Sink.Kafka(bootstrapServers: ["a:9092", "b:9092"], topicPrefix: "p.x")
        due.transactional = false
        due.partitions = 12
        due.replicationFactor = 3
        due.topicConfig = ["retention.ms": "-1", "cleanup.policy": "compact"]
        due.tombstones = false
        due.schemas = true
        due.transactionTopic = true
        due.heartbeats = .seconds(30)
        due.onOversize = .deadLetter
        due.properties = ["sasl.password": Secret("secret"), "linger.ms": Secret("5")]
        #expect(read == due)
    }

    @Test func `what is left out has its default, and the task names the topics`() throws {
        let read = try kafka(Draft(sink: "{ kind: kafka, kafka: { bootstrapServers: a } }"))
        #expect(read == .init(bootstrapServers: ["a"], topicPrefix: "orders"))
        #expect(read.transactional && read.createTopics && read.tombstones)
        #expect(!read.schemas && !read.transactionTopic)
        #expect(read.partitions == nil && read.replicationFactor == nil && read.heartbeats == nil)
        #expect(read.onOversize == .stop)
        #expect(try kafka(draft("heartbeats: off")).heartbeats == nil)
    }

    @Test(arguments: [
        ("partitions: 0", "partitions: \"0\" is out of bounds: 1 to 10000"),
        ("replicationFactor: 101", "replicationFactor: \"101\" is out of bounds: 1 to 100"),
        (
            "heartbeats: 999ms",
            "heartbeats: \"999ms\" is out of bounds: 1s to 1d; off is allowed too"
        ),
        (
            "onOversize: deadletter",
            "onOversize: \"deadletter\" is not one of stop, deadLetter (did you mean \"deadLetter\"?)"
        ),
        ("schemas: yes", "schemas: \"yes\" is neither true nor false"),
        (
            "replicationFactor: 2, topicConfig: { min.insync.replicas: 3 }",
            "topicConfig: min.insync.replicas is 3 and replicationFactor 2: such a topic takes no"
                + " record"
        ),
    ])
    func `a key that is out of bounds is a fault`(_ keys: String, _ message: String) {
        let faults = draft(keys).faults()
        #expect(faults.count == 1)
        #expect(faults.first?.hasSuffix(": sink.kafka.\(message)") == true, "\(faults)")
    }

    @Test func `a mistyped key is an error with the one that was meant`() {
        #expect(
            draft("replicatonFactor: 3").faults() == [
                "s:4:52: unknown key \"replicatonFactor\" in sink.kafka"
                    + " (did you mean \"replicationFactor\"?)"
            ]
        )
    }

    @Test func `what has no effect is said`() throws {
        let settings = try draft("createTopics: false, partitions: 3, topicConfig: { a: b }")
            .settings()
        #expect(
            settings.warnings == [
                "sink.kafka: partitions, topicConfig without effect: createTopics is false"
            ]
        )
    }
}

@Suite struct KafkaPropertyTests {
    @Test func `what a promise rests on cannot be weakened`() {
        let owned = [
            "bootstrap.servers: b:9092", "metadata.broker.list: b", "enable.idempotence: false",
            "acks: 1", "request.required.acks: 0", "max.in.flight: 6", "retries: 0",
            "queuing.strategy: lifo", "partitioner: random", "isolation.level: read_uncommitted",
            "allow.auto.create.topics: true", "group.id: g", "dr_msg_cb: f", "opaque: x",
            "message.timeout.ms: 60001",
        ]
        let faults = draft(properties: owned).faults()
        #expect(faults.count == owned.count)
        for (index, property) in owned.enumerated() {
            let key = property.prefix { $0 != ":" }
            let start = "s:\(index + 10):7: sink.kafka.properties.\(key): "
            #expect(faults.contains { $0.hasPrefix(start) && $0.count > start.count }, "\(key)")
        }
    }

    @Test func `what walrelay does anyway may be said`() throws {
        let settings = try draft(
            properties: [
                "enable.idempotence: true", "acks: all", "max.in.flight: 1", "retries: 5",
                "partitioner: murmur2_random", "isolation.level: read_committed",
                "transactional.id: mine", "transaction.timeout.ms: 90000",
                "message.timeout.ms: 90000",
            ]
        ).settings()
        #expect(settings.warnings == [])
    }

    @Test func `a transactional id belongs to transactions`() {
        #expect(
            draft(properties: ["transactional.id: x"], "transactional: false").faults() == [
                "s:10:7: sink.kafka.properties.transactional.id: needs sink.kafka.transactional:"
                    + " true"
            ]
        )
    }

    @Test func `a delivery without transactions may take for ever`() throws {
        let draft = draft(properties: ["message.timeout.ms: 0"], "transactional: false")
        #expect(try kafka(draft).properties["message.timeout.ms"] == Secret("0"))
        for property in [
            "message.timeout.ms: 1", "delivery.timeout.ms: 1", "enable.gapless.guarantee: false",
        ] {
            let faults = Draft(
                sink: "{ kind: kafka, kafka: { bootstrapServers: a, transactional: false, "
                    + "properties: { \(property) } } }"
            ).faults()
            #expect(faults.count == 1 && faults[0].contains("leaves a gap"), "\(property)")
        }
    }

    @Test func `files are looked for beside the settings`() throws {
        let properties = try kafka(
            draft(
                properties: [
                    "ssl.ca.location: ca.pem", "ssl.key.location: /k", "ssl.key.pem: not/a/path",
                ]
            )
        ).properties
        #expect(properties["ssl.ca.location"] == Secret("/etc/w/ca.pem"))
        #expect(properties["ssl.key.location"] == Secret("/k"))
        #expect(properties["ssl.key.pem"] == Secret("not/a/path"))
        let probe = try kafka(draft(properties: ["ssl.ca.location: probe"])).properties
        #expect(probe["ssl.ca.location"] == Secret("probe"))
    }

    @Test(arguments: [
        (["enable.ssl.certificate.verification: false"], "trusts whoever answers"),
        (["ssl.endpoint.identification.algorithm: none"], "whatever its host"),
        (["security.protocol: SASL_PLAINTEXT", "sasl.mechanism: PLAIN"], "in clear"),
    ])
    func `a weak connection is warned of`(_ properties: [String], _ end: String) throws {
        let warnings = try draft(properties: properties).settings().warnings
        #expect(warnings.count == 1)
        #expect(warnings.first?.contains(end) == true, "\(warnings)")
    }

    @Test func `a password in a file that everybody reads is warned of`() throws {
        try withDirectory { directory in
            let path = directory + "/s.yaml"
            let properties = [
                "sasl.password: hunter2", "ssl.key.pem: hunter2", "linger.ms: 5",
                "ssl.key.password: '${P}'",
            ]
            try write(draft(properties: properties).text, to: path, mode: 0o644)
            let settings = try Settings.load(path: path, environment: ["P": "x"])
            let warning = try #require(settings.warnings.first)
            #expect(warning.contains("(sink.kafka.properties.sasl.password, "))
            #expect(warning.contains("sink.kafka.properties.ssl.key.pem)"))
            #expect(!warning.contains("hunter2"))
        }
    }

    @Test func `secrets come from files, as they are at the moment`() throws {
        try withDirectory { directory in
            let text = draft(
                properties: ["sasl.username: u"],
                "passwordFile: pw\n    keyPasswordFile: 'credential:key'"
            ).text
            try write(text, to: directory + "/s.yaml")
            try write("first\n", to: directory + "/pw", mode: 0o644)
            try write("key\n", to: directory + "/key")
            let settings = try Settings.load(path: directory + "/s.yaml", environment: [:])
            #expect(settings.warnings.contains { $0.contains("\(directory)/pw") })
            guard case .kafka(let section) = settings.sink else { throw Missing() }
            let environment = ["CREDENTIALS_DIRECTORY": directory]
            var properties = try section.resolvedProperties(environment: environment)
            #expect(properties["sasl.password"] == "first" && properties["sasl.username"] == "u")
            #expect(properties["ssl.key.password"] == "key")
            try write("second", to: directory + "/pw")
            properties = try section.resolvedProperties(environment: environment)
            #expect(properties["sasl.password"] == "second")
            let error = #expect(throws: WalrelayError.self) {
                _ = try section.resolvedProperties(environment: [:])
            }
            #expect(error?.code == "settings.secret_file")
        }
    }

    @Test func `a secret has one place`() {
        let faults = draft(
            properties: ["sasl.password: a", "ssl.key.password: b"],
            "passwordFile: pw\n    keyPasswordFile: pw"
        ).faults()
        #expect(faults.count == 2)
        #expect(faults[0].contains("passwordFile: cannot stand beside properties.sasl.password"))
        #expect(faults[1].contains("keyPasswordFile: cannot stand beside properties.ssl.key"))
    }

    @Test func `no fault shows a property's value`() {
        let faults = draft(
            properties: ["acks: hunter2", "retries: hunter2", "group.id: hunter2"]
        ).faults()
        #expect(faults.count == 3)
        #expect(!faults.joined().contains("hunter2"))
    }
}
