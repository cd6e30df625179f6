// SPDX-License-Identifier: Apache-2.0
//
// What the log says while all is well: one line a minute of what was moved; where nothing moves one
// for the first minute, and then one an hour, so that a log shows life. Pure: status and time are
// passed in.

import ChangeModel
import Logging
import Pipeline

/// Decides when a line is due, and words it.
struct LogSummary {
    /// A line: its words, and the numbers in them.
    struct Line: Equatable {
        var message: String
        var figures: Logger.Metadata
    }

    /// Between two lines of a task that moves something.
    static let interval: Duration = .seconds(60)
    /// Between two lines of one that does not.
    static let idleInterval: Duration = .seconds(3600)
    /// A lag that is no idleness, in milliseconds: something waits, and nothing is durable.
    static let lagLimit = 10_000

    private struct Basis {
        var at: Duration
        var changes: Int
        var transactions: Int
        var commits: Int
        var rows: Int

        init(_ status: TaskStatus, at now: Duration) {
            at = now
            changes = status.stream.changes
            transactions = status.stream.transactions
            commits = LogSummary.commits(status)
            rows = status.snapshot.rowsCopied
        }
    }

    private var phase: TaskStatus.Phase?
    private var basis: Basis?
    private var lastLine: Duration = .zero
    /// Whether that line said that nothing moves.
    private var hasSaidIdle = false

    /// The line that is due, if one is; `now` counts from any moment.
    mutating func line(_ status: TaskStatus, at now: Duration) -> Line? {
        guard phase == status.phase, let basis else {
            // What came before the phase is not its work.
            (phase, basis, lastLine) = (status.phase, Basis(status, at: now), now)
            hasSaidIdle = false
            return nil
        }
        guard now - basis.at >= Self.interval else { return nil }
        let line: Line?
        switch status.phase {
        case .streaming: line = streaming(status, since: basis, at: now)
        case .snapshotting: line = snapshotting(status, since: basis, at: now)
        case .standby: line = standingBy(status, at: now)
        case .checking, .reconnecting, .stopping, .failed: line = nil
        }
        if line != nil { (lastLine, hasSaidIdle) = (now, Self.isIdle(status, since: basis)) }
        self.basis = Basis(status, at: now)
        return line
    }

    private static func isIdle(_ status: TaskStatus, since basis: Basis) -> Bool {
        status.stream.changes == basis.changes
            && status.stream.lagMilliseconds ?? 0 < Self.lagLimit
    }

    private func standingBy(_ status: TaskStatus, at now: Duration) -> Line? {
        guard now - lastLine >= Self.idleInterval else { return nil }
        var figures: Logger.Metadata = ["phase": "\(status.phase.rawValue)"]
        figures["since"] = status.standby.map { "\($0.since)" }
        let since = status.standby.map { ", since \($0.since)" } ?? ""
        return Line(message: "standby: another walrelay runs the task\(since)", figures: figures)
    }

    private func streaming(_ status: TaskStatus, since basis: Basis, at now: Duration) -> Line? {
        let stream = status.stream
        let changes = stream.changes - basis.changes
        let isIdle = Self.isIdle(status, since: basis)
        if isIdle, hasSaidIdle, now - lastLine < Self.idleInterval { return nil }
        let time = isIdle && hasSaidIdle ? now - lastLine : now - basis.at
        var figures: Logger.Metadata = [
            "phase": "\(status.phase.rawValue)",
            "changes": .stringConvertible(changes),
            "transactions": .stringConvertible(stream.transactions - basis.transactions),
            "commits": .stringConvertible(Self.commits(status) - basis.commits),
            "changesPerSecond": .stringConvertible(Self.rate(changes, time)),
        ]
        var parts = [
            isIdle
                ? "idle for \(Prose.time(milliseconds: time.milliseconds))"
                : Prose.count(changes, "change") + " of "
                    + Prose.count(stream.transactions - basis.transactions, "transaction")
                    + ", \(Self.rate(changes, time))/s"
        ]
        if let lag = stream.lagMilliseconds {
            parts.append("lag \(Prose.time(milliseconds: Int64(lag)))")
            figures["lagMilliseconds"] = .stringConvertible(lag)
        }
        if let bytes = status.source.lagBytes {
            figures["lagBytes"] = .stringConvertible(bytes)
            parts.append("\(Prose.bytes(Int64(bytes))) behind the server")
        }
        if let bytes = status.source.retainedBytes {
            parts.append("\(Prose.bytes(Int64(bytes))) of WAL retained")
            figures["retainedBytes"] = .stringConvertible(bytes)
        }
        if let lsn = stream.durableLSN {
            parts.append("durable up to \(lsn)")
            figures["lsn"] = "\(lsn)"
        }
        return Line(message: "streaming: " + parts.joined(separator: ", "), figures: figures)
    }

    private func snapshotting(
        _ status: TaskStatus,
        since basis: Basis,
        at now: Duration
    ) -> Line {
        let snapshot = status.snapshot
        let done = snapshot.tables.count { $0.state == .done }
        let rate = Self.rate(snapshot.rowsCopied - basis.rows, now - basis.at)
        let expected = snapshot.rowsExpected
        var figures: Logger.Metadata = [
            "phase": "\(status.phase.rawValue)",
            "rows": .stringConvertible(snapshot.rowsCopied),
            "rowsExpected": .stringConvertible(expected),
            "rowsPerSecond": .stringConvertible(rate),
            "tables": .stringConvertible(snapshot.tables.count),
            "tablesDone": .stringConvertible(done),
        ]
        let share = Int((snapshot.share ?? 0) * 100)
        var message =
            "snapshotting: \(snapshot.rowsCopied) of about \(Prose.count(expected, "row"))"
            + " (\(share) %), \(done) of \(Prose.count(snapshot.tables.count, "table")), \(rate)/s"
        if let seconds = snapshot.secondsLeft {
            message += ", about \(Quantity.estimate(seconds: seconds)) left"
            figures["secondsLeft"] = .stringConvertible(seconds)
        }
        return Line(message: message, figures: figures)
    }

    private static func rate(_ count: Int, _ time: Duration) -> Double {
        guard time > .zero else { return 0 }
        return (Double(count) / (time / .seconds(1)) * 10).rounded() / 10
    }

    private static func commits(_ status: TaskStatus) -> Int {
        guard case .number(let number) = status.sink.details["commits"] else { return 0 }
        return number
    }
}
