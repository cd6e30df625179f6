// SPDX-License-Identifier: Apache-2.0
//
// Texts that somebody else chose (names of a database, messages of a server, words of a command
// line) as people are shown them: on a terminal, in a log, in a sentence of an error. What moves a
// cursor, ends a line, turns the direction of writing round or cannot be seen at all comes as an
// escape, so that two names that look alike are told apart and no name is more than a name.

extension Unicode.Scalar {
    /// Whether it does something else than being seen: C0, DEL, C1, what Unicode calls a format
    /// character (marks and overrides of direction, joiners, spaces of no width, tags), and its
    /// separators of lines and paragraphs.
    package var isUnseen: Bool {
        if value < 0x7F { return value < 0x20 }
        return switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }

    /// `\n`, `\r`, `\t`, or `\u{…}` with the number in hexadecimal digits.
    package var escape: String {
        switch self {
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        default: "\\u{" + (value < 0x10 ? "0" : "") + String(value, radix: 16) + "}"
        }
    }

    /// `\u…` as JSON has it, twice where UTF-16 has a pair.
    package var jsonEscape: String {
        UTF16.encode(self).map { units in
            units.map { unit in
                let digits = String(unit, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            }.joined()
        } ?? ""
    }
}

extension String {
    /// The text on one line, with an escape for every scalar that is not seen.
    package var shown: String {
        replacingUnseen(\.escape)
    }

    /// The same with its line ends: for texts of several lines.
    package var shownInLines: String {
        replacingUnseen { $0 == "\n" ? "\n" : $0.escape }
    }

    /// A document of JSON with its meaning, in which no scalar is unseen but line ends.
    package var shownJSON: String {
        // A line feed stands between JSON's tokens only; within strings it is escaped already.
        replacingUnseen { $0 == "\n" ? "\n" : $0.jsonEscape }
    }

    private func replacingUnseen(_ escape: (Unicode.Scalar) -> String) -> String {
        guard unicodeScalars.contains(where: \.isUnseen) else { return self }
        var text = ""
        for scalar in unicodeScalars {
            if scalar.isUnseen {
                text += escape(scalar)
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}

extension String {
    /// Words of a command line without what gives a password in them: what stands before the `@`
    /// of a URI behind the user, and what follows `password=`.
    package var withoutPasswords: String {
        replacing(#/(//[^:@/\s]*:)\S*@/#) { "\($0.output.1)***@" }
            .replacing(#/(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&'"]+)/#) {
                "\($0.output.1)***"
            }
    }
}
