// SPDX-License-Identifier: Apache-2.0
//
// The table that a job's document names, as the target's catalog knows it.

import ChangeModel
import LibPQ
import Settings

/// A column of the target's table.
struct TargetColumn: Sendable {
    var written: WrittenColumn
    var number: Int
    /// Whether the server computes it from the others.
    var isGenerated: Bool
    /// Which of SELECT, INSERT and UPDATE the role may do to it.
    var privileges: Set<String>
}

/// A relation that can be written.
struct TargetRelation: Sendable, CustomStringConvertible {
    var oid: UInt32
    var schema: String
    var name: String
    /// pg_class.relkind.
    var kind: String
    /// Whether the document's name for it, put into SQL as it stands, means this table.
    var isFoundAsWritten: Bool
    /// Whether COPY does to it what INSERT does: no rule, no row-level security.
    var takesCopyAsInsert: Bool
    var columns: [TargetColumn]

    /// Its name for SQL.
    var qualified: String { SQL.identifier(schema, name) }

    /// Its name for people.
    var description: String { "\(schema).\(name)" }

    /// Looks a table up; nil where there is none.
    ///
    /// Blocks. A name is first read as SQL reads it, so `Orders` is `orders`; where there is none,
    /// by its exact spelling.
    static func find(
        _ name: String,
        on target: borrowing Connection
    ) throws(PostgresError) -> TargetRelation? {
        let choices = WrittenName.tableOIDs(of: name)
        let isQuoted = WrittenName(name)?.parts.last?.isQuoted == true
        let row = try target.query(
            """
            SELECT c.oid, n.nspname, c.relname, c.relkind, \
            c.oid = \(choices[0])::pg_catalog.oid AND (\(isQuoted) \
            OR c.relname::pg_catalog.text = pg_catalog.quote_ident(c.relname)), \
            c.relkind IN ('r', 'p') AND NOT c.relhasrules \
            AND NOT pg_catalog.row_security_active(c.oid) \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.oid = coalesce(\(choices.joined(separator: ", ")))::pg_catalog.oid
            """
        )
        guard row.count == 1, let number = row.integer(0, 0) else { return nil }
        return TargetRelation(
            oid: UInt32(clamping: number),
            schema: row.text(0, 1),
            name: row.text(0, 2),
            kind: row.text(0, 3),
            isFoundAsWritten: row.flag(0, 4),
            takesCopyAsInsert: row.flag(0, 5),
            columns: try columns(of: row.text(0, 0), on: target)
        )
    }

    private static func columns(
        of oid: String,
        on target: borrowing Connection
    ) throws(PostgresError) -> [TargetColumn] {
        let generated = target.serverVersion >= 120_000 ? "a.attgenerated <> ''" : "false"
        let privileges = ["SELECT", "INSERT", "UPDATE"]
        let rows = try target.query(
            """
            SELECT a.attname, a.attnum, a.atttypid, \
            pg_catalog.format_type(a.atttypid, a.atttypmod), \
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname), \
            \(generated), a.attidentity = 'a', \
            \(KeyOperators.schema(ofType: "a.atttypid")), \
            \(privileges.map { "pg_catalog.has_column_privilege(a.attrelid, a.attnum, '\($0)')" }
                .joined(separator: ", ")) \
            FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
            JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
            WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped \
            ORDER BY a.attnum
            """,
            parameters: [oid]
        )
        return (0..<rows.count).map { row in
            TargetColumn(
                written: WrittenColumn(
                    name: rows.text(row, 0),
                    typeOID: UInt32(clamping: rows.integer(row, 2) ?? 0),
                    typeName: rows.text(row, 3),
                    castType: rows.text(row, 4),
                    isAlwaysIdentity: rows.flag(row, 6),
                    operators: rows.text(row, 7)
                ),
                number: Int(rows.integer(row, 1) ?? 0),
                isGenerated: rows.flag(row, 5),
                privileges: Set(
                    privileges.indices.filter { rows.flag(row, 8 + $0) }.map { privileges[$0] }
                )
            )
        }
    }

    /// The place of the column that the document means; nil where there is none.
    ///
    /// Its exact spelling comes first, then what SQL makes of it.
    func place(of spelling: String) -> Int? {
        let names = columns.map { ExactText($0.written.name) }
        if let place = names.firstIndex(of: ExactText(spelling)) { return place }
        guard let written = WrittenName(spelling), written.parts.count == 1 else { return nil }
        return names.firstIndex(of: ExactText(written.parts[0].folded))
    }

    /// The error for a column that is not there.
    func missing(_ spelling: String) -> WalrelayError {
        let names = columns.map(\.written.name)
        let nearest = nearestName(to: spelling, among: names)
        return WalrelayError(
            "job.column_missing",
            exit: .settings,
            "the target's table \(self) has no column \(spelling)"
                + (nearest.map { "; did you mean \($0)?" } ?? ""),
            hint: "its columns are \(names.joined(separator: ", ").cut(to: 500))"
        )
    }

    /// Whether ON CONFLICT of these columns finds a unique index; true for what is no table.
    ///
    /// Blocks.
    func hasUniqueIndex(
        on places: [Int],
        _ target: borrowing Connection
    ) throws(PostgresError) -> Bool {
        guard kind == "r" || kind == "p" else { return true }
        let numbers = Set(places.map { columns[$0].number })
        let count = target.serverVersion >= 110_000 ? "i.indnkeyatts" : "i.indnatts"
        let rows = try target.query(
            """
            SELECT i.indkey::pg_catalog.text, \(count) \
            FROM pg_catalog.pg_index i WHERE i.indrelid = $1::pg_catalog.oid AND i.indisunique \
            AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
            """,
            parameters: ["\(oid)"]
        )
        return (0..<rows.count).contains { row in
            let members = rows.text(row, 0).split(separator: " ").compactMap { Int($0) }
            return Set(members.prefix(Int(rows.integer(row, 1) ?? 0))) == numbers
        }
    }
}
