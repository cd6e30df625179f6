// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Settings
import Testing

/// The path of an example.
func config(_ name: String) -> String {
    URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("config").appendingPathComponent(name).path
}

@Suite struct ExampleFiles {
    @Test func `the minimal file has every default`() throws {
        let settings = try Settings.load(path: config("minimal.yaml"), environment: [:])
        let source = Settings.Connection(
            .server(hosts: ["db.example"], ports: [], database: "shop", user: nil)
        )
        let tables = TableSelection(include: [
            .init(pattern: TablePattern(schema: .exact("public"), name: .exact("orders")))
        ])
        let expected = Settings(
            task: "orders",
            source: source,
            tables: tables,
            sink: .ndjson(.init(directory: "/var/lib/walrelay/orders"))
        )
        #expect(settings == expected)
        #expect(settings.source.password == nil)
        #expect(settings.source.tls == nil)
        #expect(settings.source.connectTimeout == .seconds(10))
        #expect(settings.source.applicationName == nil)
        #expect(settings.snapshot.mode == .initial)
        #expect(settings.snapshot.workers == 4)
        #expect(settings.stream.onUnsupportedDDL == .stop)
        #expect(settings.stream.onTruncate == .stop)
        #expect(settings.stream.acceptDDL == [])
        #expect(settings.batch.rows == 10_000)
        #expect(settings.batch.bytes == 8 * 1024 * 1024)
        #expect(settings.batch.delay == .milliseconds(100))
        #expect(settings.format.decimals == .string)
        #expect(settings.format.temporal == .iso)
        #expect(settings.format.binary == .base64)
        #expect(settings.http.listen == Endpoint(host: "127.0.0.1", port: 8085))
        #expect(settings.log.level == .info)
        #expect(settings.log.format == .text)
        #expect(settings.retry.limit == .seconds(600))
        #expect(settings.warnings == [])
        guard case .ndjson(let sink) = settings.sink else {
            Issue.record("the sink is not ndjson")
            return
        }
        #expect(sink.rotate == 256 * 1024 * 1024)
    }

    @Test func `the example file shows the defaults of all that has one`() throws {
        let path = config("example.yaml")
        let settings = try Settings.load(path: path, environment: [:])
        let directory = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let plain = Settings(
            task: settings.task,
            source: settings.source,
            tables: settings.tables,
            sink: .ndjson(.init(directory: "/var/lib/walrelay/orders"))
        )
        #expect(settings == plain)
        #expect(settings.source.password == .file(directory + "/orders.password"))
        #expect(settings.source.tls?.mode == .verifyFull)
        #expect(settings.source.tls?.rootCertificate == directory + "/ca.pem")
        #expect(settings.source.connectTimeout == .seconds(10))
        #expect(settings.source.applicationName == "walrelay")
        #expect(
            settings.tables.include.map(\.pattern.description) == [
                "public.customers", "public.Mixed-Case", "public.orders", "sales.*",
            ]
        )
        #expect(settings.tables.include[2].columns == ["id", "customer_id", "total"])
        #expect(settings.tables.include[2].filter == "total > 0")
    }

    @Test(arguments: ["postgresql", "kafka"])
    func `the example's commented sinks load as they stand`(_ kind: String) throws {
        let text = try String(contentsOfFile: config("example.yaml"), encoding: .utf8)
        var lines: [String] = []
        var current = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("  # \(kind):") { current = kind }
            if current == kind, line.hasPrefix("  # ") || line.hasPrefix("  #   ") {
                if line.hasPrefix("  # kafka:"), kind != "kafka" { current = "" }
                if current == kind { lines.append("  " + line.dropFirst(4)) }
            } else if !line.hasPrefix("  #") {
                current = ""
            }
        }
        let sink = (["", "  kind: \(kind)"] + lines).joined(separator: "\n")
        let settings = try Draft(sink: sink).settings()
        #expect(settings.sink.kind.rawValue == kind)
        #expect(settings.warnings == [])
        // Defaults, but for the keys that have none.
        if case .kafka(let kafka) = settings.sink {
            var plain = Settings.Sink.Kafka(
                bootstrapServers: ["a:9092", "b:9092"],
                topicPrefix: "orders"
            )
            plain.partitions = kafka.partitions
            plain.replicationFactor = kafka.replicationFactor
            plain.topicConfig = kafka.topicConfig
            plain.password = .file("/etc/w/kafka.password")
            plain.properties = kafka.properties
            #expect(kafka == plain)
            #expect(kafka.partitions == 6 && kafka.replicationFactor == 3)
        }
    }
}
