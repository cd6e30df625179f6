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
        text + String(repeating: " ", count: max(0, width - text.columns))
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
                widths[column] = max(widths[column], text.columns)
            }
        }
        return rows.map { row in
            var line = zip(row, widths).map { padded($0, to: $1) }.joined(separator: "  ")
            while line.hasSuffix(" ") { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    /// `1,234,567`.
    static func grouped(_ number: Int) -> String { Quantity.count(number) }

    /// Bytes with one decimal in the largest binary unit that fits: `12.5 MiB`, `3 bytes`.
    static func bytes(_ count: Int64) -> String { Quantity.bytes(count) }

    /// A time in its two largest units: `3 d 4 h`, `12 s`.
    static func time(seconds: Int64) -> String { Quantity.time(seconds: seconds) }
}
