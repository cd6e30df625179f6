// SPDX-License-Identifier: Apache-2.0
//
// A settings file as scalars with lines and columns counted as the YAML library counts them, for
// what has to be known before or beside that library: characters that YAML forbids, a bound on
// aliases, what stands at a position.

/// The text of a settings file.
struct YAMLText {
    private(set) var scalars: String.UnicodeScalarView

    /// Takes a text, without its byte order mark.
    init(_ text: String) {
        scalars = text.unicodeScalars
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
    }

    /// What forbids handing the text to the YAML library at all.
    func firstFault(aliasLimit: Int) -> Fault? {
        var place = Position()
        var aliases = 0
        var before: Unicode.Scalar = "\n"
        var isCommentLine = false
        var isLineStart = true
        for index in scalars.indices {
            let scalar = scalars[index]
            guard Self.isAllowed(scalar) else {
                return Fault(
                    position: place,
                    message: "the character \(codeOf(scalar)) is not allowed"
                )
            }
            if isLineStart, !Self.isBlank(scalar) {
                isCommentLine = scalar == "#"
                isLineStart = false
            }
            // Where a token can begin, and a name follows: an alias unless it stands in quotes.
            if scalar == "*", !isCommentLine, Self.precedesToken(before),
                startsName(scalars.index(after: index))
            {
                aliases += 1
                if aliases > aliasLimit {
                    return Fault(
                        position: place,
                        message: "more than \(aliasLimit) aliases; write the settings out"
                    )
                }
            }
            before = scalar
            place = next(place, after: index)
            if Self.isBreak(scalar) { isLineStart = true }
        }
        return nil
    }

    /// The scalar at a position, if there is one.
    func scalar(at position: Position) -> Unicode.Scalar? {
        index(of: position).map { scalars[$0] }
    }

    /// Where the text ends.
    var end: Position {
        scalars.indices.reduce(Position()) { next($0, after: $1) }
    }

    /// Replaces the first letter of the key at a position, behind a quote if there is one.
    ///
    /// Returns false and changes nothing when another letter stands there.
    mutating func replaceKeyLetter(
        _ letter: Unicode.Scalar,
        at position: Position,
        by substitute: Unicode.Scalar
    ) -> Bool {
        guard var index = index(of: position) else { return false }
        if scalars[index] == "\"" || scalars[index] == "'" { index = scalars.index(after: index) }
        guard index < scalars.endIndex, scalars[index] == letter else { return false }
        scalars.replaceSubrange(index...index, with: CollectionOfOne(substitute))
        return true
    }

    private func index(of position: Position) -> String.Index? {
        var place = Position()
        for index in scalars.indices {
            if place == position { return index }
            place = next(place, after: index)
        }
        return nil
    }

    private func next(_ place: Position, after index: String.Index) -> Position {
        let scalar = scalars[index]
        if scalar == "\r" {
            let following = scalars.index(after: index)
            if following < scalars.endIndex, scalars[following] == "\n" { return place }
        }
        return Self.isBreak(scalar)
            ? Position(line: place.line + 1)
            : Position(line: place.line, column: place.column + 1)
    }

    private func startsName(_ index: String.Index) -> Bool {
        guard index < scalars.endIndex else { return false }
        switch scalars[index] {
        case "A"..."Z", "a"..."z", "0"..."9", "_", "-": return true
        default: return false
        }
    }

    private static func precedesToken(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "[", "{", ",", ":", "?", "-": true
        default: isBlank(scalar) || isBreak(scalar)
        }
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        scalar == " " || scalar == "\t"
    }

    private static func isBreak(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": true
        default: false
        }
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A, 0x0D, 0x85, 0x20...0x7E, 0xA0...0xFFFD, 0x1_0000...0x10_FFFF: true
        default: false
        }
    }
}

/// How a scalar is named that cannot be shown, such as `U+0000`.
func codeOf(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16, uppercase: true)
    return "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}
