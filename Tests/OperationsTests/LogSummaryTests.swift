// SPDX-License-Identifier: Apache-2.0
//
// The lines of a task that is well: one a minute while it moves something, else one for the first
// minute and one an hour.

import Logging
import Pipeline
import Testing

@testable import Operations

@Suite struct LogSummaryTests {
    /// A task whose time goes by in seconds.
    private struct Task {
        var summary = LogSummary()
        var status = TaskStatus(task: "orders", version: "1", sinkKind: "ndjson")
        var lines: [String] = []
        var figures: Logger.Metadata = [:]
        var now = 0

        mutating func pass(_ seconds: Int, _ change: (inout TaskStatus) -> Void = { _ in }) {
            for _ in 0..<seconds {
                now += 1
                change(&status)
                let line = summary.line(status, at: .seconds(now))
                if let line {
                    lines.append("\(now) \(line.message)")
                    figures = line.figures
                }
            }
        }
    }

    @Test func `a stream says once a minute what it moved in it`() {
        var task = Task()
        task.status.phase = .streaming
        task.status.stream.changes = 1_000_000
        task.status.sink.details["commits"] = 100
        task.pass(121) { status in
            status.stream.changes += 100
            status.stream.transactions += 2
            status.stream.lagMilliseconds = 12
            status.stream.durableLSN = "16/B374D848"
            status.source.lagBytes = 3 << 20
            status.source.retainedBytes = 5 << 30
            status.sink.details["commits"] = .number(100 + status.stream.transactions)
        }
        let line =
            "streaming: 6000 changes of 120 transactions, 100.0/s, lag 12 ms, "
            + "3 MiB behind the server, 5 GiB of WAL retained, durable up to 16/B374D848"
        #expect(task.lines == ["61 \(line)", "121 \(line)"])
        #expect(task.figures["commits"] == .stringConvertible(120))
        #expect(task.figures["retainedBytes"] == .stringConvertible(5 << 30))
        #expect(task.figures["phase"] == "streaming")
    }

    @Test func `an idle stream says so after a minute, and then once an hour`() {
        var task = Task()
        task.status.phase = .streaming
        task.pass(2 * 3600 + 121)
        #expect(
            task.lines.map { $0.split(separator: ",")[0] } == [
                "61 streaming: idle for 1 min", "3661 streaming: idle for 1 h",
                "7261 streaming: idle for 1 h",
            ]
        )
    }

    @Test func `a standby says once an hour that it is there`() {
        var task = Task()
        task.status.phase = .standby
        task.status.standby = .init(since: "2026-01-02T03:04:05.678Z", holder: nil)
        task.pass(2 * 3600 + 1)
        let line = "standby: another walrelay runs the task, since 2026-01-02T03:04:05.678Z"
        #expect(task.lines == ["3601 \(line)", "7201 \(line)"])
    }

    @Test func `a minute with one change after an idle one counts that minute only`() {
        var task = Task()
        task.status.phase = .streaming
        task.pass(600)
        task.status.stream.changes += 6
        task.pass(60)
        #expect(task.lines.count == 2)
        #expect(task.lines.last?.contains("6 changes of 0 transactions, 0.1/s") == true)
        #expect(task.figures["changesPerSecond"] == .stringConvertible(0.1))
        task.pass(120)
        #expect(task.lines.last?.contains("idle for 1 min") == true)
        #expect(task.lines.count == 3, "once for each time that it falls idle")
    }

    @Test func `a stream that is stuck is not idle`() {
        var task = Task()
        task.status.phase = .streaming
        task.status.stream.lagMilliseconds = 60_000
        task.pass(61)
        #expect(task.lines.first?.contains("lag 1 min") == true)
    }

    @Test func `a snapshot says how far it is`() {
        var task = Task()
        task.status.phase = .snapshotting
        task.status.snapshot.tables = [
            .init(table: "a", state: .done, rowsEstimated: 90, rowsCopied: 1000),
            .init(table: "b", state: .copying, rowsEstimated: 11_000),
        ]
        task.status.snapshot.secondsLeft = 100
        task.pass(61) { $0.snapshot.tables[1].rowsCopied += 50 }
        #expect(
            task.lines == [
                "61 snapshotting: 4050 of about 12000 rows (33 %), 1 of 2 tables, 50.0/s, "
                    + "about 2 min left"
            ]
        )
        #expect(task.figures["secondsLeft"] == .stringConvertible(100))
    }

    @Test func `what one phase moved is not the next one's, and other phases say nothing`() {
        var task = Task()
        task.status.phase = .snapshotting
        task.pass(59) { $0.stream.changes += 1000 }
        task.status.phase = .streaming
        task.pass(60) { $0.stream.changes += 1 }
        #expect(task.lines == [])
        task.pass(1)
        #expect(task.lines.first?.hasPrefix("120 streaming: 59 changes of") == true)
        for phase in [TaskStatus.Phase.checking, .reconnecting, .stopping, .failed] {
            task.status.phase = phase
            task.pass(200) { $0.stream.changes += 1 }
        }
        #expect(task.lines.count == 1)
    }
}
