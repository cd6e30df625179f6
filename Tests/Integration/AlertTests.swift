// SPDX-License-Identifier: Apache-2.0
//
// The alert rules on a real task, by a real Prometheus that scrapes it: what is wrong with the task
// wakes somebody, and what is mended lets them sleep. The rules are those of the repository, with
// seconds for their minutes.
import Foundation
import FoundationNetworking
import Glibc
import Support
import Testing

@Suite(.serialized, .enabled(if: PrometheusPrograms.areHere, "\(PrometheusPrograms.absence)"))
struct AlertTests {
    @Test(
        .enabled(if: Tmpfs.isPossible, "only root can mount a small file system"),
        .timeLimit(.minutes(4))
    )
    func `what goes wrong wakes somebody, and what is mended lets them sleep`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t (id int PRIMARY KEY, s text)")
        let disk = try Tmpfs(mebibytes: 2)
        let task = try RelayTask(cluster, rotate: "1MiB", sinkDirectory: "\(disk.path)/events")
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        let prometheus = try ScrapingPrometheus(of: task)
        try await prometheus.until("a scrape of it") {
            try await prometheus.count(
                "walrelay_source_up == 1 and on () up{job=\"walrelay\"} == 1"
            ) == 1
        }
        try await prometheus.until(firing: [])

        try cluster.stop(mode: .immediate)
        try await prometheus.until(firing: ["WalrelayNotStreaming", "WalrelaySourceDown"])
        try await cluster.start()
        try await task.waitForPhase("streaming", of: daemon)
        try await prometheus.until(firing: [])

        try cluster.psql(
            "INSERT INTO t SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 20000) i"
        )
        try await prometheus.until(firing: ["WalrelaySinkWaiting"])
        try disk.resize(mebibytes: 200)
        try await prometheus.until(firing: [])

        daemon.kill(SIGKILL)
        try await daemon.wait()
        try await prometheus.until(firing: ["WalrelayDown"])
        let again = try task.start()
        try await task.waitForPhase("streaming", of: again)
        try await prometheus.until(firing: [])
        #expect(try await again.stop() == .code(0))
    }
}

/// Prometheus, scraping one task each second.
private struct ScrapingPrometheus {
    private let process: DaemonProcess
    private let port: Int
    private let files: TemporaryDirectory

    init(of task: RelayTask) throws {
        files = try TemporaryDirectory()
        port = try FreePort.find()
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let rules = try String(
            contentsOf: root.appending(path: "config/prometheus-alerts.yaml"),
            encoding: .utf8
        )
        let quick = try files.write(
            rules.replacing(#/for: \d+[mh]/#, with: "for: 2s"),
            to: "rules.yaml"
        )
        let settings = try files.write(
            """
            global: { scrape_interval: 1s, evaluation_interval: 1s }
            rule_files: ['\(quick)']
            scrape_configs:
              - job_name: walrelay
                static_configs: [{ targets: ["127.0.0.1:\(task.port)"] }]

            """,
            to: "prometheus.yaml"
        )
        process = try DaemonProcess(
            [
                "--config.file=\(settings)", "--storage.tsdb.path=\(files.file("data"))",
                "--web.listen-address=127.0.0.1:\(port)",
            ],
            executable: PrometheusPrograms.server
        )
    }

    func until(_ what: String, _ condition: () async throws -> Bool) async throws {
        // It refuses connections until it has begun.
        try await process.until(.seconds(60), what) { (try? await condition()) ?? false }
    }

    /// Waits until these alerts fire, and no other.
    func until(firing expected: [String]) async throws {
        try await until("\(expected) and nothing else") { try await firing() == expected }
    }

    /// How many series the expression gives.
    func count(_ expression: String) async throws -> Int {
        try await series(expression).count
    }

    private func firing() async throws -> [String] {
        try await series("ALERTS{alertstate=\"firing\"}").compactMap { $0["alertname"] }.sorted()
    }

    private func series(_ expression: String) async throws -> [[String: String]] {
        var parts = URLComponents(string: "http://127.0.0.1:\(port)/api/v1/query")
        parts?.queryItems = [URLQueryItem(name: "query", value: expression)]
        guard let url = parts?.url else { throw SupportError("no URL of \(expression)") }
        let (data, _) = try await URLSession.shared.data(from: url)
        struct Answer: Decodable {
            struct Series: Decodable { var metric: [String: String] }
            struct Result: Decodable { var result: [Series] }
            var data: Result
        }
        return try JSONDecoder().decode(Answer.self, from: data).data.result.map(\.metric)
    }
}
