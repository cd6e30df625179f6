// SPDX-License-Identifier: Apache-2.0
//
// A line of a report in pieces, each with what it says of itself: well, to be looked at, bad. The
// terminal makes colours of that; elsewhere it is dropped. Texts pass `shown` on their way in, so
// that nothing unseen reaches the terminal, and a line is cut before it is coloured.

import ChangeModel

/// What a piece of text says of itself.
enum Ink: String {
    case plain = ""
    case strong = "1"
    case quiet = "2"
    case good = "32"
    case warning = "33"
    case bad = "31"
}

/// A text on one line.
struct StyledText: ExpressibleByStringLiteral {
    private var runs: [(text: String, ink: Ink)]

    init(_ text: String, _ ink: Ink = .plain) {
        runs = [(text.shown, ink)]
    }

    init(stringLiteral value: String) { self.init(value) }

    static func + (left: StyledText, right: StyledText) -> StyledText {
        var sum = left
        sum.runs += right.runs
        return sum
    }

    /// Pieces with something between them.
    init(_ pieces: [StyledText], separator: StyledText) {
        self = pieces.dropFirst().reduce(pieces.first ?? "") { $0 + separator + $1 }
    }

    /// Columns that it takes.
    var columns: Int { runs.reduce(0) { $0 + $1.text.columns } }

    /// The text alone.
    var text: String { runs.map(\.text).joined() }

    /// Filled up with spaces.
    func padded(to width: Int) -> StyledText {
        self + StyledText(String(repeating: " ", count: max(0, width - columns)))
    }

    /// What fits into so many columns.
    func cut(toColumns limit: Int) -> StyledText {
        guard columns > limit else { return self }
        var cut = self
        var left = limit
        cut.runs = runs.compactMap { run in
            guard left > 0 else { return nil }
            let text = run.text.cut(toColumns: left)
            left = text == run.text ? left - text.columns : 0
            return (text, run.ink)
        }
        return cut
    }

    /// With the codes of a terminal, or without.
    func rendered(isColoured: Bool) -> String {
        guard isColoured else { return text }
        return runs.map { run in
            run.ink == .plain || run.text.isEmpty
                ? run.text : "\u{1B}[\(run.ink.rawValue)m\(run.text)\u{1B}[0m"
        }.joined()
    }

    /// Lines of aligned columns, the last of a line as it is.
    static func table(_ rows: [[StyledText]]) -> [StyledText] {
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.columns)
            }
        }
        return rows.map { row in
            let last = row.lastIndex { $0.columns > 0 } ?? 0
            let cells = row.prefix(last + 1).enumerated().map { column, cell in
                column == last ? cell : cell.padded(to: widths[column])
            }
            return StyledText(cells, separator: "  ")
        }
    }
}
