// SPDX-License-Identifier: Apache-2.0
//
// What goes into a statement as a name or a value comes back from the server as it was.

import LibPQ
import Support
import Testing

@Suite struct QuotingTests {
    /// Each has cost somebody something; a mark that combines makes one character of two scalars.
    private static let nasty = [
        "", "'", "''", "\"", "\\", "\\'", "'\\", "a'b\"c\\d", "'; DROP TABLE t; --", "$$", "E'",
        "'\u{301}", "\"\u{301}", "\\\u{301}'", "\u{301}'", "a\u{200D}'", "'\u{FE0F}", "\r\n'\r\n",
        "%s", "?", "$1", ":name", "\u{1F600}'", "\u{FEFF}'", "\t\u{1}", "--", "/*", "U&'\\0041'",
    ]
    private static let pieces: [Unicode.Scalar] = [
        "'", "\"", "\\", "\u{301}", "\u{200D}", "\u{20DD}", "$", "a", "é", "\n", "\r", ";", " ",
        "\u{1F1E9}", "\u{1F1EA}", "\u{1100}", "\u{1161}", "-", "0",
    ]

    private static func texts(seed: UInt64) -> [String] {
        var generator = SeededGenerator(seed: seed)
        let random = (0..<400).map { _ in
            var scalars = String.UnicodeScalarView()
            for _ in 0..<Int.random(in: 1...12, using: &generator) {
                scalars.append(pieces.randomElement(using: &generator) ?? "a")
            }
            return String(scalars)
        }
        return nasty + random
    }

    @Test(arguments: ["on", "off"])
    func `a value comes back from the server as it was`(standardStrings: String) async throws {
        let cluster = try await PostgresCluster.start()
        let seed: UInt64 = 20_260_101
        let back = try await onThread {
            let connection = try Connection.open(cluster.parameters())
            try connection.query("SET standard_conforming_strings = \(standardStrings)")
            try connection.query("SET escape_string_warning = off")
            return try Self.texts(seed: seed).map { text in
                (text, try connection.query("SELECT \(SQL.literal(text))").text(0, 0))
            }
        }
        for (text, answer) in back {
            #expect(
                Array(text.unicodeScalars) == Array(answer.unicodeScalars),
                "\(text.debugDescription), seed \(seed)"
            )
        }
    }

    @Test func `a name comes back from the server as it was`() async throws {
        let cluster = try await PostgresCluster.start()
        let seed: UInt64 = 20_260_102
        let back = try await onThread {
            let connection = try Connection.open(cluster.parameters())
            // A name has 1 to 63 bytes.
            let names = Self.texts(seed: seed).filter { (1...63).contains($0.utf8.count) }
            return try names.map { name in
                let query = "SELECT a.* FROM (SELECT 1 AS \(SQL.identifier(name))) a"
                let json = try connection.query(
                    "SELECT (json_object_keys(row_to_json(r))) FROM (\(query)) r"
                )
                return (name, json.text(0, 0))
            }
        }
        for (name, answer) in back {
            #expect(
                Array(name.unicodeScalars) == Array(answer.unicodeScalars),
                "\(name.debugDescription), seed \(seed)"
            )
        }
    }

    @Test func `a quote is doubled whatever combines with it`() {
        #expect(SQL.literal("'\u{301}").unicodeScalars.elementsEqual("'''\u{301}'".unicodeScalars))
        #expect(
            SQL.identifier("\"\u{301}").unicodeScalars
                .elementsEqual("\"\"\"\u{301}\"".unicodeScalars)
        )
        #expect(
            SQL.literal("\\\u{301}").unicodeScalars.elementsEqual("E'\\\\\u{301}'".unicodeScalars)
        )
    }

    @Test func `a NUL, which would end the statement, is left out`() {
        #expect(SQL.literal("a\0'b") == "'a''b'")
        #expect(SQL.identifier("s\0", "t\"") == "\"s\".\"t\"\"\"")
        #expect(SQL.literals(["a", "b'"]) == "'a', 'b'''")
    }
}
