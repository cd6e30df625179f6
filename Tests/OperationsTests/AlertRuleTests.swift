// SPDX-License-Identifier: Apache-2.0
//
// The alert rules, judged by promtool: a task that is well wakes nobody; where one thing is wrong
// its alert fires, not before its time, and no other does.

import Foundation
import Support
import Testing

@Suite struct AlertRuleTests {
    /// A task in which one thing is wrong, or two where one makes the other.
    struct Case: Sendable, CustomStringConvertible {
        var alert: String
        /// Minutes after which it does not fire yet.
        var quiet: Int
        /// Minutes after which it does.
        var fires: Int
        /// Series in place of those of a task that is well.
        var changes: [String: String]
        /// What else fires then, for the same reason.
        var also: [String] = []

        var description: String { alert }
    }

    static let rules = OperatorFiles.path("config/prometheus-alerts.yaml")

    @Test(.enabled(if: PrometheusPrograms.areHere, "\(PrometheusPrograms.absence)"))
    func `promtool finds nothing wrong with the rules`() async throws {
        let output = try await onThread {
            try runProcess(
                PrometheusPrograms.promtool,
                ["check", "rules", "--lint=all", Self.rules]
            )
        }
        #expect(output.status == .code(0), "\(output.stdout)\(output.stderr)")
    }

    @Test(.enabled(if: PrometheusPrograms.areHere, "\(PrometheusPrograms.absence)"))
    func `each alert fires where it should, and nowhere else`() async throws {
        let files = try TemporaryDirectory()
        let test = try files.write(Self.document(Self.cases), to: "test.yaml")
        let output = try await onThread {
            try runProcess(PrometheusPrograms.promtool, ["test", "rules", test])
        }
        #expect(output.status == .code(0), "\(output.stdout)\(output.stderr)")
    }

