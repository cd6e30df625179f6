// SPDX-License-Identifier: Apache-2.0
//
// The Prometheus text, read back by a small strict parser of format 0.0.4.

import ChangeModel
import Pipeline
import Support
import Testing

@testable import Operations

@Suite struct MetricsTests {
    struct Sample: Equatable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    @Test func `every line is a comment or a sample and every sample has its type`() throws {
        let text = HealthRoutes(board: makeBoard()).reply(
            to: HTTPRequest(method: "GET", path: "/metrics")
        ).body
        let samples = try Self.parse(text)
        #expect(samples.count > 20)
        for sample in samples {
            #expect(text.contains("# TYPE \(sample.name) "), "\(sample.name)")
            #expect(text.contains("# HELP \(sample.name) "), "\(sample.name)")
            #expect(sample.name.hasPrefix("walrelay_"))
            #expect(sample.labels["task"] == "orders")
        }
        let types = text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }
        #expect(Set(types).count == types.count, "each metric stands together")
    }

    @Test func `the board's numbers are the metrics' values`() throws {
        let text = HealthRoutes(board: makeBoard()).reply(
            to: HTTPRequest(method: "GET", path: "/metrics")
        ).body
        let samples = try Self.parse(text)
        func value(_ name: String, _ label: String? = nil) -> Double? {
            samples.first { sample in
                sample.name == name
                    && (label == nil || sample.labels.values.contains(label ?? ""))
            }?.value
        }
        #expect(value("walrelay_changes_total") == 12)
        #expect(value("walrelay_transactions_total") == 3)
        #expect(value("walrelay_lag_bytes") == 2120)
        #expect(value("walrelay_retained_wal_bytes") == 16_777_216)
        #expect(value("walrelay_durable_lsn_bytes") == 0x16_B374_D848)
        #expect(value("walrelay_sink_commits_total") == 7)
        #expect(value("walrelay_sink_written_bytes_total") == 99)
        #expect(value("walrelay_snapshot_copied_rows", "public.orders") == 1234)
        #expect(value("walrelay_snapshot_tables", "copying") == 1)
        #expect(value("walrelay_snapshot_tables", "done") == 0)
        #expect(value("walrelay_task_phase", "streaming") == 1)
        #expect(value("walrelay_task_phase", "failed") == 0)
        #expect(value("walrelay_build_info", "1.2.3") == 1)
        #expect(try #require(value("walrelay_resident_memory_bytes")) > 1_000_000)
        #expect(try #require(value("walrelay_start_time_seconds")) > 1_600_000_000)
    }

    @Test func `a kafka sink's details are metrics in base units`() throws {
        let board = makeBoard()
        board.update { status in
            status.sink = .init(
                kind: "kafka",
                details: [
                    "recordsWritten": 12, "deadLetters": 1, "queueMessages": 3, "queueBytes": 900,
                    "rttMicroseconds": 1500, "deliveryMicroseconds": 2_500_000, "brokersUp": 2,
                    "brokersKnown": 3, "topicPrefix": "orders",
                ]
            )
        }
        let text = HealthRoutes(board: board).reply(
            to: HTTPRequest(method: "GET", path: "/metrics")
        ).body
        let samples = try Self.parse(text)
        let values = Dictionary(samples.map { ($0.name, $0.value) }) { first, _ in first }
        #expect(values["walrelay_sink_records_total"] == 12)
        #expect(values["walrelay_sink_dead_letters_total"] == 1)
        #expect(values["walrelay_sink_queue_messages"] == 3)
        #expect(values["walrelay_sink_queue_bytes"] == 900)
        #expect(values["walrelay_sink_broker_rtt_seconds"] == 0.0015)
        #expect(values["walrelay_sink_delivery_seconds"] == 2.5)
        #expect(values["walrelay_sink_brokers_up"] == 2)
        #expect(values["walrelay_sink_brokers_known"] == 3)
        #expect(!text.contains("topicPrefix"))
    }

    @Test func `what the slot may hold back is told by bound, and when it is reached`() throws {
        let board = makeBoard()
        board.update { status in
            var retention = TaskStatus.Retention()
            retention.warningBytes = 5
            retention.limitBytes = 9
            retention.safeBytes = -1
            retention.walBytesPerSecond = 3
            retention.forecastSeconds = 60
            retention.warning = "w"
            status.source.retention = retention
            status.source.walStatus = "unreserved"
        }
        let text = HealthRoutes(board: board).reply(
            to: HTTPRequest(method: "GET", path: "/metrics")
        ).body
        let samples = try Self.parse(text)
        func values(_ name: String) -> [String: Double] {
            Dictionary(
                samples.filter { $0.name == name }.map { sample in
                    (sample.labels["bound"] ?? sample.labels["status"] ?? "", sample.value)
                }
            ) { first, _ in first }
        }
        #expect(values("walrelay_slot_bound_bytes") == ["warning": 5, "limit": 9])
        #expect(values("walrelay_slot_safe_wal_bytes") == ["": -1])
        #expect(values("walrelay_slot_forecast_seconds") == ["": 60])
        #expect(values("walrelay_slot_retention_warning") == ["": 1])
        #expect(values("walrelay_source_wal_bytes_per_second") == ["": 3])
        #expect(
            values("walrelay_slot_wal_status") == [
                "reserved": 0, "extended": 0, "unreserved": 1, "lost": 0,
            ]
        )
    }

    @Test func `of several certificates the first to end is the metric`() throws {
        let board = makeBoard()
        board.update { status in
            status.certificates = [
                ("source", "server", 300), ("source", "authority", 500),
                ("source", "authority", 400), ("target", "client", 200),
            ].map { server, name, end in
                TaskStatus.Certificate(
                    server: .init(rawValue: server) ?? .source,
                    certificate: name,
                    subject: "CN=\(end)",
                    notAfterSeconds: Int64(end)
                )
            }
        }
        let text = HealthRoutes(board: board).reply(
            to: HTTPRequest(method: "GET", path: "/metrics")
        ).body
        let samples = try Self.parse(text).filter {
            $0.name == "walrelay_certificate_expiry_timestamp_seconds"
        }
        #expect(
            samples.map { [$0.labels["server"], $0.labels["certificate"], "\(Int($0.value))"] } == [
                ["source", "authority", "400"], ["source", "server", "300"],
                ["target", "client", "200"],
            ]
        )
    }

    @Test func `what is not known is left out`() throws {
        let board = StatusBoard(task: "t", version: "v", sinkKind: "stream")
        let text = HealthRoutes(board: board).reply(
            to: HTTPRequest(method: "GET", path: "/metrics")
        ).body
        #expect(!text.contains("lag_bytes"))
        #expect(!text.contains("lsn_bytes"))
        #expect(!text.contains("walrelay_snapshot"))
        #expect(!text.contains("sink_commits"))
        #expect(!text.contains("certificate"))
        #expect(text.contains("walrelay_changes_total{task=\"t\"} 0\n"))
    }

    @Test func `what alerts ask for is there from the start`() throws {
        let board = StatusBoard(task: "t", version: "v", sinkKind: "stream")
        func values() throws -> [String: Double] {
            let text = HealthRoutes(board: board)
                .reply(to: HTTPRequest(method: "GET", path: "/metrics")).body
            return Dictionary(try Self.parse(text).map { ($0.name, $0.value) }) { first, _ in first
            }
        }
        let first = try values()
        for name in [
            "reconnects_total", "errors_total", "sink_waiting", "sink_retries_total",
            "sink_busy_seconds_total", "sink_waited_seconds_total", "source_blocked_seconds_total",
        ] {
            #expect(first["walrelay_\(name)"] == 0, "\(name)")
        }
        #expect(try #require(first["walrelay_open_fds"]) > 3)
        #expect(try #require(first["walrelay_max_fds"]) > 16)
        for name in ["source_up", "last_commit_timestamp_seconds", "last_error_timestamp_seconds"] {
            #expect(first["walrelay_\(name)"] == nil, "\(name)")
        }
        board.record(WalrelayError("sink.full", exit: .unreachable, "full"))
        let text = HealthRoutes(board: board)
            .reply(to: HTTPRequest(method: "GET", path: "/metrics")).body
        #expect(text.contains("walrelay_errors_by_code_total{task=\"t\",code=\"sink.full\"} 1\n"))
        #expect(try #require(values()["walrelay_last_error_timestamp_seconds"]) > 1_700_000_000)
    }

    @Test func `of many tables those under way are shown, and no more than may be copied at once`()
        throws
    {
        let board = makeBoard()
        board.update { status in
            status.snapshot.tables = (0..<10_000).map { number in
                .init(
                    table: "t\(number)",
                    state: number < 50 ? .done : number < 1000 ? .copying : .waiting,
                    rowsEstimated: 10,
                    rowsCopied: number < 50 ? 10 : 0
                )
            }
        }
        let text = HealthRoutes(board: board)
            .reply(to: HTTPRequest(method: "GET", path: "/metrics")).body
        let samples = try Self.parse(text)
        let tables = samples.filter { $0.name == "walrelay_snapshot_copied_rows" }
        #expect(tables.count == Metrics.tableLimit)
        #expect(tables.first?.labels["table"] == "t50")
        #expect(samples.count < 300)
        let progress = samples.first { $0.name == "walrelay_snapshot_progress_ratio" }
        #expect(progress?.value == 0.005)
    }

    @Test(arguments: attacks) func `a name that attacks stays one label`(name: String) throws {
        let board = makeBoard(task: name)
        board.update { $0.snapshot.tables = [.init(table: name, state: .copying, rowsCopied: 5)] }
        let text = HealthRoutes(board: board).reply(
            to: HTTPRequest(method: "GET", path: "/metrics")
        ).body
        let sample = try #require(
            try Self.parse(text).first { $0.name == "walrelay_snapshot_copied_rows" }
        )
        #expect(sample.labels == ["task": name, "table": name])
        #expect(sample.value == 5)
    }

    @Test func `names that attack come through a parser that is not ours`() async throws {
        let board = makeBoard()
        board.update { status in
            status.snapshot.tables = attacks.map { .init(table: $0, state: .copying) }
        }
        let text = HealthRoutes(board: board)
            .reply(to: HTTPRequest(method: "GET", path: "/metrics")).body
        let program = """
            import sys
            from prometheus_client.parser import text_string_to_metric_families
            for family in text_string_to_metric_families(sys.stdin.buffer.read().decode("utf-8")):
                for sample in family.samples:
                    if sample.name == "walrelay_snapshot_copied_rows":
                        print(sample.labels["table"].encode("utf-8").hex())
            """
        let output = try await onThread {
            try runProcess("/usr/bin/python3", ["-c", program], input: text)
        }
        let expected = attacks.map { name in
            name.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        #expect(output.stdout.split(separator: "\n").map(String.init) == expected)
    }

    @Test(
        arguments: [
            ("0/0", 0), ("16/B374D848", 0x16_B374_D848), ("1/", nil), ("x/0", nil), ("0", nil),
            ("", nil), ("1/2/3", nil), ("100000000/0", nil),
        ] as [(String, Int?)]
    )
    func `a position counts bytes`(text: String, bytes: Int?) {
        #expect(Metrics.position(text) == bytes.map(Double.init))
    }

    @Test func `numbers keep their digits`() {
        #expect(PrometheusText.number(97_503_066_184) == "97503066184")
        #expect(PrometheusText.number(0.25) == "0.25")
        #expect(PrometheusText.number(.nan) == "NaN")
        #expect(PrometheusText.number(-.infinity) == "-Inf")
    }

    static func parse(_ text: String) throws -> [Sample] {
        try #require(text.unicodeScalars.last == "\n")
        return try text.unicodeScalars.split(separator: "\n").compactMap { line in
            if line.first == "#" { return nil }
            return try parse(line: Array(line))
        }
    }

    private static func parse(line: [Unicode.Scalar]) throws -> Sample {
        var rest = line[...]
        let name = rest.prefix { $0 != "{" }
        rest = rest.dropFirst(name.count + 1)
        var labels: [String: String] = [:]
        while rest.first != "}" {
            let key = rest.prefix { $0 != "=" }
            rest = rest.dropFirst(key.count + 1)
            try #require(rest.popFirst() == "\"")
            var value = String.UnicodeScalarView()
            while let scalar = rest.popFirst(), scalar != "\"" {
                guard scalar == "\\" else {
                    value.append(scalar)
                    continue
                }
                switch rest.popFirst() {
                case "n": value.append("\n")
                case "\\": value.append("\\")
                case "\"": value.append("\"")
                default: Issue.record("unknown escape in \(line)")
                }
            }
            labels[string(key)] = String(value)
            if rest.first == "," { rest = rest.dropFirst() }
        }
        rest = rest.dropFirst()
        try #require(rest.popFirst() == " ")
        return Sample(
            name: string(name),
            labels: labels,
            value: try #require(Double(string(rest)))
        )
    }

    private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }
}
