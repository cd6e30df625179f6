// SPDX-License-Identifier: Apache-2.0
//
// How a value's text becomes what a column takes: by a cast to the column's type, or to the type
// that `pgType` gives, from which the server assigns it to the column.

import ChangeModel
import LibPQ
import Settings

extension TargetInspection {
    /// The expression for each column's value, of `u.c1` and so on; blocks.
    func values(
        of columns: [WrittenColumn],
        _ places: [Int],
        _ table: TargetRelation,
        on target: borrowing Connection
    ) throws -> [String] {
        var values = columns.enumerated().map { "u.c\($0 + 1)::\($1.castType)" }
        for (spelling, given) in step.types.sorted(by: { $0.key < $1.key }) {
            guard let place = table.place(of: spelling) else { throw table.missing(spelling) }
            guard let member = places.firstIndex(of: place) else {
                throw WalrelayError(
                    "job.column_missing",
                    exit: .settings,
                    "pgType gives a type to \(spelling), which is not among the columns that are "
                        + "written",
                    hint: "add it to `column`, or take it out of pgType"
                )
            }
            let cast = try CastType(given, of: spelling, on: target)
            if step.mode == .copy, cast.oid != columns[member].typeOID {
                throw WalrelayError(
                    "job.type_needs_insert",
                    exit: .settings,
                    "pgType casts \(spelling) to \(given), and COPY casts nothing: column "
                        + "\(columns[member].name) of \(table) is \(columns[member].typeName)",
                    hint: "writeMode: insert, or leave \(spelling) out of pgType"
                )
            }
            values[member] = cast.expression(of: "u.c\(member + 1)")
        }
        return values
    }
}

/// A type that `pgType` gives.
struct CastType {
    let oid: UInt32
    /// The type for SQL, with the modifier that was given.
    private let text: String
    /// The element's type for SQL where it is an array.
    private let element: String?

    /// Looks the type up; blocks.
    init(_ given: String, of column: String, on target: borrowing Connection) throws {
        let name = Self.inPostgres(given)
        do {
            let row = try target.query(
                """
                SELECT t.oid, pg_catalog.quote_ident(n.nspname) || '.' || \
                pg_catalog.quote_ident(t.typname), \
                CASE WHEN t.typcategory = 'A' AND e.oid IS NOT NULL THEN \
                pg_catalog.quote_ident(m.nspname) || '.' || pg_catalog.quote_ident(e.typname) END \
                FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
                LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem \
                LEFT JOIN pg_catalog.pg_namespace m ON m.oid = e.typnamespace \
                WHERE t.oid = pg_catalog.to_regtype($1)::pg_catalog.oid
                """,
                parameters: [name]
            )
            guard row.count == 1, let number = row.integer(0, 0) else {
                throw Self.unknown(given, column)
            }
            oid = UInt32(clamping: number)
            // The server has read `name` as a type: it can stand in a statement as it is.
            text = name.contains("(") ? name : row.text(0, 1)
            element = row.value(0, 2)
        } catch let error as PostgresError {
            guard error.kind == .server, error.sqlState.hasPrefix("42") else { throw error }
            throw Self.unknown(given, column)
        }
    }

    private static func unknown(_ given: String, _ column: String) -> WalrelayError {
        WalrelayError(
            "job.type_unknown",
            exit: .settings,
            "pgType gives \(column) the type \(given), which the target does not know",
            hint: "write it as in CREATE TABLE, such as bigint[], double precision[], text[], jsonb"
        )
    }

    /// DataWorks' `double` is PostgreSQL's `double precision`.
    private static func inPostgres(_ given: String) -> String {
        let words = given.split { $0 == " " || $0 == "\t" || $0 == "\n" }.joined(separator: " ")
        let lower = words.lowercased()
        guard lower == "double" || lower.hasPrefix("double[") || lower.hasPrefix("double [") else {
            return words
        }
        return "double precision" + words.dropFirst("double".count)
    }

    /// The value of a text.
    ///
    /// An array may be written as JSON, too, as DataX's users have it: `[1, 2]`. `[0:1]={1,2}` is
    /// one of PostgreSQL's own. What JSON holds between quotes can only be taken element by
    /// element, so that has one dimension.
    func expression(of value: String) -> String {
        guard let element else { return "\(value)::\(text)" }
        return """
            CASE WHEN \(value) IS NULL OR \(value) !~ '^[[:space:]]*[[]' \
            OR \(value) ~ '^[[:space:]]*([[][-+0-9:]+[]])+[[:space:]]*=' THEN \(value)::\(text) \
            WHEN pg_catalog.strpos(\(value), '"') = 0 \
            THEN pg_catalog.translate(\(value), '[]', '{}')::\(text) \
            ELSE ARRAY(SELECT e.v::\(element) FROM pg_catalog.json_array_elements_text(\
            \(value)::pg_catalog.json) WITH ORDINALITY AS e(v, n) ORDER BY e.n)::\(text) END
            """
    }
}
