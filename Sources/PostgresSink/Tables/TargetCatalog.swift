// SPDX-License-Identifier: Apache-2.0
//
// What the target's catalog has under some names, by one statement a question.

import ChangeModel
import LibPQ

/// Questions to the target's catalog.
enum TargetCatalog {
    /// The names that a table, a view, an index or anything else of pg_class has; blocks.
    static func existing(
        _ names: some Sequence<TableName>,
        on target: borrowing Connection
    ) throws(PostgresError) -> Set<TableName> {
        Set(try oids(of: names, on: target).keys)
    }

    /// The OIDs of what exists; blocks.
    static func oids(
        of names: some Sequence<TableName>,
        on target: borrowing Connection
    ) throws(PostgresError) -> [TableName: UInt32] {
        var found: [TableName: UInt32] = [:]
        for list in Listing.names(names) {
            let rows = try target.query(
                """
                SELECT n.nspname, c.relname, c.oid FROM pg_catalog.pg_class c \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE (n.nspname, c.relname) IN (\(list))
                """
            )
            for row in 0..<rows.count {
                found[TableName(schema: rows.text(row, 0), name: rows.text(row, 1))] =
                    rows.oid(row, 2)
            }
        }
        return found
    }

    /// Those of the collations that the target has for its encoding; blocks.
    static func collations(
        _ names: some Sequence<TableName>,
        on target: borrowing Connection
    ) throws(PostgresError) -> Set<TableName> {
        var found: Set<TableName> = []
        for list in Listing.names(names) {
            let rows = try target.query(
                """
                SELECT n.nspname, c.collname FROM pg_catalog.pg_collation c \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
                WHERE (n.nspname, c.collname) IN (\(list)) AND c.collencoding IN (-1, \
                pg_catalog.pg_char_to_encoding(pg_catalog.getdatabaseencoding()))
                """
            )
            for row in 0..<rows.count {
                found.insert(TableName(schema: rows.text(row, 0), name: rows.text(row, 1)))
            }
        }
        return found
    }
}