    @Test func `every alert has a case, a severity, texts and a place to read on`() throws {
        let rules = try OperatorFiles.text("config/prometheus-alerts.yaml")
            .components(separatedBy: "      - alert: ").dropFirst()
        let names = rules.map { String($0.prefix { $0 != "\n" }) }
        #expect(names.sorted() == Self.cases.map(\.alert).sorted())
        let anchors = try Set(
            OperatorFiles.text("docs/operations.md").split(separator: "\n")
                .filter { $0.hasPrefix("#") }.map(OperatorFiles.anchor)
        )
        for rule in rules {
            #expect(rule.contains(#/severity: (critical|warning) \}/#), "\(rule)")
            for key in ["summary", "description"] {
                #expect(rule.contains("          \(key): \""), "\(rule)")
            }
            let runbook = rule.firstMatch(of: #/runbook: docs/operations.md#([a-z0-9-]+)\n/#)
            let anchor = try #require(runbook, "\(rule)").output.1
            #expect(anchors.contains(String(anchor)), "no section \(anchor)")
        }
    }

    // MARK: What promtool is given

    private static func series(_ name: String, _ labels: String = "") -> String {
        let more = labels.isEmpty ? "" : ", \(labels)"
        return "walrelay_\(name){job=\"walrelay\", instance=\"a:1\", task=\"orders\"\(more)}"
    }

    private static let up = "up{job=\"walrelay\", instance=\"a:1\"}"
    private static let serverCertificate = series(
        "certificate_expiry_timestamp_seconds",
        "server=\"source\", certificate=\"server\""
    )
    private static let unreserved = series("slot_wal_status", "status=\"unreserved\"")
    private static let overwritten = series("sink_surprises_total", "kind=\"overwritten\"")

    private static func phase(_ phase: String) -> String {
        series("task_phase", "phase=\"\(phase)\"")
    }

    /// A value a minute, for two hours.
    private static let healthy = [
        up: "1x120",
        series("start_time_seconds"): "1000x120",
        series("task_stalled"): "0x120",
        phase("streaming"): "1x120",
        phase("reconnecting"): "0x120",
        phase("checking"): "0x120",
        phase("standby"): "0x120",
        series("reconnects_total"): "0+0.1x120",
        series("source_up"): "1x120",
        unreserved: "0x120",
        series("slot_forecast_seconds"): "90000x120",
        series("slot_retention_warning"): "0x120",
        series("lag_seconds"): "0.2x120",
        series("lag_bytes"): "4096x120",
        series("last_commit_timestamp_seconds"): "0+60x120",
        series("source_blocked_seconds_total"): "0+6x120",
        series("sink_waiting"): "0x120",
        series("sink_brokers_up"): "3x120",
        series("sink_dead_letters_total"): "7x120",
        overwritten: "3x120",
        series("snapshot_remaining_seconds"): "3600-60x60",
        serverCertificate: "5000000x120",
        series("resident_memory_bytes"): "50000000x120",
        series("open_fds"): "40x120",
        series("max_fds"): "4096x120",
    ]

    private static let cases: [Case] = [
        Case(alert: "WalrelayDown", quiet: 4, fires: 6, changes: [up: "0x120"]),
        Case(
            alert: "WalrelayRestarts",
            quiet: 4,
            fires: 5,
            changes: [series("start_time_seconds"): "1000 1000 2000 3000 4000 5000x110"]
        ),
        Case(
            alert: "WalrelayStalled",
            quiet: 1,
            fires: 3,
            changes: [series("task_stalled"): "1x120"]
        ),
        Case(
            alert: "WalrelayNotStreaming",
            quiet: 9,
            fires: 11,
            changes: [
                phase("streaming"): "0x120",
                phase("checking"): Array(repeating: "0 1", count: 60).joined(separator: " "),
                phase("reconnecting"): Array(repeating: "1 0", count: 60).joined(separator: " "),
            ]
        ),
        Case(
            alert: "WalrelayStandbyOnly",
            quiet: 2,
            fires: 4,
            changes: [phase("streaming"): "0x120", phase("standby"): "1x120"]
        ),
        Case(
            alert: "WalrelayFlapping",
            quiet: 10,
            fires: 60,
            changes: [series("reconnects_total"): "0+0.5x120"]
        ),
        Case(
            alert: "WalrelaySourceDown",
            quiet: 4,
            fires: 6,
            changes: [series("source_up"): "0x120"]
        ),
        Case(
            alert: "WalrelaySlotNearLoss",
            quiet: 9,
            fires: 11,
            changes: [unreserved: "0x9 1x110"]
        ),
        Case(
            alert: "WalrelaySlotForecast",
            quiet: 9,
            fires: 11,
            changes: [series("slot_forecast_seconds"): "7200x120"]
        ),
        Case(
            alert: "WalrelaySlotRetention",
            quiet: 4,
            fires: 6,
            changes: [series("slot_retention_warning"): "1x120"]
        ),
        Case(
            alert: "WalrelayLagging",
            quiet: 9,
            fires: 11,
            changes: [series("lag_seconds"): "300x120"]
        ),
        Case(
            alert: "WalrelayNothingDurable",
            quiet: 14,
            fires: 17,
            changes: [
                series("last_commit_timestamp_seconds"): "0x120",
                series("lag_bytes"): "100000000x120",
            ]
        ),
        Case(
            alert: "WalrelaySinkSlow",
            quiet: 9,
            fires: 40,
            changes: [
                series("source_blocked_seconds_total"): "0+57x120",
                series("lag_seconds"): "300x120",
            ],
            also: ["WalrelayLagging"]
        ),
        Case(
            alert: "WalrelaySinkWaiting",
            quiet: 4,
            fires: 6,
            changes: [series("sink_waiting"): "1x120"]
        ),
        Case(
            alert: "WalrelayNoBroker",
            quiet: 1,
            fires: 3,
            changes: [series("sink_brokers_up"): "0x120"]
        ),
        Case(
            alert: "WalrelayDeadLetters",
            quiet: 9,
            fires: 11,
            changes: [series("sink_dead_letters_total"): "7x9 8x110"]
        ),
        Case(
            alert: "WalrelaySurprises",
            quiet: 9,
            fires: 11,
            changes: [overwritten: "3x9 4x110"]
        ),
        Case(
            alert: "WalrelaySnapshotSlow",
            quiet: 59,
            fires: 61,
            changes: [series("snapshot_remaining_seconds"): "200000x120"]
        ),
        Case(
            alert: "WalrelayCertificateExpires",
            quiet: 59,
            fires: 61,
            changes: [serverCertificate: "1000000x120"]
        ),
        Case(
            alert: "WalrelayMemory",
            quiet: 14,
            fires: 16,
            changes: [series("resident_memory_bytes"): "200000000x120"]
        ),
        Case(
            alert: "WalrelayFileDescriptors",
            quiet: 4,
            fires: 6,
            changes: [series("open_fds"): "4000x120"]
        ),
    ]

    /// The document for `promtool test rules`.
    private static func document(_ cases: [Case]) -> String {
        var text = "rule_files: ['\(rules)']\nevaluation_interval: 1m\ntests:\n"
        text += test("well", healthy, [(30, []), (119, [])])
        for entry in cases {
            let changed = healthy.merging(entry.changes) { $1 }
            let firing = ([entry.alert] + entry.also).sorted()
            text += test(entry.alert, changed, [(entry.quiet, []), (entry.fires, firing)])
        }
        return text
    }

    private static func test(
        _ name: String,
        _ series: [String: String],
        _ expected: [(minute: Int, alerts: [String])]
    ) -> String {
        var text = "  - name: \(name)\n    interval: 1m\n    input_series:\n"
        for (name, values) in series.sorted(by: { $0.key < $1.key }) {
            text += "      - { series: '\(name)', values: '\(values)' }\n"
        }
        text += "    promql_expr_test:\n"
        for (minute, alerts) in expected {
            let samples = alerts.map { "{ labels: '{alertname=\"\($0)\"}', value: 1 }" }
            text += """
                      - expr: count by (alertname) (ALERTS{alertstate="firing"})
                        eval_time: \(minute)m
                        exp_samples: [\(samples.joined(separator: ", "))]

                """
        }
        return text
    }
}
