// SPDX-License-Identifier: Apache-2.0
//
// The unique indexes of tables, of either server: what can identify a row, and what cannot.

import LibPQ

/// A unique index of a table.
struct UniqueIndex: Sendable, Equatable {
    var name: String
    /// The key columns in the index's order, without those of INCLUDE.
    var columns: [String]
    var isPrimary: Bool
    /// `pg_index.indisreplident`.
    var isIdentity: Bool
    /// False for the index of a deferrable constraint.
    var isImmediate: Bool
    var isValid: Bool
    /// Whether it covers all rows, by columns and not by expressions.
    var isPlain: Bool

    /// Whether ON CONFLICT can use it and no two rows have the same key in it.
    var identifies: Bool { isImmediate && isValid && isPlain }

    /// The unique indexes of tables by the tables' OIDs, each in the order of the indexes' OIDs.
    static func read(
        of tables: some Sequence<UInt32>,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [UInt32: [UniqueIndex]] {
        let keyCount = connection.serverVersion >= 110_000 ? "i.indnkeyatts" : "i.indnatts"
        var result: [UInt32: [UniqueIndex]] = [:]
        for list in Listing.oids(tables) {
            let rows = try connection.query(
                """
                SELECT i.indrelid, k.place, c.relname, i.indisprimary, i.indisreplident, \
                i.indimmediate, i.indisvalid AND i.indisready, \
                i.indpred IS NULL AND i.indexprs IS NULL, a.attname \
                FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
                CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY k (number, place) \
                LEFT JOIN pg_catalog.pg_attribute a \
                ON a.attrelid = i.indrelid AND a.attnum = k.number \
                WHERE i.indrelid IN (\(list)) AND i.indisunique AND k.place <= \(keyCount) \
                ORDER BY i.indrelid, i.indexrelid, k.place
                """
            )
            for row in 0..<rows.count {
                let table = rows.oid(row, 0)
                if rows.text(row, 1) == "1" {
                    result[table, default: []].append(
                        UniqueIndex(
                            name: rows.text(row, 2),
                            columns: [],
                            isPrimary: rows.flag(row, 3),
                            isIdentity: rows.flag(row, 4),
                            isImmediate: rows.flag(row, 5),
                            isValid: rows.flag(row, 6),
                            isPlain: rows.flag(row, 7)
                        )
                    )
                }
                let last = (result[table]?.count ?? 0) - 1
                if last >= 0 { result[table]?[last].columns.append(rows.text(row, 8)) }
            }
        }
        return result
    }
}
