// SPDX-License-Identifier: Apache-2.0
//
// `status`, `status --watch` and the bar of `run` on a terminal: what they draw of a running task,
// that it fits, and that the terminal is as it was afterwards.

import Foundation
import Glibc
import Support
import Testing

@Suite struct StatusWatchTests {
    private static let enter = "\u{1B}[?1049h\u{1B}[?25l"
    private static let leave = "\u{1B}[?25h\u{1B}[?1049l"

    private func terminal(
        _ arguments: String...,
        environment: [String: String] = [:],
        rows: Int = 30,
        columns: Int = 100
    ) throws -> PseudoTerminal {
        try PseudoTerminal(
            DaemonProcess.executable,
            arguments,
            environment: environment,
            rows: rows,
            columns: columns
        )
    }

    @Test func `watching draws what changes, and gives the terminal back`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("watch_it")
        let port = try FreePort.find()
        task.httpPort = port
        var daemon = try await task.stream()
        let url = "http://127.0.0.1:\(port)"
        let watch = try terminal("status", "--url", url, "--watch")
        try await eventually("a frame") { watch.frame.contains { $0.hasPrefix("slot ") } }
        #expect(watch.output.hasPrefix(Self.enter))
        #expect(watch.frame.first == "task         watch_it, streaming")
        #expect(watch.output.contains("\u{1B}[32mstreaming\u{1B}[0m"))
        try cluster.psql("INSERT INTO orders SELECT generate_series(10, 509)", database: "watch_it")
        // With the two rows of the snapshot.
        try await eventually("the changes", timeout: .seconds(20)) {
            watch.frame.contains { $0.contains("since the start 502 changes in 1 transaction") }
        }
        watch.resize(rows: 5, columns: 31)
        try await eventually("a smaller frame") { watch.frame.count == 5 }
        #expect(watch.frame.allSatisfy { $0.count <= 31 })
        #expect(watch.frame.last?.contains("lines more") == true)
        watch.resize(rows: 30, columns: 100)

        #expect(try await daemon.stop() == .code(0))
        try await eventually("the loss", timeout: .seconds(20)) {
            watch.frame.first?.hasPrefix("no answer since ") == true
        }
        #expect(watch.frame.contains { $0.hasPrefix("task         watch_it") })
        daemon = try await task.stream()
        try await eventually("the answer", timeout: .seconds(20)) {
            watch.frame.first == "task         watch_it, streaming"
        }
        watch.kill(SIGINT)
        #expect(try await watch.wait() == .code(0))
        try await eventually("the end") { watch.output.hasSuffix(Self.leave) }
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `a terminal that only prints gets no codes`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("watch_dumb")
        let port = try FreePort.find()
        task.httpPort = port
        let daemon = try await task.stream()
        let url = "http://127.0.0.1:\(port)"
        for environment in [["TERM": "dumb"], ["NO_COLOR": "1"], ["TERM": ""]] {
            let once = try terminal("status", "--url", url, environment: environment)
            #expect(try await once.wait() == .code(0))
            try await eventually("its output") { once.output.contains("version ") }
            // Colours are for every terminal that has not said that it knows none.
            #expect(once.output.contains("\u{1B}[32mstreaming") == (environment["TERM"] == ""))
            #expect(!once.output.contains("\u{1B}[?"))
        }
        let watch = try terminal("status", "--url", url, "--watch", environment: ["TERM": "dumb"])
        try await eventually("two reports") {
            watch.output.components(separatedBy: "task         watch_dumb").count > 2
        }
        #expect(!watch.output.contains("\u{1B}"))
        watch.kill(SIGTERM)
        #expect(try await watch.wait() == .code(0))
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `watching ends well when its reader has seen enough`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("watch_head")
        let port = try FreePort.find()
        task.httpPort = port
        let daemon = try await task.stream()
        let url = "http://127.0.0.1:\(port)"
        for options in ["--json", ""] {
            let watch = try await onThread {
                try runProcess(
                    "/bin/bash",
                    [
                        "-c",
                        #""$0" status --url "$1" --watch $2 | head -n 1; exit "${PIPESTATUS[0]}""#,
                        DaemonProcess.executable, url, options,
                    ]
                )
            }
            #expect(watch.status == .code(0), "\(watch.stderr)")
            #expect(!watch.stdout.isEmpty && watch.stderr.isEmpty)
        }
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `run shows a bar on a terminal, below its log`() async throws {
        let (task, cluster) = try await SharedCluster.trusting.task("watch_run")
        try cluster.psql(
            "INSERT INTO orders SELECT generate_series(10, 300000), repeat('x', 80); ANALYZE orders",
            database: "watch_run"
        )
        let path = try task.files.write(task.yaml, to: "task.yaml")
        let run = try terminal("run", "--config", path)
        try await eventually("the bar of the stream", timeout: .seconds(60)) {
            run.output.contains("\r\u{1B}[Kstreaming, ")
        }
        // Whatever is written begins at an empty line: a bar, or a line of the log.
        for line in run.output.components(separatedBy: "\r\n").dropLast() {
            let last = line.components(separatedBy: "\r\u{1B}[K").last ?? ""
            #expect(!last.contains("changes/s"), "\(line)")
        }
        run.kill(SIGTERM)
        #expect(try await run.wait() == .code(0))
        let dumb = try terminal(
            "run",
            "--config",
            path,
            "--until",
            "now",
            environment: ["TERM": "dumb"]
        )
        #expect(try await dumb.wait() == .code(0))
        #expect(!dumb.output.contains("\u{1B}"))
    }
}
