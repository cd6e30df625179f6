// SPDX-License-Identifier: Apache-2.0
//
// A task's status for people: one line a thing, what matters first, the tables of a snapshot while
// there is one. What is not known yet is a dash, never a zero.

import ChangeModel
import Pipeline

/// How a status is printed.
enum StatusReport {
    /// Lines of a label and what is known; ends in a line feed.
    static func text(_ status: TaskStatus) -> String {
        var rows = [["task", "\(status.task), \(status.phase.rawValue)"]]
        if let standby = status.standby {
            rows.append(["standby", "since \(standby.since), \(standby.text)"])
        }
        rows.append(["source", source(status.source)])
        rows.append(["slot", slot(status.source)])
        if let warning = status.source.retention?.warning { rows.append(["warning", warning]) }
        rows.append(["publication", status.source.publication ?? "-"])
        rows.append(["lag", lag(status)])
        rows.append(["rate", rate(status.stream)])
        rows.append(["position", position(status)])
        rows.append(["sink", sink(status.sink)])
        if !status.snapshot.tables.isEmpty {
            rows.append(["snapshot", sum(of: status.snapshot.tables)])
        }
        if let error = status.lastError {
            let message = error.message.replacing("\n", with: " ")
            rows.append(["last error", "\(error.at)  \(message) [\(error.code)]"])
            if !error.hint.isEmpty { rows.append(["", "try: \(error.hint)"]) }
        } else {
            rows.append(["last error", "none"])
        }
        rows.append(["version", "walrelay \(status.version)"])
        return TerminalText.table(rows) + tables(status.snapshot.tables)
    }

    private static func source(_ source: TaskStatus.Source) -> String {
        guard let version = source.serverVersion else { return "-" }
        return "PostgreSQL \(version), system \(source.systemIdentifier ?? "-")"
    }

    private static func slot(_ source: TaskStatus.Source) -> String {
        guard let slot = source.slot else { return "-" }
        var parts = [slot]
        if let status = source.walStatus { parts.append(status) }
        if let retained = source.retainedBytes {
            parts.append("holds back \(TerminalText.bytes(Int64(retained))) of WAL")
        }
        return parts.joined(separator: ", ")
    }

    private static func lag(_ status: TaskStatus) -> String {
        let bytes = status.source.lagBytes.map { TerminalText.bytes(Int64($0)) }
        let time = status.stream.lagMilliseconds.map {
            $0 < 10_000 ? "\($0) ms" : TerminalText.time(seconds: Int64($0 / 1000))
        }
        let parts = [bytes, time].compactMap { $0 }
        return parts.isEmpty ? "-" : parts.joined(separator: ", ")
    }

    private static func rate(_ stream: TaskStatus.Stream) -> String {
        // From outside: a number that no Int holds must not be a trap.
        let rate = Int(exactly: stream.changesPerSecond.rounded()) ?? 0
        return "\(TerminalText.grouped(rate)) changes/s; since the start "
            + "\(TerminalText.grouped(stream.changes)) changes in "
            + "\(TerminalText.grouped(stream.transactions)) transactions"
    }

    private static func position(_ status: TaskStatus) -> String {
        "server \(status.source.walLSN ?? "-"), received \(status.stream.receivedLSN ?? "-"), "
            + "durable \(status.stream.durableLSN ?? "-"), "
            + "confirmed \(status.source.confirmedFlushLSN ?? "-")"
    }

    private static func sink(_ sink: TaskStatus.Sink) -> String {
        let details = sink.details.sorted { $0.key < $1.key }.map { name, detail in
            let (label, unit) = TaskStatus.Sink.shown(name)
            return switch (detail, unit) {
            case (.text(let text), _): "\(name) \(text)"
            case (.number(let number), .bytes): "\(name) \(TerminalText.bytes(Int64(number)))"
            case (.number(let number), .microseconds):
                number < 1000
                    ? "\(label) \(number) µs"
                    : "\(label) \((Double(number) / 100).rounded() / 10) ms"
            case (.number(let number), .none): "\(name) \(TerminalText.grouped(number))"
            }
        }
        return ([sink.kind] + details).joined(separator: ", ")
    }

    private static func sum(of tables: [TaskStatus.Snapshot.Table]) -> String {
        let done = tables.count { $0.state == .done }
        let rows = tables.reduce(0) { $0 &+ $1.rowsCopied }
        return "\(done) of \(tables.count) tables done, \(TerminalText.grouped(rows)) rows"
    }

    private static func tables(_ tables: [TaskStatus.Snapshot.Table]) -> String {
        TerminalText.table(
            tables.map { table in
                let rows = TerminalText.grouped(table.rowsCopied)
                let estimate = table.rowsEstimated.map { " of about \(TerminalText.grouped($0))" }
                return [
                    "", table.table, table.state.rawValue,
                    rows + (table.state == .done ? "" : estimate ?? "") + " rows",
                    TerminalText.bytes(Int64(table.bytesCopied)),
                ]
            }
        )
    }
}
