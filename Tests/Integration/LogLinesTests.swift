// SPDX-License-Identifier: Apache-2.0
//
// What the log of a real daemon reads like when things go wrong: a line for what begins, one for
// what ends, the rest as a count; its last line says why it ended. As text, as JSON, in a journal.
import Foundation
import FoundationNetworking
import Glibc
import Support
import Testing

/// A line of the log as programs read it.
private struct LogRecord {
    let members: [String: Any]

    init(_ line: Substring) throws {
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
        guard let members = object as? [String: Any] else {
            throw SupportError("no object: \(line)")
        }
        self.members = members
    }

    func text(_ key: String) -> String? { members[key] as? String }
    func number(_ key: String) -> Int? { members[key] as? Int }

    static func all(of daemon: DaemonProcess) throws -> [LogRecord] {
        try daemon.stderr.split(separator: "\n").map(LogRecord.init)
    }
}

@Suite(.serialized)
struct LogLinesTests {
    private static let json = "log: { format: json }"

    private static func source() async throws -> PostgresCluster {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t (id int PRIMARY KEY, s text)")
        return cluster
    }

    @Test
    func `an outage is a line when it begins, one when it ends, and a count`() async throws {
        let cluster = try await Self.source()
        let task = try RelayTask(cluster, more: Self.json)
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        try cluster.stop(mode: .immediate)
        // Two wordings at most: the connection that broke, and those that are refused.
        try await daemon.until(.seconds(60), "six failed attempts") {
            try await Self.metric("walrelay_errors_total", of: task) ?? 0 >= 6
        }
        try await cluster.start()
        try await task.waitForPhase("streaming", of: daemon)
        #expect(try await daemon.stop() == .code(0))

        let lines = try LogRecord.all(of: daemon)
        for line in lines {
            let time = try #require(line.text("time"))
            #expect(time.wholeMatch(of: #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/#) != nil)
            #expect(line.text("task") == task.name)
            #expect(line.text("level") != nil && line.text("message") != nil)
        }
        #expect(
            lines.compactMap { $0.text("phase") }.reduce(into: [String]()) { phases, phase in
                if phases.last != phase { phases.append(phase) }
            }.prefix(6) == [
                "checking", "snapshotting", "streaming", "reconnecting", "streaming", "stopping",
            ]
        )
        let mended = try #require(lines.first { $0.text("mended") != nil })
        #expect(mended.text("phase") == "streaming" && mended.text("was") == "reconnecting")
        #expect(mended.text("mended")?.hasPrefix("source.") == true)
        #expect(mended.text("lsn")?.contains("/") == true)
        let failures = try #require(mended.number("failures"))
        #expect(failures >= 6)
        let told = lines.filter { $0.text("code") != nil }
        #expect(told.reduce(0) { $0 + ($1.number("repeated") ?? 1) } == failures)
        #expect(told.count < failures)
        #expect(told.allSatisfy { $0.text("try")?.isEmpty == false })
        let last = try #require(lines.last)
        #expect(last.number("exit") == 0 && last.text("message")?.contains("stopped") == true)
    }

    @Test(arguments: ["text", "json"])
    func `the last line says why it ended, and with which exit code`(format: String) async throws {
        let cluster = try await Self.source()
        let task = try RelayTask(cluster, more: "log: { format: \(format) }")
        try await task.runUntilNow()
        try cluster.psql("INSERT INTO t VALUES (1); TRUNCATE t")
        let daemon = try task.start()
        #expect(try await daemon.wait() == .code(65))
        if format == "json" {
            let last = try #require(try LogRecord.all(of: daemon).last)
            #expect(last.text("level") == "error" && last.number("exit") == 65)
            #expect(last.text("code") == "stream.truncate_refused")
            #expect(last.text("try")?.contains("stream.onTruncate") == true)
            #expect(last.text("message")?.contains("public.t was truncated") == true)
        } else {
            let lines = daemon.stderr.split(separator: "\n").suffix(3)
            #expect(lines.first?.contains("error ends with exit code 65") == true)
            #expect(lines.first?.contains("code=stream.truncate_refused exit=65") == true)
            #expect(lines.dropFirst().first?.hasPrefix("walrelay: public.t was truncated") == true)
            #expect(lines.last?.contains("try: set stream.onTruncate") == true)
        }
    }

    @Test(.enabled(if: Tmpfs.isPossible, "only root can mount a small file system"))
    func `a full disk is one line until there is room, and one then`() async throws {
        let cluster = try await Self.source()
        let disk = try Tmpfs(mebibytes: 2)
        let task = try RelayTask(
            cluster,
            rotate: "1MiB",
            sinkDirectory: "\(disk.path)/events",
            more: Self.json
        )
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        try cluster.psql(
            "INSERT INTO t SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 20000) i"
        )
        try await daemon.until(.seconds(60), "some retries") {
            try await Self.metric("walrelay_sink_retries_total", of: task) ?? 0 >= 4
        }
        #expect(try await Self.metric("walrelay_sink_waiting", of: task) == 1)
        try disk.resize(mebibytes: 200)
        try await daemon.until(.seconds(60), "all changes durable") {
            try await task.status("stream", "changes") == "20000"
        }
        #expect(try await Self.metric("walrelay_sink_waiting", of: task) == 0)
        #expect(try await Self.metric("walrelay_sink_waited_seconds_total", of: task) ?? 0 > 1)
        #expect(try await Self.metric("walrelay_source_blocked_seconds_total", of: task) ?? 0 > 1)
        #expect(try await daemon.stop() == .code(0))
        let lines = try LogRecord.all(of: daemon).filter { $0.text("code") == "sink.disk_full" }
        let errors = lines.filter { $0.text("level") == "error" }
        #expect(errors.count { $0.number("repeated") == nil } <= 4)
        let mended = try #require(lines.first { $0.text("level") == "notice" })
        #expect(mended.text("message")?.hasPrefix("the sink goes on, after ") == true)
        #expect(mended.number("failures") ?? 0 >= 1)
    }

    @Test
    func `in a journal every line has its priority, and the text no time`() async throws {
        let files = try TemporaryDirectory()
        let settings = try files.write(
            """
            task: orders
            source: { host: 127.0.0.1, port: \(try FreePort.find()), database: d, user: u }
            tables: { include: [public.t] }
            sink: { kind: ndjson, ndjson: { directory: '\(files.file("events"))' } }
            http: { listen: off }
            retry: { for: 1s }

            """,
            to: "orders.yaml"
        )
        mkdir(files.file("events"), 0o755)
        // A service manager names the stream that it made; here that is the test's pipe.
        let daemon = try DaemonProcess(
            [
                "-c",
                #"JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$0" run --config "$1""#,
                DaemonProcess.executable, settings,
            ],
            executable: "/bin/bash"
        )
        #expect(try await daemon.wait() == .code(75))
        let lines = daemon.stderr.split(separator: "\n")
        #expect(lines.count >= 5)
        #expect(lines.allSatisfy { $0.firstMatch(of: #/^<[3-6]>[^0-9]/#) != nil }, "\(lines)")
        #expect(lines.contains { $0.hasPrefix("<6>checking task=orders") })
        #expect(lines.contains { $0.hasPrefix("<4>connecting to the source") })
        #expect(lines.contains { $0.hasPrefix("<3>ends with exit code 75") })
        #expect(lines.last?.hasPrefix("<3>") == true)
    }

    @Test(.enabled(if: TestKnob.isLong, "it takes a minute"), .timeLimit(.minutes(3)))
    func `a task at work says so once a minute`() async throws {
        let cluster = try await Self.source()
        let task = try RelayTask(cluster, more: Self.json)
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        for id in 1...130 {
            try cluster.psql("INSERT INTO t VALUES (\(id))")
            try await Task.sleep(for: .milliseconds(500))
        }
        #expect(try await daemon.stop() == .code(0))
        let lines = try LogRecord.all(of: daemon).filter { $0.number("changes") != nil }
        #expect(lines.count == 1)
        let line = try #require(lines.first)
        #expect((60...130).contains(line.number("changes") ?? 0))
        #expect(line.number("transactions") == line.number("changes"))
        #expect(line.number("commits") ?? 0 > 10)
        #expect(line.text("message")?.hasPrefix("streaming: ") == true)
    }

    /// A metric without labels beside `task`.
    private static func metric(_ name: String, of task: RelayTask) async throws -> Double? {
        guard let url = URL(string: "http://127.0.0.1:\(task.port)/metrics") else { return nil }
        let (data, _) = try await URLSession.shared.data(from: url)
        return String(decoding: data, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix("\(name){") }?
            .split(separator: " ").last.flatMap { Double($0) }
    }
}
