// SPDX-License-Identifier: Apache-2.0
//
// What the source's catalog still tells of how a column was added. For a partitioned table its
// leaves tell, which hold the rows.

import ChangeModel
import LibPQ

/// How the columns of a table came to be, as far as the catalog remembers.
struct AddedColumnHistory {
    /// A column in one of the tables that hold the rows.
    private struct Entry {
        var type: UInt32
        /// The value of rows that are older than the column, as an array of one.
        var missing: String?
        /// The default as it is now, `nil` where there is none.
        var expression: String?
        /// Whether the table was ever rewritten, as ADD COLUMN with a volatile default does.
        var isRewritten: Bool
        /// False for a partitioned table itself.
        var holdsRows: Bool
    }

    private var entries: [ExactText: [Entry]] = [:]
    /// Before 11 by the texts of the defaults; evaluated there, since they are literals.
    private var literals: [String: String] = [:]

    /// Reads the catalog under the connection's own snapshot; blocks.
    init(of relation: Relation, on source: borrowing Connection) throws(PostgresError) {
        let remembers = source.serverVersion >= 110_000
        let missing =
            remembers ? "CASE WHEN a.atthasmissing THEN a.attmissingval::text END" : "NULL"
        let rows = try source.query(
            """
            WITH RECURSIVE part (oid) AS (SELECT \(relation.oid)::pg_catalog.oid UNION \
            SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN part ON part.oid = i.inhparent \
            JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relkind = 'p') \
            SELECT a.attname, a.atttypid, \(missing), CASE WHEN a.attidentity <> '' \
            THEN 'GENERATED AS IDENTITY' \
            ELSE COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), t.typdefault) END, \
            c.relfilenode <> c.oid, c.relkind = 'r' FROM part JOIN pg_catalog.pg_class c ON c.oid = part.oid \
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
            JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
            LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
            WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
            """
        )
        for row in 0..<rows.count {
            entries[ExactText(rows.text(row, 0)), default: []].append(
                Entry(
                    type: rows.oid(row, 1),
                    missing: rows.value(row, 2),
                    expression: rows.value(row, 3),
                    isRewritten: rows.flag(row, 4),
                    holdsRows: rows.flag(row, 5)
                )
            )
        }
        guard !remembers else { return }
        let defaults = Set(entries.values.joined().compactMap(\.expression))
        for expression in defaults where Self.isLiteral(expression) {
            let value = try source.query("SELECT (\(expression))::text")
            literals[expression] = value.value(0, 0)
        }
    }

    /// What older rows have in the columns, in their order.
    func fills(of columns: [Column]) -> [AddedColumns.Fill] {
        columns.map { column in
            let there = (entries[column.$name] ?? []).filter { $0.type == column.typeOID }
            guard !there.isEmpty else { return .unknown }
            let storage = there.filter(\.holdsRows)
            let values = Set(storage.compactMap { $0.missing ?? literal(of: $0) })
            if values.count == 1, let value = values.first {
                return .constant(Self.onlyElement(of: value))
            }
            guard let expression = storage.compactMap(\.expression).first else {
                return values.isEmpty ? .null : .untold("that differs between its partitions")
            }
            // A rewrite is told by the file's number, which is the table's own until then.
            let isTold = values.isEmpty && !storage.contains(where: \.isRewritten)
            return isTold ? .null : .untold(expression)
        }
    }

    /// The default of a table of 10, which is rewritten for any default, as an array of one.
    private func literal(of entry: Entry) -> String? {
        guard entry.isRewritten, let expression = entry.expression else { return nil }
        return literals[expression].map { "{\($0)}" }
    }

    /// The one element of an array's text; a quoted one is taken out of its quotes.
    ///
    /// Whatever stands between the elements of the type's arrays: there is only one.
    static func onlyElement(of array: String) -> String {
        let inner = array.unicodeScalars.dropFirst().dropLast()
        guard inner.first == "\"", inner.count > 1 else { return String(inner) }
        var result = String.UnicodeScalarView()
        var isEscaped = false
        for scalar in inner.dropFirst().dropLast() {
            if scalar == "\\", !isEscaped {
                isEscaped = true
            } else {
                result.append(scalar)
                isEscaped = false
            }
        }
        return String(result)
    }

    /// Whether an expression is one constant, as the server prints them: `5`, `'x'::text`, `true`.
    static func isLiteral(_ expression: String) -> Bool {
        var rest = expression[...]
        if rest.first == "'" {
            rest = rest.dropFirst()
            while let quote = rest.firstIndex(of: "'") {
                rest = rest[rest.index(after: quote)...]
                guard rest.first == "'" else { break }
                rest = rest.dropFirst()
            }
            let cast = rest.dropFirst(2)
            return rest.hasPrefix("::")
                && cast.allSatisfy { $0.isLetter || $0.isNumber || "_ \".(),[]".contains($0) }
        }
        return expression == "true" || expression == "false"
            || !rest.isEmpty && rest.allSatisfy { $0.isASCII && ($0.isNumber || $0 == ".") }
    }
}
