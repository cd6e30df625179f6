// SPDX-License-Identifier: Apache-2.0
//
// The same names on the way into another PostgreSQL, by a task and by batch jobs, and into Kafka.
import Foundation
import Support
import Testing

@Suite(.serialized) struct NamesSinkTests {
    private static let shared = Task { try await NamesSource.start() }

    private func source() async throws -> NamesSource { try await Self.shared.value }

    // MARK: postgresql

    @Test
    func `a copy has every name of the source, and so have the rows that batch jobs bring`()
        async throws
    {
        let source = try await source()
        let cluster = source.cluster
        try await onThread { _ = try cluster.createDatabase("names_target") }
        let files = try TemporaryDirectory()
        let path = try files.write(
            source.settings(
                task: "names_copy",
                sink: "{ kind: postgresql, postgresql: { host: \(cluster.host), port: "
                    + "\(cluster.port), database: names_target, user: postgres, "
                    + "indexes: afterSnapshot } }",
                more: "http: { listen: off }"
            ),
            to: "copy.yaml"
        )
        try await run(["run", "--config", path, "--until", "now"])
        try await source.changeAll()
        try await run(["run", "--config", path, "--until", "now"])
        try await run(["verify", "--config", path])
        for query in [Self.columns, Self.indexes, Self.labels] {
            let here = try await source.psql(query)
            let there = try await onThread { try cluster.psql(query, database: "names_target") }
            #expect(here == there && !here.isEmpty)
        }
        try await batch(source, files, verifiedBy: path)
        try await source.expectCanaries()
    }

    private func run(_ arguments: [String]) async throws {
        let daemon = try DaemonProcess(arguments)
        let status = try await daemon.wait(.seconds(180))
        NamesOutput.expectPlain(daemon.stderr + daemon.stdout)
        guard status == .code(0) else {
            throw SupportError(
                "\(arguments[0]): \(status)\n\(daemon.stderr.suffix(3_000))"
                    + daemon.stdout.suffix(1_000)
            )
        }
    }

    /// Empties some tables of the copy and has jobs fill them again.
    private func batch(
        _ source: NamesSource,
        _ files: TemporaryDirectory,
        verifiedBy path: String
    )
        async throws
    {
        let cluster = source.cluster
        let server = "host: \(cluster.host), port: \(cluster.port)"
        let datasources = try files.write(
            """
            from: { \(server), database: \(NamesSource.yaml(NamesSource.database)), \
            user: \(NamesSource.yaml(NamesSource.role)) }
            to: { \(server), database: names_target, user: postgres }

            """,
            to: "datasources.yaml"
        )
        // A job takes `${…}` for a parameter wherever it stands.
        let chosen = source.names.indices.filter { index in
            index % 9 == 0
                && !([source.schema(index)] + (0...5).map { source.name(index, $0) })
                    .contains { NamesSource.hex($0).contains("247b") }
        }
        #expect(chosen.count > 20)
        for index in chosen {
            let quoted = source.pattern(index)
            try await onThread {
                _ = try cluster.psql("TRUNCATE \(quoted)", database: "names_target")
            }
            let columns = (source.columns(index) + [source.name(index, 5)]).map(NamesSource.quoted)
            let side = ["table": quoted, "column": columns] as [String: Any]
            let reader = side.merging(
                ["datasource": "from", "splitPk": columns[0], "where": "\(columns[0]) <> ''"]
            ) { $1 }
            let writer = side.merging(["datasource": "to"]) { $1 }
            let step = { (name: String, parameter: [String: Any]) -> [String: Any] in
                ["stepType": "postgresql", "name": name, "category": name, "parameter": parameter]
            }
            let job: [String: Any] = [
                "type": "job", "version": "2.0",
                "steps": [step("reader", reader), step("writer", writer)],
                "setting": ["errorLimit": ["record": "0"], "speed": ["concurrent": 2]],
                "order": ["hops": [["from": "reader", "to": "writer"]]],
            ]
            let text = try JSONSerialization.data(withJSONObject: job)
            let file = try files.write(String(decoding: text, as: UTF8.self), to: "job.json")
            try await run(["batch", file, "--datasources", datasources])
        }
        try await run(["verify", "--config", path])
    }

