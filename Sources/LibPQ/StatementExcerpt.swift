// SPDX-License-Identifier: Apache-2.0
//
// Where in a statement an error lies, shown as psql does: the line, and a mark below it.

extension SQL {
    /// The line of `text` in which a position lies, and below it a line with a caret.
    ///
    /// `position` counts Unicode scalars from 1, as the server does; one that lies outside gives an
    /// empty string. Of a long line only what is near is shown.
    public static func excerpt(of text: String, at position: Int) -> String {
        let scalars = Array(text.unicodeScalars)
        guard position > 0, position <= scalars.count + 1 else { return "" }
        let place = position - 1
        let start = scalars[..<place].lastIndex(of: "\n").map { $0 + 1 } ?? 0
        let end = scalars[place...].firstIndex(of: "\n") ?? scalars.count
        let first = max(start, place - reach)
        let last = min(end, place + reach)
        let lead = first > start ? "…" : ""
        let tail = last < end ? "…" : ""
        let shown = String(String.UnicodeScalarView(scalars[first..<last].map(blank)))
        let offset = scalars[first..<place].reduce(lead.count) { $0 + width($1) }
        return lead + shown + tail + "\n" + String(repeating: " ", count: offset) + "^"
    }

    /// How many characters before and after the place are shown.
    private static let reach = 60

    private static func blank(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        scalar.value < 0x20 || scalar.value == 0x7F ? " " : scalar
    }

    /// The columns that a terminal gives to a character.
    private static func width(_ scalar: Unicode.Scalar) -> Int {
        switch scalar.value {
        case 0x300...0x36F, 0x200B...0x200F: 0
        case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
            2
        default: 1
        }
    }
}
