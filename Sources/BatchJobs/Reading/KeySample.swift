// SPDX-License-Identifier: Apache-2.0
//
// Bounds of slices: quantiles of the key's values, found by the server in the order that its own
// operators give them, whatever type and collation that is. Of a large table only some pages are
// looked at. A bound comes as the text of its type, which every type reads back as the same value.

import ChangeModel
import LibPQ

/// Chooses values that cut a table into parts of about as many rows.
struct KeySample {
    /// What came of it.
    enum Outcome {
        /// Ascending by the key's own `<`, all different, fewer than were asked for where the
        /// values do not give more; perhaps none.
        case bounds([String])
        /// The key has no order that could divide the table.
        case unordered(String)
    }

    let key: SourceColumn
    let table: SourceContent.Table
    let estimatedRows: Int
    let estimatedCost: Double
    let limits: SourceDivision.Limits
    let patience: Duration

    /// Asks for the bounds between `count` parts; blocks.
    ///
    /// Throws `WalrelayError` for what has nothing to do with the key.
    func bounds(_ count: Int, on connection: borrowing Connection) throws(WalrelayError) -> Outcome
    {
        let action = "dividing \(table.relation.label) by \(key.name)"
        // An error would end the transaction, and with it locks and snapshot.
        try connection.ask("SAVEPOINT division", while: action)
        let bounds: [String]
        do throws(PostgresError) {
            let rows = try connection.query(statement(count).text, within: patience)
            bounds = (0..<rows.count).map { rows.text($0, 0) }
            // What the sample sorted by must be what the ranges compare by.
            guard try isAscending(bounds, connection) else {
                return .unordered("the order of type \(key.type) is not that of its operators")
            }
        } catch {
            guard error.kind == .server, ["42", "0A"].contains(error.sqlState.prefix(2)) else {
                throw ReaderFault.error(error, while: action, in: statement(count))
            }
            try connection.ask("ROLLBACK TO SAVEPOINT division", while: action)
            return .unordered(error.message)
        }
        try connection.ask("RELEASE SAVEPOINT division", while: action)
        return .bounds(bounds)
    }

    private func statement(_ count: Int) -> ComposedStatement {
        let name = SQL.identifier(key.name)
        var statement = ComposedStatement(
            """
            SELECT k FROM (SELECT k, r, pg_catalog.lag(k) OVER (ORDER BY r) AS former FROM \
            (SELECT k, pg_catalog.row_number() OVER (ORDER BY k) AS r, \
            pg_catalog.count(*) OVER () AS n FROM (SELECT \(name) AS k \
            FROM \(table.relation.quoted)\(tableSample)
            """
        )
        let condition = "\(name) IS NOT NULL" + chance
        statement.append(SourceContent.filter(table.condition, and: condition))
        // The last of each part, but for the last part; those that are too long are left out.
        statement.append(
            """
            ) s) s WHERE (r * \(count)) / n > ((r - 1) * \(count)) / n AND r < n \
            AND pg_catalog.octet_length(k::pg_catalog.text) <= \(limits.boundBytes)) s \
            WHERE former IS NULL OR former \(key.comparison("<")) k ORDER BY r
            """
        )
        return statement
    }

    /// How much of a table with pages is looked at.
    private var tableSample: String {
        guard let heaps = table.relation.heapBytes else { return "" }
        let pages = heaps.reduce(0, +) / table.relation.pageBytes
        // Where an index finds the rows of the condition they are not worth guessing.
        guard pages > limits.samplePages * 2, estimatedCost > Double(limits.samplePages) * 10
        else { return "" }
        let percent = Double(limits.samplePages) / Double(pages) * 100
        return " TABLESAMPLE SYSTEM (\(percent)) REPEATABLE (1)"
    }

    /// What else is read as a whole, but not sorted as a whole.
    private var chance: String {
        guard table.relation.heapBytes == nil, estimatedRows > 500_000 else { return "" }
        return " AND pg_catalog.random() < "
            + "\(250_000 / Double(estimatedRows))::pg_catalog.float8"
    }

    private func isAscending(
        _ bounds: [String],
        _ connection: borrowing Connection
    ) throws(PostgresError) -> Bool {
        let values = bounds.map { SliceRanges.literal($0, of: key) }
        let (less, notLess) = (key.comparison("<"), key.comparison(">="))
        let pairs = zip(values, values.dropFirst())
            .map { "\($0) \(less) \($1) AND NOT \($0) \(notLess) \($1)" }
        // The operators that the ranges need, even where there is only one bound.
        let own = values.prefix(1).map { "NOT \($0) \(less) \($0) AND \($0) \(notLess) \($0)" }
        let conditions = pairs + own
        guard !conditions.isEmpty else { return true }
        return try connection.query("SELECT \(conditions.joined(separator: " AND "))").flag(0, 0)
    }
}
