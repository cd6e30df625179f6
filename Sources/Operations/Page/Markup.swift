// SPDX-License-Identifier: Apache-2.0
//
// HTML that cannot be broken out of: what is written in the source is markup, what is put into it
// is text, and becomes harmless on the way. Names of a database pass here and nowhere else.

import ChangeModel

/// A piece of HTML, written as a literal; a String within `\(…)` is escaped, a Markup is not.
struct Markup: ExpressibleByStringInterpolation, Sendable, Equatable {
    /// The most characters of a text that are shown: an error may quote a statement.
    static let textLimit = 1500

    private(set) var html: String

    init(stringLiteral value: String) { html = value }

    init(stringInterpolation: StringInterpolation) { html = stringInterpolation.html }

    /// A text that is markup already: the style, the script, the corners of a line.
    init(ours html: String) { self.html = html }

    /// Pieces one after the other.
    init(_ pieces: some Sequence<Markup>) {
        html = pieces.lazy.map(\.html).joined()
    }

    /// What is put together of literals and values.
    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var html = ""

        init(literalCapacity: Int, interpolationCount: Int) {
            html.reserveCapacity(literalCapacity * 2)
        }

        mutating func appendLiteral(_ literal: String) { html += literal }

        mutating func appendInterpolation(_ text: String) { html += Markup.escape(text) }

        mutating func appendInterpolation(_ number: Int) { html += String(number) }

        mutating func appendInterpolation(_ piece: Markup) { html += piece.html }

        mutating func appendInterpolation(_ piece: @autoclosure () -> Markup, if condition: Bool) {
            if condition { html += piece().html }
        }
    }

    /// Makes a text safe between tags and inside quoted attributes.
    ///
    /// What is not seen, or turns the direction of writing, comes as an escape; a long text is cut.
    static func escape(_ text: String) -> String {
        let text = (text.utf8.count > textLimit ? text.cut(to: textLimit) : text).shown
        guard text.utf8.contains(where: isSpecial) else { return text }
        var escaped = ""
        escaped.reserveCapacity(text.utf8.count + 32)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    private static func isSpecial(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "&"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\""),
            UInt8(ascii: "'"):
            true
        default: false
        }
    }
}
