// SPDX-License-Identifier: Apache-2.0
//
// Names as people write them into a document: `orders`, `Sales.Orders`, `"123Test"`. SQL folds what
// is not quoted to lower case; many documents hold the table's own spelling instead, unquoted.

/// A name of one or more parts as somebody wrote it.
public struct WrittenName: Sendable, Equatable {
    /// A part between dots.
    public struct Part: Sendable, Equatable {
        /// Without quotes, in the spelling that was written.
        public var text: String
        /// Whether it was quoted, so that SQL does not fold it.
        public var isQuoted: Bool

        /// As SQL reads it.
        public var folded: String {
            // As a UTF-8 server does: only ASCII's letters have another case.
            isQuoted
                ? text : String(String.UnicodeScalarView(text.unicodeScalars.map(Self.lower)))
        }

        private static func lower(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
            ("A"..."Z").contains(scalar) ? Unicode.Scalar(UInt8(scalar.value) + 32) : scalar
        }
    }

    /// The parts, at least one, none of them empty.
    public var parts: [Part]

    /// Reads a name; nil for what is none: an empty part, a quote that is not closed.
    public init?(_ text: String) {
        var parts: [Part] = []
        var rest = Substring(text).unicodeScalars
        repeat {
            rest = rest.drop { $0.properties.isWhitespace }
            var part = Part(text: "", isQuoted: rest.first == "\"")
            if part.isQuoted {
                guard let quoted = Self.takeQuoted(&rest) else { return nil }
                part.text = quoted
                rest = rest.drop { $0.properties.isWhitespace }
                guard rest.isEmpty || rest.first == "." else { return nil }
            } else {
                let end = rest.firstIndex { $0 == "." } ?? rest.endIndex
                var written = rest[..<end]
                while written.last?.properties.isWhitespace == true { written.removeLast() }
                guard !written.contains("\"") else { return nil }
                part.text = String(written)
                rest = rest[end...]
            }
            guard !part.text.isEmpty else { return nil }
            parts.append(part)
            guard rest.popFirst() != nil else { break }
        } while true
        self.parts = parts
    }

    /// What a table of this name may be called, quoted, most likely first: as SQL reads it, then in
    /// the spelling as it stands.
    ///
    /// At most two parts each: a name with more means no table of this database.
    public var tableCandidates: [String] {
        guard parts.count <= 2 else { return [] }
        let folded = parts.map { SQL.identifier($0.folded) }.joined(separator: ".")
        let exact = parts.map { SQL.identifier($0.text) }.joined(separator: ".")
        return folded == exact ? [folded] : [folded, exact]
    }

    /// SQL for the OIDs of the tables that a written name may mean, most likely first.
    ///
    /// Each is NULL where there is no such table; the search path is the session's. What is no name
    /// for SQL may be one in quotes, so there is always at least one.
    public static func tableOIDs(of written: String) -> [String] {
        let candidates = WrittenName(written)?.tableCandidates ?? []
        return (candidates + [SQL.identifier(written)])
            .map { "pg_catalog.to_regclass(\(SQL.literal($0)))" }
    }

    private static func takeQuoted(_ rest: inout Substring.UnicodeScalarView) -> String? {
        var text = String.UnicodeScalarView()
        _ = rest.popFirst()
        while let scalar = rest.popFirst() {
            if scalar == "\"" {
                guard rest.first == "\"" else { return String(text) }
                _ = rest.popFirst()
            }
            text.append(scalar)
        }
        return nil
    }
}
