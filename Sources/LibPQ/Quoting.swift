// SPDX-License-Identifier: Apache-2.0
//
// Every name and value that goes into a statement passes here; nothing else builds SQL from
// strings that somebody else chose. Safe with standard_conforming_strings off, too.

import ChangeModel

/// Quoting for SQL text.
public enum SQL {
    /// A quoted identifier: `a"b` becomes `"a""b"`.
    public static func identifier(_ name: String) -> String {
        "\"" + doubling("\"", in: name) + "\""
    }

    /// A quoted, qualified identifier: `"schema"."name"`.
    public static func identifier(_ schema: String, _ name: String) -> String {
        identifier(schema) + "." + identifier(name)
    }

    /// A string literal: `it's` becomes `'it''s'`; one with a backslash becomes `E'…'`.
    public static func literal(_ value: String) -> String {
        let quoted = doubling("'", in: value)
        return value.unicodeScalars.contains("\\")
            ? "E'" + doubling("\\", in: quoted) + "'" : "'" + quoted + "'"
    }

    /// A comma-separated list of literals.
    public static func literals(_ values: some Sequence<String>) -> String {
        values.map(literal).joined(separator: ", ")
    }

    /// A quoted identifier for a statement that somebody is to run: no part of it is unseen, and
    /// what is printed can be copied.
    ///
    /// `U&"a\000ab"` where the name has a scalar that would not show. Not for `regclass` or the
    /// commands of replication, which know no such escapes.
    public static func shown(_ name: String) -> String {
        guard name.unicodeScalars.contains(where: \.isUnseen) else { return identifier(name) }
        let escaped = doubling("\\", in: doubling("\"", in: name)).unicodeScalars.map { scalar in
            guard scalar.isUnseen else { return String(scalar) }
            let digits = String(scalar.value, radix: 16)
            let width = digits.utf8.count > 4 ? 6 : 4
            return (width == 6 ? "\\+" : "\\")
                + String(repeating: "0", count: width - digits.utf8.count) + digits
        }
        return "U&\"" + escaped.joined() + "\""
    }

    /// A quoted, qualified identifier for a statement that somebody is to run.
    public static func shown(_ schema: String, _ name: String) -> String {
        shown(schema) + "." + shown(name)
    }

    /// A string literal for a statement that somebody is to run.
    public static func shownLiteral(_ value: String) -> String {
        guard value.unicodeScalars.contains(where: \.isUnseen) else { return literal(value) }
        let escaped = doubling("\\", in: doubling("'", in: value)).unicodeScalars.map { scalar in
            guard scalar.isUnseen else { return String(scalar) }
            let digits = String(scalar.value, radix: 16)
            return "\\U" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
        }
        return "E'" + escaped.joined() + "'"
    }

    // Scalars, not characters: a quote before a combining mark is one character with it, which
    // equals no quote, and the server would see an end of the literal that we did not.
    private static func doubling(_ mark: Unicode.Scalar, in text: String) -> String {
        var result = String.UnicodeScalarView()
        // NUL cannot stand in a statement: what follows it would be cut off silently.
        for scalar in text.unicodeScalars where scalar != "\0" {
            if scalar == mark { result.append(mark) }
            result.append(scalar)
        }
        return String(result)
    }
}
