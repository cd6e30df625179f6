// SPDX-License-Identifier: Apache-2.0
//
// What is told to systemd and when, as a pure machine:
//
//   checking, reconnecting before READY   EXTEND_TIMEOUT_USEC: a slow start is not a failed one
//   snapshotting, streaming, standby      READY=1, once
//   stopping                              STOPPING=1 once, then EXTEND_TIMEOUT_USEC while draining
//   always                                STATUS= on a new phase, else every ten seconds;
//                                         WATCHDOG=1 at half of the interval
//
// When a part of the pipeline is stalled, nothing is extended and no WATCHDOG=1 is sent: that
// silence is what makes systemd restart the service.

import ChangeModel
import Pipeline

/// The machine behind SystemdNotifier; its caller keeps the new state only once a message is sent.
struct NotifyProtocol: Sendable {
    static let statusInterval: Duration = .seconds(10)
    static let extendInterval: Duration = .seconds(10)
    /// What is asked for each time; the next request comes well before it has passed.
    static let extensionTime: Duration = .seconds(60)

    /// systemd's patience; nil when no watchdog is set for this process.
    let watchdog: Duration?

    /// Whether READY=1 was said.
    private(set) var isReady = false
    private var isStopping = false
    private var phase: TaskStatus.Phase?
    private var wasStalled = false
    private var lastStatus: Duration?
    private var lastWatchdog: Duration?
    private var lastExtend: Duration?

    init(watchdog: Duration?) {
        self.watchdog = watchdog
    }

    /// How often ``message(status:stall:isShuttingDown:now:)`` is to be asked.
    ///
    /// A quarter of the watchdog's interval at most, so that "half of it" never becomes all of it.
    var tick: Duration {
        guard let watchdog else { return .seconds(1) }
        return max(.milliseconds(5), min(.seconds(1), watchdog / 4))
    }

    /// The datagram that is due now, or nil; `now` is any monotonic time.
    mutating func message(
        status: TaskStatus,
        stall: String?,
        isShuttingDown: Bool,
        now: Duration
    ) -> String? {
        var lines: [String] = []
        let isMoving = stall == nil
        if !isReady, [.snapshotting, .streaming, .standby].contains(status.phase) {
            isReady = true
            lines.append("READY=1")
        }
        if !isStopping, isShuttingDown || status.phase == .stopping {
            isStopping = true
            lastExtend = nil
            lines.append("STOPPING=1")
        }
        if isMoving, isStopping || !isReady, Self.isDue(lastExtend, Self.extendInterval, now) {
            lastExtend = now
            let microseconds = Self.extensionTime.components.seconds * 1_000_000
            lines.append("EXTEND_TIMEOUT_USEC=\(microseconds)")
        }
        if phase != status.phase || wasStalled == isMoving
            || Self.isDue(lastStatus, Self.statusInterval, now)
        {
            phase = status.phase
            wasStalled = !isMoving
            lastStatus = now
            lines.append("STATUS=" + (stall ?? StatusLine.text(of: status)))
        }
        if let watchdog, isMoving, Self.isDue(lastWatchdog, watchdog / 2 - tick, now) {
            lastWatchdog = now
            lines.append("WATCHDOG=1")
        }
        return lines.isEmpty ? nil : lines.joined(separator: "\n")
    }

    private static func isDue(_ last: Duration?, _ interval: Duration, _ now: Duration) -> Bool {
        guard let last else { return true }
        return now - last >= interval
    }
}

/// A task's state in one line for people: `systemctl status`, and a terminal.
enum StatusLine {
    static func text(of status: TaskStatus) -> String {
        let line =
            switch status.phase {
            case .checking: "checking prerequisites"
            case .standby: "standby" + (status.standby.map { ": \($0.text)" } ?? "")
            case .snapshotting: snapshot(status.snapshot.tables)
            case .streaming: stream(status)
            case .reconnecting: "reconnecting" + reason(status)
            case .stopping: "stopping: draining to \(status.stream.receivedLSN ?? "the end")"
            case .failed: "failed" + reason(status)
            }
        return LogText.bounded(line.shown, byteLimit: 1024)
    }

    private static func snapshot(_ tables: [TaskStatus.Snapshot.Table]) -> String {
        let done = tables.count { $0.state == .done }
        let rows = tables.reduce(0) { $0 + $1.rowsCopied }
        return "snapshot: \(done) of \(tables.count) tables, \(rows) rows"
    }

    private static func stream(_ status: TaskStatus) -> String {
        var line = "streaming: \(Quantity.count(status.stream.changesPerSecond)) changes/s"
        if let lag = status.source.lagBytes { line += ", \(Quantity.bytes(Int64(lag))) behind" }
        if let durable = status.stream.durableLSN { line += ", durable at \(durable)" }
        return line
    }

    private static func reason(_ status: TaskStatus) -> String {
        guard let error = status.lastError else { return "" }
        return ": \(error.message) [\(error.code)]"
    }
}
