// SPDX-License-Identifier: Apache-2.0
//
// The bar of `run` on a terminal: how far the snapshot is and how long it takes yet, then the
// stream's rate and lag. Elsewhere the log says it.

import ChangeModel
import Pipeline

/// What a task does, on one line.
struct RunProgressText: ProgressText {
    let board: StatusBoard

    mutating func bar(at now: ContinuousClock.Instant) -> String { Self.line(board.status) }

    mutating func report(at now: ContinuousClock.Instant) -> String { bar(at: now) }

    /// The line of a status.
    static func line(_ status: TaskStatus) -> String {
        switch status.phase {
        case .snapshotting: snapshot(status.snapshot)
        case .streaming: stream(status)
        case .reconnecting: "reconnecting: \(status.lastError?.message ?? "")"
        default: status.phase.rawValue
        }
    }

    private static func snapshot(_ snapshot: TaskStatus.Snapshot) -> String {
        let bar = snapshot.share.map { TerminalText.bar($0) } ?? ""
        var text = "snapshot\(bar), \(snapshot.tablesDone) of "
        text += Prose.count(snapshot.tables.count, "table")
        if let rate = snapshot.rowsPerSecond { text += ", \(Quantity.count(rate)) rows/s" }
        if let left = snapshot.secondsLeft { text += ", \(Quantity.estimate(seconds: left)) left" }
        return text
    }

    private static func stream(_ status: TaskStatus) -> String {
        var text = "streaming, \(Quantity.count(status.stream.changesPerSecond)) changes/s"
        if let lag = status.stream.lagMilliseconds {
            text += ", lag \(Quantity.time(milliseconds: Int64(lag)))"
        }
        if let bytes = status.source.lagBytes {
            text += ", \(TerminalText.bytes(Int64(bytes))) to confirm"
        }
        return text
    }
}
