// SPDX-License-Identifier: Apache-2.0
//
// Where a statement ends. A trailing semicolon is customary and cannot stand within COPY (…); one
// in a text or a comment is none.

/// Finds the end of a statement.
enum SQLEnd {
    /// The statement without semicolons, blanks and comments behind it.
    ///
    /// What is no SQL at all comes back as it is: the server says what is wrong with it.
    static func trimmed(_ statement: String) -> String {
        var scan = Scan(Array(statement.unicodeScalars))
        scan.run()
        let kept = scan.scalars[..<scan.end]
        return kept.isEmpty ? statement : String(String.UnicodeScalarView(kept))
    }

    private struct Scan {
        let scalars: [Unicode.Scalar]
        /// Just behind the last word of the statement.
        var end = 0
        private var index = 0

        init(_ scalars: [Unicode.Scalar]) {
            self.scalars = scalars
        }

        mutating func run() {
            while index < scalars.count {
                let start = index
                let isBlank = skipBlank() || skipComment()
                if isBlank { continue }
                let isEnd = scalars[index] == ";"
                if !skipQuoted() && !skipDollarQuoted() { index += 1 }
                // A semicolon counts once another word follows: then the server refuses it.
                if !isEnd { end = index }
                if index == start { index += 1 }
            }
        }

        private mutating func skipBlank() -> Bool {
            guard scalars[index].properties.isWhitespace else { return false }
            index += 1
            return true
        }

        private mutating func skipComment() -> Bool {
            if starts(with: "--") {
                index = scalars[index...].firstIndex(of: "\n") ?? scalars.count
                return true
            }
            guard starts(with: "/*") else { return false }
            var depth = 0
            repeat {
                if starts(with: "/*") {
                    (depth, index) = (depth + 1, index + 2)
                } else if starts(with: "*/") {
                    (depth, index) = (depth - 1, index + 2)
                } else {
                    index += 1
                }
            } while depth > 0 && index < scalars.count
            // Left open it is a fault of the statement, for the server to tell.
            if depth > 0 { end = scalars.count }
            return true
        }

        private mutating func skipQuoted() -> Bool {
            let mark = scalars[index]
            guard mark == "'" || mark == "\"" else { return false }
            let before = index > 0 ? scalars[index - 1] : " "
            let hasEscapes = mark == "'" && (before == "e" || before == "E")
            index += 1
            while index < scalars.count, scalars[index] != mark {
                index += hasEscapes && scalars[index] == "\\" ? 2 : 1
            }
            index = min(index + 1, scalars.count)
            return true
        }

        /// `$$…$$` or `$tag$…$tag$`.
        private mutating func skipDollarQuoted() -> Bool {
            guard scalars[index] == "$",
                let close = scalars[(index + 1)...].firstIndex(where: { !Self.isTag($0) }),
                scalars[close] == "$"
            else { return false }
            let tag = Array(scalars[index...close])
            var next = close + 1
            while next + tag.count <= scalars.count {
                if Array(scalars[next..<next + tag.count]) == tag {
                    index = next + tag.count
                    return true
                }
                next += 1
            }
            index = scalars.count
            return true
        }

        private static func isTag(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.isAlphabetic || scalar == "_" || ("0"..."9").contains(scalar)
        }

        private func starts(with text: String) -> Bool {
            let wanted = Array(text.unicodeScalars)
            return index + wanted.count <= scalars.count
                && Array(scalars[index..<index + wanted.count]) == wanted
        }
    }
}
