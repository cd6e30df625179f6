// SPDX-License-Identifier: Apache-2.0
//
// The pieces that reports for people are made of. Names come from the source, so everything that
// is not ours goes through `shown`: nothing unseen reaches the terminal.

import ChangeModel
import Foundation

/// How texts, amounts and tables look on a terminal.
enum TerminalText {
    /// An error on standard error: its further lines are indented, so that no name begins a line.
    static func error(_ error: WalrelayError) -> String {
        let lines = "\(error)".shownInLines.unicodeScalars.split(separator: "\n").map(String.init)
        return "walrelay: " + lines.joined(separator: "\n  ") + "\n"
    }

    /// A document of JSON with its keys in order; ends in a line feed.
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self).shownJSON + "\n"
    }

    /// The text, filled up with spaces.
    static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// Lines of aligned columns; nothing follows the last column of a line.
    ///
    /// Ends in a line feed unless there are no rows.
    static func table(_ rows: [[String]]) -> String {
        let rows = rows.map { $0.map(\.shown) }
        var widths: [Int] = []
        for row in rows {
            for (column, text) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], text.count)
            }
        }
        return rows.map { row in
            var line = zip(row, widths).map { padded($0, to: $1) }.joined(separator: "  ")
            while line.hasSuffix(" ") { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    /// `1,234,567`.
    static func grouped(_ number: Int) -> String {
        var text = ""
        for (index, digit) in String(number.magnitude).reversed().enumerated() {
            if index > 0, index.isMultiple(of: 3) { text.append(",") }
            text.append(digit)
        }
        return (number < 0 ? "-" : "") + String(text.reversed())
    }

    /// Bytes with one decimal in the largest binary unit that fits: `12.5 MiB`, `3 bytes`.
    static func bytes(_ count: Int64) -> String {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB"]
        guard count.magnitude >= 1024 else {
            return "\(count) byte\(count == 1 ? "" : "s")"
        }
        var unit = 0
        var divisor: Int64 = 1024
        while (count / divisor).magnitude >= 1024, unit < units.count - 1 {
            unit += 1
            divisor <<= 10
        }
        // Cut off, not rounded: what is shown as more than a bound is more than the bound.
        let whole = count / divisor
        let tenths = (count % divisor).magnitude * 10 / divisor.magnitude
        return tenths == 0 ? "\(whole) \(units[unit])" : "\(whole).\(tenths) \(units[unit])"
    }

    /// A time in its two largest units: `3 d 4 h`, `12 s`.
    static func time(seconds: Int64) -> String {
        let units: [(Int64, String)] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]
        guard let first = units.firstIndex(where: { seconds >= $0.0 }) else { return "0 s" }
        let (size, name) = units[first]
        let text = "\(seconds / size) \(name)"
        guard first + 1 < units.count else { return text }
        let next = units[first + 1]
        let rest = seconds % size / next.0
        return rest == 0 ? text : "\(text) \(rest) \(next.1)"
    }
}
