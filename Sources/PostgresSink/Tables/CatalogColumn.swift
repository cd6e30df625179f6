// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ

/// A live column of a table, as either server's catalog describes it.
struct CatalogColumn: Sendable {
    var number: Int16
    @ExactText var name: String
    var type: TypeUse
    /// Whether it is declared NOT NULL and every row is known to keep to it.
    var isRequired: Bool
    /// Where it is not its type's own.
    var collation: TableName?
    /// `pg_attribute.attidentity`: empty, `a` for ALWAYS or `d` for BY DEFAULT.
    var identity: String
    /// `pg_attribute.attgenerated`: empty, `s` for stored or `v` for virtual.
    var generated: String
    /// The default, or what a generated column is computed from.
    var expression: String?

    var isGenerated: Bool { !generated.isEmpty }

    var `default`: TableDefinition.Column.Default {
        if !identity.isEmpty { return .identity }
        guard let expression, !isGenerated else { return .none }
        return expression.hasPrefix("nextval(") ? .sequence : .expression(expression)
    }

    /// The columns of tables by the tables' OIDs, in their order; blocks.
    static func read(
        of tables: some Sequence<UInt32>,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [UInt32: [CatalogColumn]] {
        let generated = connection.serverVersion >= 120_000 ? "a.attgenerated" : "''"
        // From 18 on a column can be NOT NULL NOT VALID: old rows may have NULL all the same.
        let validated =
            connection.serverVersion >= 180_000
            ? "AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid "
                + "AND k.contype = 'n' AND NOT k.convalidated AND k.conkey = ARRAY[a.attnum])" : ""
        var result: [UInt32: [CatalogColumn]] = [:]
        for list in Listing.oids(tables) {
            let rows = try connection.query(
                """
                SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, \
                a.attnotnull \(validated), cn.nspname, co.collname, a.attidentity, \(generated), \
                pg_catalog.pg_get_expr(d.adbin, d.adrelid) \
                FROM pg_catalog.pg_attribute a \
                JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
                LEFT JOIN pg_catalog.pg_attrdef d \
                ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
                LEFT JOIN pg_catalog.pg_collation co \
                ON co.oid = a.attcollation AND a.attcollation <> t.typcollation \
                LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
                WHERE a.attrelid IN (\(list)) AND a.attnum > 0 AND NOT a.attisdropped \
                ORDER BY a.attrelid, a.attnum
                """
            )
            for row in 0..<rows.count {
                result[rows.oid(row, 0), default: []].append(
                    CatalogColumn(
                        number: Int16(clamping: rows.integer(row, 1) ?? 0),
                        name: rows.text(row, 2),
                        type: TypeUse(
                            rows.oid(row, 3),
                            Int32(clamping: rows.integer(row, 4) ?? -1)
                        ),
                        isRequired: rows.flag(row, 5),
                        collation: rows.value(row, 6).map {
                            TableName(schema: $0, name: rows.text(row, 7))
                        },
                        identity: rows.text(row, 8),
                        generated: rows.text(row, 9),
                        expression: rows.value(row, 10)
                    )
                )
            }
        }
        return result
    }
}