    private static let scope = """
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('ours', 'walrelay', 'pg_catalog', 'information_schema', 'pg_toast')
        """
    private static func hex(_ names: String...) -> String {
        names.map { "encode(convert_to(\($0), 'UTF8'), 'hex')" }.joined(separator: ", ")
    }
    private static let columns = """
        SELECT \(hex("nspname", "relname", "attname", "format_type(atttypid, atttypmod)"))
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid AND attnum > 0 AND relkind = 'r'
        \(scope) ORDER BY 1, 2, attnum
        """
    private static let indexes = """
        SELECT \(hex("nspname", "relname", "pg_get_indexdef(c.oid)")) FROM pg_class c
        \(scope) AND relkind = 'i' ORDER BY 1, 2
        """
    private static let labels = """
        SELECT \(hex("nspname", "typname", "enumlabel")) FROM pg_enum JOIN pg_type c
        ON c.oid = enumtypid JOIN pg_namespace n ON n.oid = typnamespace
        ORDER BY 1, 2, enumsortorder
        """

    // MARK: kafka

    @Test(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)))
    func `topics are legal, each has one table, and tables that would meet in one are refused`()
        async throws
    {
        let source = try await source()
        let broker = try await SharedBroker.one.broker()
        func topic(_ index: Int) -> String {
            let parts = [source.schema(index), source.name(index)].map { name in
                String(
                    name.unicodeScalars.map { scalar -> Character in
                        let isLegal =
                            scalar.isASCII
                            && (scalar.properties.isAlphabetic
                                || "0123456789._-".unicodeScalars.contains(scalar))
                        return isLegal ? Character(scalar) : "_"
                    }
                )
            }
            return "names.\(parts.joined(separator: "."))"
        }
        var owners: [String: Int] = [:]
        var clash: [Int] = []
        for index in source.names.indices {
            // A broker takes no two names that differ in dots and underscores only.
            let metric = topic(index).replacing(".", with: "_")
            if let owner = owners[metric] {
                if topic(owner) == topic(index) { clash = [owner, index] }
            } else {
                owners[metric] = index
            }
        }
        let chosen = owners.values.sorted().prefix(60)
        #expect(chosen.count == 60 && clash.count == 2)
        let files = try TemporaryDirectory()
        let sink =
            "{ kind: kafka, kafka: { bootstrapServers: '\(broker.address)', "
            + "topicPrefix: names } }"
        func settings(_ tables: [Int]) throws -> String {
            try files.write(
                source.settings(
                    task: "names_kafka",
                    sink: sink,
                    tables: tables,
                    more: "http: { listen: off }"
                ),
                to: "kafka.yaml"
            )
        }
        let refused = try DaemonProcess(["check", "--config", try settings(clash)])
        #expect(try await refused.wait() == .code(77))
        #expect(
            refused.stdout.contains("its topic \(topic(clash[0])) is that of"),
            "\(refused.stdout)"
        )
        NamesOutput.expectPlain(refused.stdout)

        try await run(["run", "--config", try settings(Array(chosen)), "--until", "now"])
        let topics = try await onThread { try broker.topics() }
            .filter { $0.hasPrefix("names.") && $0 != "names.walrelay-checkpoint" }
        #expect(Set(topics) == Set(chosen.map(topic)))
        for index in chosen {
            let name = topic(index)
            let lines = try await onThread {
                try broker.records(of: name).compactMap(\.value).joined(separator: "\n")
            }
            let events = try await onThread { try ForeignJSON.events(lines) }
            let table = [source.schema(index), source.name(index)].map(NamesSource.hex)
                .joined(separator: " ")
            #expect(!events.isEmpty && events.allSatisfy { $0.contains(" \(table) ") }, "\(name)")
        }
    }
}
