// SPDX-License-Identifier: Apache-2.0
//
// A task's status for people: one line a thing, what matters first, the tables of a snapshot while
// there is one to be made. What is not known yet is a dash, never a zero.

import ChangeModel
import Pipeline

/// How a status is printed.
struct StatusReport {
    /// The most tables that are listed.
    static let tableLimit = 20

    var status: TaskStatus
    /// The present moment in seconds since 1970-01-01 UTC.
    var unixSeconds: Int64 = UTCTimestamp.now.unixMilliseconds / 1000

    /// The report without colours; ends in a line feed.
    static func text(_ status: TaskStatus) -> String {
        Self(status: status).lines.map { $0.text + "\n" }.joined()
    }

    /// A label and what is known, line by line.
    var lines: [StyledText] {
        let source = status.source
        var rows: [[StyledText]] = [
            ["task", StyledText("\(status.task), ") + StyledText(status.phase.rawValue, phaseInk)],
            ["", StyledText(status.sentence, .quiet)],
        ]
        if let standby = status.standby {
            rows.append(["standby", StyledText("since \(standby.since), \(standby.text)")])
        }
        rows += status.warnings.map { warning in
            [StyledText("warning", .warning), StyledText("\(warning.text) [\(warning.code)]")]
        }
        if !status.snapshot.tables.isEmpty { rows.append(["snapshot", StyledText(snapshot)]) }
        rows += [
            ["source", StyledText(server)],
            ["slot", slot],
            ["publication", StyledText(source.publication ?? "-")],
            ["tables", StyledText(status.stream.tablesText ?? "-")],
            ["lag", StyledText(lag)],
            ["rate", StyledText(rate)],
            ["position", StyledText(position)],
            ["sink", StyledText(sink)],
        ]
        rows += certificates
        rows += errors
        let uptime = status.uptimeSeconds.map { ", up \(TerminalText.time(seconds: Int64($0)))" }
        rows.append(["version", StyledText("walrelay \(status.version)\(uptime ?? "")")])
        return StyledText.table(rows) + tables
    }

    private var phaseInk: Ink {
        switch status.phase.rawValue {
        case "streaming": .good
        case "failed": .bad
        case "checking", "snapshotting": .strong
        default: .warning
        }
    }

    private var server: String {
        guard let version = status.source.serverVersion else { return "-" }
        return "PostgreSQL \(version), system \(status.source.systemIdentifier ?? "-")"
    }

    private var slot: StyledText {
        guard let slot = status.source.slot else { return "-" }
        var parts = [StyledText(slot)]
        if let state = status.source.walStatus {
            let inks: [String: Ink] = ["unreserved": .warning, "lost": .bad]
            parts.append(StyledText(state, inks[state] ?? .plain))
        }
        if let retained = status.source.retainedBytes {
            parts.append(StyledText("holds back \(TerminalText.bytes(Int64(retained))) of WAL"))
        }
        return StyledText(parts, separator: ", ")
    }

    private var lag: String {
        let bytes = status.source.lagBytes.map { TerminalText.bytes(Int64($0)) }
        let time = status.stream.lagMilliseconds.map { Quantity.time(milliseconds: Int64($0)) }
        let parts = [bytes, time].compactMap { $0 }
        return parts.isEmpty ? "-" : parts.joined(separator: ", ")
    }

    private var rate: String {
        let stream = status.stream
        return "\(Quantity.count(stream.changesPerSecond)) changes/s; since the start "
            + "\(TerminalText.grouped(stream.changes)) changes in "
            + "\(TerminalText.grouped(stream.transactions)) transaction"
            + (stream.transactions == 1 ? "" : "s")
    }

    private var position: String {
        "server \(status.source.walLSN ?? "-"), received \(status.stream.receivedLSN ?? "-"), "
            + "durable \(status.stream.durableLSN ?? "-"), "
            + "confirmed \(status.source.confirmedFlushLSN ?? "-")"
    }

    private var sink: String {
        let details = status.sink.details.sorted { $0.key < $1.key }.map { name, detail in
            let (label, unit) = TaskStatus.Sink.shown(name)
            return switch (detail, unit) {
            case (.text(let text), _): "\(name) \(text)"
            case (.number(let number), .bytes): "\(name) \(TerminalText.bytes(Int64(number)))"
            case (.number(let number), .microseconds):
                "\(label) \(Quantity.time(microseconds: Int64(number)))"
            case (.number(let number), .none): "\(name) \(TerminalText.grouped(number))"
            }
        }
        return ([status.sink.kind] + details).joined(separator: ", ")
    }

