// SPDX-License-Identifier: Apache-2.0
//
// `sink.kafka.properties`: any property of librdkafka, but for those on which walrelay's promises
// rest. Whether a property exists and takes its value librdkafka says when the sink is opened.

/// Reads `sink.kafka.properties`.
enum KafkaProperties {
    /// What a property may be here.
    private enum Rule {
        /// One of these values and no other, because of the reason.
        case only([String], String)
        /// A number within bounds, because of the reason.
        case within(ClosedRange<Int>, String)
        /// Nothing at all, because of the reason.
        case never(String)
    }

    private static let rules: [String: Rule] = {
        let ours = "is walrelay's own affair"
        let program = "takes what only a program has, not a text"
        let acks = "must stay all: a record that one broker has may be lost with it"
        let inFlight = "must be 1 to 5: with more, records that are sent again lose their order"
        let retries = "must not be 0: a record that fails once would be missing"
        return [
            "bootstrap.servers": .never("stands in bootstrapServers"),
            "metadata.broker.list": .never("stands in bootstrapServers"),
            "enable.idempotence": .only(
                ["true"],
                "must stay true: without it a retry may repeat records or change their order"
            ),
            "acks": .only(["all", "-1"], acks),
            "request.required.acks": .only(["all", "-1"], acks),
            "max.in.flight": .within(1...5, inFlight),
            "max.in.flight.requests.per.connection": .within(1...5, inFlight),
            "retries": .within(1...Int.max, retries),
            "message.send.max.retries": .within(1...Int.max, retries),
            "queuing.strategy": .only(["fifo"], "must stay fifo: records keep their order"),
            "partitioner": .only(
                ["murmur2", "murmur2_random"],
                "is murmur2, as in Java's producer: a key's changes stay in one partition"
            ),
            "isolation.level": .only(
                ["read_committed"],
                "must stay read_committed: a checkpoint counts once it is committed"
            ),
            "allow.auto.create.topics": .only(
                ["false"],
                "must stay false: createTopics says whether topics are made, and how"
            ),
            "group.id": .never(ours), "group.instance.id": .never(ours),
            "enable.auto.commit": .never(ours), "auto.commit.enable": .never(ours),
            "enable.auto.offset.store": .never(ours), "auto.offset.reset": .never(ours),
            "enable.partition.eof": .never(ours), "enabled_events": .never(ours),
            "delivery.report.only.error": .never(ours), "log.queue": .never(ours),
            "opaque": .never(program), "default_topic_conf": .never(program),
            "interceptors": .never(program), "msg_order_cmp": .never(program),
            "ssl_engine_callback_data": .never(program), "ssl_key": .never(program),
            "ssl_certificate": .never(program), "ssl_ca": .never(program),
        ]
    }()

    /// The properties that name a file, which relative paths are resolved for.
    private static let files: Set = [
        "ssl.ca.location", "ssl.certificate.location", "ssl.crl.location", "ssl.key.location",
        "ssl.keystore.location", "sasl.kerberos.keytab",
    ]

    static func read(_ section: Section, transactional: Bool) -> [String: Secret] {
        let base = section.context.baseDirectory
        let values = section.entries { form(of: $0, from: base) }
        for key in values.keys.sorted() {
            guard let value = values[key]?.reveal() else { continue }
            if let reason = refusal(of: key, value) { section.fault(key, reason) }
            if isPassword(key) { section.notePassword(in: key) }
        }
        if !transactional, values["transactional.id"] != nil {
            section.fault("transactional.id", "needs sink.kafka.transactional: true")
        }
        if transactional { judgeTimes(values, section) } else { judgeGaps(values, section) }
        judgeSecurity(values, section)
        return values
    }

    private static func form(of key: String, from directory: String) -> Form<Secret> {
        guard files.contains(key) else { return .secret }
        let path = Form<String>.path(from: directory)
        return Form<Secret>(path.noun) { text throws(Rejection) in
            // librdkafka takes this word for the usual places of the system.
            key == "ssl.ca.location" && text == "probe" ? Secret(text) : Secret(try path.read(text))
        }
    }

    private static func refusal(of key: String, _ value: String) -> String? {
        switch rules[key] {
        case .only(let allowed, let reason): allowed.contains(value) ? nil : reason
        case .within(let bounds, let reason):
            Int(value).map(bounds.contains) == true ? nil : reason
        case .never(let reason): reason
        case nil: key.hasSuffix("_cb") ? "takes what only a program has, not a text" : nil
        }
    }

    /// A record that failed alone would leave a gap, which a consumer cannot see.
    private static func judgeGaps(_ values: [String: Secret], _ section: Section) {
        for (key, needed) in [
            ("enable.gapless.guarantee", "true"), ("message.timeout.ms", "0"),
            ("delivery.timeout.ms", "0"),
        ] {
            guard let value = values[key]?.reveal(), value != needed else { continue }
            section.fault(
                key,
                "must be \(needed) without transactions: a record that fails alone leaves a gap"
            )
        }
    }

    /// A transaction that is over while its records still wait to be sent could not be committed.
    private static func judgeTimes(_ values: [String: Secret], _ section: Section) {
        func time(_ names: String...) -> (key: String, value: Int)? {
            names.lazy.compactMap { name in
                values[name].flatMap { Int($0.reveal()) }.map { (name, $0) }
            }.first
        }
        guard let message = time("message.timeout.ms", "delivery.timeout.ms") else { return }
        let limit = time("transaction.timeout.ms")?.value ?? 60_000
        if message.value > limit || message.value == 0 {
            section.fault(
                message.key,
                "must be 1 to \(limit), which is transaction.timeout.ms"
            )
        }
    }

    private static func judgeSecurity(_ values: [String: Secret], _ section: Section) {
        func value(_ names: String...) -> String? {
            names.lazy.compactMap { values[$0]?.reveal().lowercased() }.first
        }
        if value("enable.ssl.certificate.verification") == "false" {
            section.warn("enable.ssl.certificate.verification: false trusts whoever answers")
        } else if value("ssl.endpoint.identification.algorithm") == "none" {
            section.warn(
                "ssl.endpoint.identification.algorithm: none trusts every certificate of a known"
                    + " authority, whatever its host"
            )
        }
        if value("security.protocol") == "sasl_plaintext",
            value("sasl.mechanisms", "sasl.mechanism") == "plain"
        {
            section.warn("sasl_plaintext with PLAIN sends the password in clear; sasl_ssl does not")
        }
    }

    /// Whether a property is one that librdkafka keeps secret.
    static func isPassword(_ property: String) -> Bool {
        property == "ssl.key.pem"
            || ["password", "secret"].contains { property.lowercased().contains($0) }
    }
}
