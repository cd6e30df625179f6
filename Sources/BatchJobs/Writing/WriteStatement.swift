// SPDX-License-Identifier: Apache-2.0
//
// The SQL of each write mode. But for COPY a statement takes one text[] a column and casts value
// by value, by the input functions of the types:
//
//   INSERT INTO t (a, b) SELECT u.c1::int8, u.c2::text FROM unnest($1, $2) AS u(c1, c2)
//
// Of rows with the same key in one batch the last one counts, as if they came one by one.

import LibPQ

/// Makes the statement of a batch.
struct WriteStatement {
    /// The table for SQL, qualified.
    var table: String
    var columns: [WrittenColumn]
    /// The expression that makes a column's value of a text, by the place of the column.
    var values: [String]
    /// Places of the columns that find a row.
    var key: [Int] = []

    /// COPY of whole rows.
    func copy(_ format: String) -> String {
        "COPY \(table) (\(names(columns))) FROM STDIN (FORMAT \(format))"
    }

    /// INSERT that fails where a row is there already.
    var insert: String {
        "\(insertInto) SELECT \(values.joined(separator: ", ")) FROM \(rows())"
    }

    /// INSERT that overwrites a row whose key is there already.
    var upsert: String {
        // What is GENERATED ALWAYS is taken when the row is made, and stays then.
        let settings = columns.indices
            .filter { !key.contains($0) && !columns[$0].isAlwaysIdentity }
            .map { "\(columns[$0].quoted) = excluded.\(columns[$0].quoted)" }
        let target = names(key.map { columns[$0] })
        // A row with a NULL in its key equals no other one.
        let alone = "CASE WHEN \(nullKey) THEN g.n END"
        let list = columns.indices.map { "g.c\($0 + 1)" }.joined(separator: ", ")
        return """
            \(insertInto) SELECT DISTINCT ON (\(keyList), \(alone)) \(list) \
            FROM (\(given)) AS g ORDER BY \(keyList), \(alone), g.n DESC \
            ON CONFLICT (\(target)) DO \
            \(settings.isEmpty ? "NOTHING" : "UPDATE SET " + settings.joined(separator: ", "))
            """
    }

    /// UPDATE by key; returns how many of the records found a row.
    var update: String {
        let settings = columns.indices.filter { !key.contains($0) }
            .map { "\(columns[$0].quoted) = v.c\($0 + 1)" }.joined(separator: ", ")
        let isSame = key.map { "t.\(columns[$0].quoted) \(columns[$0].equality) v.c\($0 + 1)" }
            .joined(separator: " AND ")
        return """
            WITH changed AS (UPDATE \(table) AS t SET \(settings) FROM \
            (SELECT DISTINCT ON (\(keyList)) g.*, \
            pg_catalog.count(*) OVER (PARTITION BY \(keyList)) AS copies \
            FROM (\(given)) AS g WHERE NOT (\(nullKey)) ORDER BY \(keyList), g.n DESC) AS v \
            WHERE \(isSame) RETURNING v.n, v.copies) \
            SELECT coalesce(pg_catalog.sum(f.copies), 0) \
            FROM (SELECT DISTINCT n, copies FROM changed) AS f
            """
    }

    private func names(_ columns: [WrittenColumn]) -> String {
        columns.map(\.quoted).joined(separator: ", ")
    }

    private var keyList: String { key.map { "g.c\($0 + 1)" }.joined(separator: ", ") }

    private var nullKey: String {
        key.map { "g.c\($0 + 1) IS NULL" }.joined(separator: " OR ")
    }

    private var insertInto: String {
        let overriding = columns.contains { $0.isAlwaysIdentity }
        return "INSERT INTO \(table) (\(names(columns)))"
            + (overriding ? " OVERRIDING SYSTEM VALUE" : "")
    }

    /// The rows with the columns' own types, numbered by their place in the batch.
    private var given: String {
        let list = values.enumerated().map { "\($1) AS c\($0 + 1)" }.joined(separator: ", ")
        return "SELECT \(list), u.n FROM \(rows(numbered: true))"
    }

    /// `ROWS FROM (unnest($1), unnest($2)) AS u(c1, c2)`.
    private func rows(numbered: Bool = false) -> String {
        let arrays = columns.indices.map { "pg_catalog.unnest($\($0 + 1))" }
        let names = columns.indices.map { "c\($0 + 1)" } + (numbered ? ["n"] : [])
        return "ROWS FROM (\(arrays.joined(separator: ", ")))\(numbered ? " WITH ORDINALITY" : "")"
            + " AS u(\(names.joined(separator: ", ")))"
    }
}
