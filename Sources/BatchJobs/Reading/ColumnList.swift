// SPDX-License-Identifier: Apache-2.0
//
// The reader's `column`: each entry is a constant, a column of the table, `*`, or an expression of
// SQL, tried in this order. A column may be called as a word of SQL is (`table`, `order`) and
// spelt as the catalog has it; what is no column goes to the server as it stands.

import ChangeModel
import LibPQ

/// What is selected of one relation.
struct ColumnList: Sendable, Equatable {
    /// The select list.
    private(set) var statement = ComposedStatement()
    /// The columns, where there is nothing but columns.
    private(set) var plain: [SourceColumn]? = []
    /// Whether there are expressions, which may mean more than one row at a time.
    private(set) var hasExpressions = false

    /// Throws `job.column_missing` for names that the relation does not have.
    init(_ written: [String], of relation: SourceRelation) throws(WalrelayError) {
        var missing: [String] = []
        for (index, entry) in written.enumerated() {
            let text = Self.trimmed(entry)
            if Self.isConstant(text) {
                add(words: text, index)
                plain = nil
            } else if let column = relation.column(text) {
                add(column)
            } else if text == "*" {
                for column in relation.columns { add(column) }
            } else if Self.mustBeColumn(text, of: relation) {
                missing.append(text)
            } else {
                // The line feed ends a comment.
                add(words: text + "\n", index)
                plain = nil
                hasExpressions = true
            }
        }
        guard missing.isEmpty else { throw relation.missing(missing, in: "column") }
    }

    private mutating func add(_ column: SourceColumn) {
        separate()
        statement.append(SQL.identifier(column.name))
        plain?.append(column)
    }

    private mutating func add(words: String, _ index: Int) {
        separate()
        statement.append(words, from: "the reader's column \(index + 1)")
    }

    private mutating func separate() {
        if !statement.text.isEmpty { statement.append(", ") }
    }

    /// Whether it is a number, a text in single quotes, true, false or null.
    private static func isConstant(_ text: String) -> Bool {
        if ["true", "false", "null"].contains(text.lowercased()) { return true }
        return text.wholeMatch(of: #/[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?/#) != nil
            || text.wholeMatch(of: #/'([^']|'')*'/#) != nil
    }

    /// Whether it looks like the name of a column, and means nothing else in SQL.
    private static func mustBeColumn(_ text: String, of relation: SourceRelation) -> Bool {
        guard !text.isEmpty else { return true }
        guard let name = WrittenName(text), name.parts.count == 1 else { return false }
        let part = name.parts[0]
        if part.isQuoted { return part.text != relation.name }
        let letters = part.text.unicodeScalars
        let isWord = letters.allSatisfy { scalar in
            scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "_"
                || scalar == "$"
        }
        return isWord && !Self.words.contains(part.folded) && part.folded != relation.name
    }

    /// Values of SQL that are written as a name, and what each row has beside its columns.
    private static let words: Set<String> = [
        "current_catalog", "current_date", "current_role", "current_schema", "current_time",
        "current_timestamp", "current_user", "localtime", "localtimestamp", "session_user",
        "system_user", "user", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid",
    ]

    static func trimmed(_ text: String) -> String {
        var rest = Substring(text)
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
