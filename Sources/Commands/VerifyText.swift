// SPDX-License-Identifier: Apache-2.0
//
// The report of `verify` for people and for programs.

import ChangeModel
import Verify

/// How a comparison is printed.
enum VerifyText {
    /// A line a table, what differs below it, and a sum; ends in a line feed.
    static func text(_ report: VerifyReport) -> String {
        let names = report.tables.map { $0.table.shown }
        let width = names.map(\.count).filter { $0 <= 40 }.max() ?? 0
        var text = ""
        for (name, table) in zip(names, report.tables) {
            let rows = "\(TerminalText.grouped(Int(clamping: table.rows))) rows"
            text += TerminalText.padded(name, to: width) + "  "
            text += TerminalText.padded(rows, to: 18) + "  \(verdict(table))\n"
            for range in table.ranges { text += "    \(line(range, of: table))\n" }
            if table.moreRanges > 0 {
                text +=
                    "    and \(TerminalText.grouped(table.moreRanges)) more "
                    + "\(table.moreRanges == 1 ? "range" : "ranges")\n"
            }
            for note in table.notes { text += "    note: \(note.shown)\n" }
        }
        return text + sum(report)
    }

    /// One JSON object: the report, and whether all is equal.
    static func json(_ report: VerifyReport) throws -> String {
        struct Whole: Encodable {
            var equal: Bool
            var report: VerifyReport

            func encode(to encoder: any Encoder) throws {
                try report.encode(to: encoder)
                var container = encoder.container(keyedBy: Key.self)
                try container.encode(equal, forKey: .equal)
            }

            enum Key: String, CodingKey { case equal }
        }
        return try TerminalText.json(Whole(equal: report.isEqual, report: report))
    }

    private static func verdict(_ table: VerifyReport.Table) -> String {
        var text = table.isEqual ? "equal" : "differs: " + counts(table)
        if let mended = table.mended, mended.count > 0 {
            let parts = [
                (mended.inserted, "inserted"), (mended.deleted, "deleted"),
                (mended.replaced, "replaced"),
            ]
            text += "; mended: " + list(parts)
        }
        return text
    }

    private static func counts(_ table: VerifyReport.Table) -> String {
        list([
            (table.missing, "missing"), (table.extra, "extra"), (table.changed, "changed"),
        ])
    }

    private static func list(_ parts: [(Int, String)]) -> String {
        parts.filter { $0.0 > 0 }.map { "\(TerminalText.grouped($0.0)) \($0.1)" }
            .joined(separator: ", ")
    }

    private static func line(_ range: DifferingRange, of table: VerifyReport.Table) -> String {
        let counts = list([
            (range.missing, "missing"), (range.extra, "extra"), (range.changed, "changed"),
        ])
        let names = table.key.isEmpty ? "row" : table.key.joined(separator: ",")
        let keys = range.first == range.last ? range.first : "\(range.first) to \(range.last)"
        return "\(names) \(keys): \(counts)".shown
    }

    private static func sum(_ report: VerifyReport) -> String {
        let differing = report.tables.count { !$0.isEqual }
        let tables = "\(report.tables.count) table\(report.tables.count == 1 ? "" : "s")"
        let rate = report.seconds > 0 ? Int(Double(report.rows) / report.seconds) : 0
        var text =
            (differing == 0 ? "\(tables) equal" : "\(differing) of \(tables) differ")
            + ": \(TerminalText.grouped(Int(clamping: report.rows))) rows at \(report.targetLSN) "
            + "in \(seconds(report.seconds)) s"
        if report.seconds >= 1 { text += ", \(TerminalText.grouped(rate)) rows/s" }
        text +=
            ". The source's snapshot lies at \(report.sourceLSN), \(report.changesBetween) "
            + "change\(report.changesBetween == 1 ? "" : "s") before\n"
        if report.heldSeconds > 0 {
            text += "The task was held back for \(seconds(report.heldSeconds)) s at most\n"
        }
        return text
    }

    private static func seconds(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded(.up))
        return "\(tenths / 10).\(tenths % 10)"
    }
}