    private var certificates: [[StyledText]] {
        (status.certificates ?? []).map { certificate in
            let left = certificate.notAfterSeconds - unixSeconds
            let days = Prose.count(Int(left / 86_400), "day")
            let ink: Ink = left < 0 ? .bad : left < 30 * 86_400 ? .warning : .plain
            let end = left < 0 ? "expired" : "valid for \(days)"
            return [
                "certificate",
                StyledText(
                    "\(certificate.server.rawValue), \(certificate.certificate): "
                        + "\(certificate.subject.cut(to: 80)), "
                ) + StyledText("\(end), until \(certificate.notAfter.prefix(10))", ink),
            ]
        }
    }

    private var errors: [[StyledText]] {
        guard let last = status.lastError else { return [["last error", "none"]] }
        // A daemon of an earlier version tells the last one only.
        let known = status.recentErrors.isEmpty ? [.init(last)] : status.recentErrors
        return known.enumerated().flatMap { index, error -> [[StyledText]] in
            let message = error.message.replacing("\n", with: " ")
            let often = error.count > 1 ? ", \(TerminalText.grouped(error.count)) times" : ""
            let isLast = index == 0
            let label = StyledText(isLast ? "last error" : "before", isLast ? errorInk : .plain)
            let line = StyledText("\(error.at)\(often)  \(message) [\(error.code)]")
            guard isLast, !error.hint.isEmpty else { return [[label, line]] }
            return [[label, line], ["", StyledText("try: \(error.hint)")]]
        }
    }

    /// Red where the error is why nothing moves; elsewhere it is past.
    private var errorInk: Ink {
        switch status.phase {
        case .failed: .bad
        case .reconnecting: .warning
        default: .plain
        }
    }
}

// MARK: - The snapshot

extension StatusReport {
    private var snapshot: String {
        let snapshot = status.snapshot
        var parts = [
            "\(snapshot.tablesDone) of \(Prose.count(snapshot.tables.count, "table")) done",
            "\(TerminalText.grouped(snapshot.rowsCopied)) rows",
        ]
        guard snapshot.tablesDone < snapshot.tables.count else {
            return parts.joined(separator: ", ")
        }
        if let rate = snapshot.rowsPerSecond { parts.append("\(Quantity.count(rate)) rows/s") }
        parts.append("\(Self.left(snapshot.secondsLeft)) left")
        let bar = snapshot.share.map { String(TerminalText.bar($0).dropFirst()) + ", " } ?? ""
        return bar + parts.joined(separator: ", ")
    }

    private static func left(_ seconds: Int?) -> String {
        seconds.map { Quantity.estimate(seconds: $0) } ?? "-"
    }

    /// What is being copied, what waits, what is done, in this order, as long as not all is done.
    private var tables: [StyledText] {
        let all = status.snapshot.tables
        guard status.snapshot.tablesDone < all.count else { return [] }
        let states: [TaskStatus.Snapshot.Table.State] = [.copying, .waiting, .done]
        let ordered = states.flatMap { state in all.filter { $0.state == state } }
        let rows = ordered.prefix(Self.tableLimit).map(row)
        let more = all.count - rows.count
        let rest: [StyledText] =
            more > 0 ? [StyledText("  and \(TerminalText.grouped(more)) more", .quiet)] : []
        return StyledText.table(rows) + rest
    }

    private func row(_ table: TaskStatus.Snapshot.Table) -> [StyledText] {
        let ink: Ink = table.state == .copying ? .plain : .quiet
        let estimate = table.rowsEstimated.map { " of about \(TerminalText.grouped($0))" }
        let isDone = table.state == .done
        let rows =
            TerminalText.grouped(table.rowsCopied) + (isDone ? "" : estimate ?? "") + " rows"
        let bar = table.share.map { String(TerminalText.bar($0).dropFirst()) } ?? ""
        return [
            "", StyledText(table.table.shown.cut(toColumns: 40), ink),
            StyledText(table.state.rawValue, ink), StyledText(isDone ? "" : bar, ink),
            StyledText(rows, ink), StyledText(TerminalText.bytes(Int64(table.bytesCopied)), ink),
            StyledText(
                table.state == .copying ? "\(Self.left(table.secondsLeft)) left" : "",
                ink
            ),
        ]
    }
}
