// SPDX-License-Identifier: Apache-2.0
//
// The SQL of the set-wise statements. Each takes one text[] a column and casts value by value:
//
//   … FROM unnest($1, $2) AS u(c1, c2) … t."id" = u.c1::bigint
//
// A cast has no modifier, so that the assignment to the column checks the length as an INSERT
// does. Measured against typed arrays and against a staging table (docs/decisions).

import LibPQ

/// What a statement does with rows of a table.
enum StatementKind: Hashable, Sendable {
    /// Inserts rows; fails where one is there already.
    case insert
    /// Inserts rows, or overwrites those whose key is there already.
    case upsert
    /// Overwrites rows by key, except for some columns.
    case update(unchanged: ColumnMask)
    /// Gives one row another key and overwrites it, except for some columns.
    case move(unchanged: ColumnMask)
    /// Deletes rows by key.
    case delete
    /// Returns the places, from 1, of those keys that are not there.
    case missing
    /// Deletes so many rows of each image as the last parameter says.
    case removeImages
}

/// A statement for a table, with the columns whose values it takes.
struct TableStatement: Sendable {
    /// The SQL text.
    let text: String
    /// Indexes of the table's columns, in the order of the parameters.
    ///
    /// `move` takes the former key after them, `removeImages` the numbers of rows.
    let columns: [Int]
    /// How many parameters there are, each a text[].
    let parameterCount: Int

    init(_ kind: StatementKind, _ table: TargetTable) {
        let all = Array(table.columns.indices)
        switch kind {
        case .insert, .upsert:
            columns = all
            parameterCount = columns.count
            text = Self.insert(table) + (kind == .upsert ? Self.onConflict(table) : "")
        case .update(let unchanged):
            let changed = all.filter { !table.key.contains($0) && !unchanged.contains($0) }
            columns = table.key + changed
            parameterCount = columns.count
            // A row that is only key has nothing to set; that it is there is still to be seen.
            let key = SQL.identifier(table.columns[table.key[0]].name)
            let settings = zip(changed, table.key.count...).map { column, place in
                "\(table.quoted(column)) = \(table.value(column, place))"
            }
            text =
                "UPDATE \(table.qualifiedName) AS t SET "
                + (settings.isEmpty ? "\(key) = t.\(key)" : settings.joined(separator: ", "))
                + " FROM \(Self.rowsByKey(table, columns.count)) WHERE \(table.isSortedKey)"
        case .move(let unchanged):
            columns = all.filter { !unchanged.contains($0) }
            parameterCount = columns.count + table.key.count
            let settings = columns.enumerated().map { place, column in
                "\(table.quoted(column)) = \(table.value(column, place))"
            }
            text =
                "UPDATE \(table.qualifiedName) AS t SET \(settings.joined(separator: ", "))"
                + " FROM \(Self.rows(parameterCount)) WHERE \(table.isKey(at: columns.count))"
        case .delete:
            columns = table.key
            parameterCount = columns.count
            text =
                "DELETE FROM \(table.qualifiedName) AS t"
                + " USING \(Self.rowsByKey(table, columns.count))"
                + " WHERE \(table.isSortedKey)"
        case .missing:
            columns = table.key
            parameterCount = columns.count
            text =
                "SELECT u.place FROM \(Self.rows(columns.count, ordinal: "place"))"
                + " WHERE NOT EXISTS"
                + " (SELECT FROM \(table.qualifiedName) AS t WHERE \(table.isKey(at: 0)))"
        case .removeImages:
            columns = all
            parameterCount = columns.count + 1
            text = Self.removeImages(table)
        }
    }

    /// `unnest($1, $2) AS u(c1, c2)`.
    private static func rows(_ count: Int, ordinal: String? = nil) -> String {
        let parameters = (1...count).map { "$\($0)" }.joined(separator: ", ")
        let names = (1...count).map { "c\($0)" } + (ordinal.map { [$0] } ?? [])
        return "unnest(\(parameters))\(ordinal == nil ? "" : " WITH ORDINALITY")"
            + " AS u(\(names.joined(separator: ", ")))"
    }

