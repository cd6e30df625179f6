// SPDX-License-Identifier: Apache-2.0
//
// The alert rules and the dashboard against the program: every metric and every label that they
// name is one that a task exposes. A metric that is renamed cannot leave them behind unnoticed.

import Foundation
import Pipeline
import Support
import Testing

@testable import Operations

@Suite struct DashboardTests {
    /// A scrape of a task that has everything to say.
    private static func exposition() -> String {
        let board = makeBoard()
        board.update { status in
            for name in [
                "rowsInserted", "rowsUpdated", "rowsDeleted", "rowsOverwritten", "rowsRestored",
                "rowsMissingOnDelete", "deadLetters", "recordsWritten", "queueMessages",
                "queueBytes", "rttMicroseconds", "deliveryMicroseconds", "brokersUp",
                "brokersKnown",
            ] {
                status.sink.details[name] = 1
            }
            status.source.walStatus = "reserved"
            status.source.retention = .init()
            status.source.retention?.warningBytes = 1
            status.certificates = [
                .init(server: .source, certificate: "server", subject: "s", notAfterSeconds: 1)
            ]
        }
        return HealthRoutes(board: board).reply(to: HTTPRequest(method: "GET", path: "/metrics"))
            .body
    }

    /// The labels of each metric: those that a board shows, and of the others `task`.
    private static func known() throws -> [String: Set<String>] {
        let source = try OperatorFiles.text("Sources/Operations/MetricNames.swift")
        var labels: [String: Set<String>] = [:]
        for name in source.matches(of: #/"(walrelay_[a-z_]+)"/#) {
            labels[String(name.output.1)] = ["task"]
        }
        for sample in try MetricsTests.parse(exposition()) {
            labels[sample.name, default: []].formUnion(sample.labels.keys)
        }
        return labels.mapValues { $0.union(["job", "instance"]) }
    }

    /// What the expressions of the alert rules are: all between `expr:` and the next key.
    private static func ruleExpressions() throws -> [String] {
        try OperatorFiles.text("config/prometheus-alerts.yaml")
            .matches(of: #/expr: (?:>-\n)?((?s).*?)\n        [a-z]+:/#)
            .map { String($0.output.1) }
    }

    private static func dashboardExpressions() throws -> [String] {
        let text = try OperatorFiles.text("config/grafana-dashboard.json")
        var found: [String] = []
        func walk(_ value: Any) {
            if let list = value as? [Any] { list.forEach(walk) }
            guard let object = value as? [String: Any] else { return }
            if let expression = object["expr"] as? String { found.append(expression) }
            object.values.forEach(walk)
        }
        walk(try JSONSerialization.jsonObject(with: Data(text.utf8)))
        return found
    }

    @Test func `rules and dashboard name only metrics and labels that there are`() throws {
        let known = try Self.known()
        let rules = try Self.ruleExpressions()
        let panels = try Self.dashboardExpressions()
        #expect(rules.count > 15)
        #expect(panels.count > 40)
        for expression in rules + panels {
            let series = expression.matches(of: #/(walrelay_[a-z_]+)(?:\{([^}]*)\})?/#)
            #expect(!series.isEmpty || expression.contains("up{job=\"walrelay\"}"), "\(expression)")
            var all: Set<String> = []
            for match in series {
                let labels = try #require(known[String(match.output.1)], "\(match.output.1)")
                all.formUnion(labels)
                for label in (match.output.2 ?? "").matches(of: #/([a-z]+)\s*(=|!=|=~|!~)"/#) {
                    #expect(labels.contains(String(label.output.1)), "\(expression)")
                }
            }
            for list in expression.matches(of: #/(?:by|on|without) \(([a-z, ]+)\)/#) {
                let names = list.output.1.split(separator: ",").map {
                    $0.trimmingCharacters(in: .whitespaces)
                }
                #expect(all.isSuperset(of: names), "\(expression)")
            }
        }
    }

    @Test(.enabled(if: PrometheusPrograms.areHere, "\(PrometheusPrograms.absence)"))
    func `Prometheus can read every expression of the dashboard`() async throws {
        let files = try TemporaryDirectory()
        var rules = "groups:\n  - name: dashboard\n    rules:\n"
        for (number, expression) in try Self.dashboardExpressions().enumerated() {
            let quoted = expression.replacing("'", with: "''").replacing("$task", with: "a")
            rules += "      - { record: 'panel:\(number)', expr: '\(quoted)' }\n"
        }
        let path = try files.write(rules, to: "rules.yaml")
        let output = try await onThread {
            try runProcess(PrometheusPrograms.promtool, ["check", "rules", path])
        }
        #expect(output.status == .code(0), "\(output.stdout)\(output.stderr)")
    }

    @Test(.enabled(if: PrometheusPrograms.areHere, "\(PrometheusPrograms.absence)"))
    func `Prometheus finds nothing to better in a scrape`() async throws {
        let text = Self.exposition()
        let output = try await onThread {
            try runProcess(PrometheusPrograms.promtool, ["check", "metrics"], input: text)
        }
        #expect(output.status == .code(0), "\(output.stdout)\(output.stderr)")
    }

    @Test func `panels have numbers of their own and stand beside each other`() throws {
        let text = try OperatorFiles.text("config/grafana-dashboard.json")
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        let panels = try #require(object?["panels"] as? [[String: Any]])
        #expect(Set(panels.compactMap { $0["id"] as? Int }).count == panels.count)
        var taken: Set<[Int]> = []
        for panel in panels {
            let place = try #require(panel["gridPos"] as? [String: Int])
            let (x, y) = (place["x"] ?? 0, place["y"] ?? 0)
            let (width, height) = (place["w"] ?? 0, place["h"] ?? 0)
            #expect(width > 0 && height > 0 && x + width <= 24)
            for column in x..<(x + width) {
                for row in y..<(y + height) {
                    #expect(taken.insert([column, row]).inserted, "\(panel["title"] ?? "")")
                }
            }
        }
    }
}