    /// Rows whose first parameters are the key, in the key's order: a quarter less work than in a
    /// random one, for the pages of the index and of the table are still in the processor's cache.
    private static func rowsByKey(_ table: TargetTable, _ count: Int) -> String {
        let key = table.key.enumerated().map { place, column in
            "\(table.value(column, place)) AS c\(place + 1)"
        }
        let rest = (key.count..<count).map { "u.c\($0 + 1)" }
        let order = (1...key.count).map { "\($0)" }.joined(separator: ", ")
        return "(SELECT \((key + rest).joined(separator: ", ")) FROM \(rows(count))"
            + " ORDER BY \(order)) AS u"
    }

    private static func insert(_ table: TargetTable) -> String {
        let names = table.columns.indices.map { table.quoted($0) }.joined(separator: ", ")
        let values = table.columns.indices.map { table.value($0, $0) }.joined(separator: ", ")
        // The source has numbered the row: an identity column takes that, GENERATED ALWAYS or not.
        return "INSERT INTO \(table.qualifiedName) AS t (\(names)) OVERRIDING SYSTEM VALUE"
            + " SELECT \(values) FROM \(rows(table.columns.count))"
    }

    private static func onConflict(_ table: TargetTable) -> String {
        let key = table.key.map { table.quoted($0) }.joined(separator: ", ")
        let settings = table.columns.indices.filter { !table.key.contains($0) }
            .map { "\(table.quoted($0)) = excluded.\(table.quoted($0))" }
            .joined(separator: ", ")
        return " ON CONFLICT (\(key)) DO "
            + (settings.isEmpty ? "NOTHING" : "UPDATE SET \(settings)")
    }

    /// Rows of an image are found by the text of all their columns, NULL equal to NULL.
    ///
    /// The value that was sent goes through the column's type first: another version of the server
    /// may write the same value otherwise. A row is told by its place then, and by its partition.
    private static func removeImages(_ table: TargetTable) -> String {
        let count = table.columns.count
        let sent = table.columns.indices.map { "(\(table.value($0, $0)))::text" }
        let held = table.columns.indices.map { "t.\(table.quoted($0))::text" }
        return """
            WITH gone AS (SELECT ARRAY[\(sent.joined(separator: ", "))]::text[] AS image,
            sum(u.c\(count + 1)::bigint) AS copies FROM \(rows(count + 1)) GROUP BY 1),
            found AS (SELECT t.tableoid AS part, t.ctid AS place, gone.copies,
            row_number() OVER (PARTITION BY gone.image) AS number FROM \(table.qualifiedName) AS t
            JOIN gone ON ARRAY[\(held.joined(separator: ", "))]::text[] = gone.image)
            DELETE FROM \(table.qualifiedName) AS t
            WHERE t.ctid = ANY (ARRAY(SELECT place FROM found WHERE number <= copies))
            AND (t.tableoid, t.ctid) IN (SELECT part, place FROM found WHERE number <= copies)
            """
    }

    /// COPY's statement for whole rows.
    static func copy(_ table: TargetTable) -> String {
        let names = table.columns.indices.map { table.quoted($0) }.joined(separator: ", ")
        let list = names.isEmpty ? "" : " (\(names))"
        return "COPY \(table.qualifiedName)\(list) FROM STDIN"
    }
}

extension TargetTable {
    /// A column's name for SQL.
    fileprivate func quoted(_ column: Int) -> String { SQL.identifier(columns[column].name) }

    /// The value of a column that is parameter `place`, from 0.
    fileprivate func value(_ column: Int, _ place: Int) -> String {
        "u.c\(place + 1)::\(columns[column].castType)"
    }

    /// Finds the row of `rowsByKey`, where the key has its types already.
    fileprivate var isSortedKey: String {
        key.enumerated().map { place, column in "t.\(quoted(column)) = u.c\(place + 1)" }
            .joined(separator: " AND ")
    }

    /// Finds the row whose key is in the parameters from `place` on.
    fileprivate func isKey(at place: Int) -> String {
        zip(key, place...).map { "t.\(quoted($0)) = \(value($0, $1))" }
            .joined(separator: " AND ")
    }
}
