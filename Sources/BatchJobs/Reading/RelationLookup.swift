// SPDX-License-Identifier: Apache-2.0
//
// Finds the tables of a job. A name is read as SQL reads it, by the role's search_path; if there is
// no such table, in the spelling that it has in the document.

import ChangeModel
import LibPQ

/// Asks a keeper for relations.
struct RelationLookup {
    /// Finds a relation and locks it for reading until the transaction ends; blocks.
    ///
    /// Throws `job.table_missing` where there is none of that name.
    static func find(
        _ written: String,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> SourceRelation {
        let lookup = RelationLookup(written)
        let found = try lookup.relation(connection)
        // Looking at a statement takes the locks that running it would. What is read of the catalog
        // afterwards cannot change any more.
        do throws(PostgresError) {
            _ = try connection.describe("SELECT FROM \(found.quoted)")
        } catch {
            throw ReaderFault.error(error, while: lookup.action)
        }
        var relation = try lookup.relation(connection)
        relation.columns = try lookup.columns(of: relation, connection)
        relation.heapBytes = try lookup.heapBytes(of: relation, connection)
        return relation
    }

    private let written: String
    private let action: String

    private init(_ written: String) {
        self.written = written
        action = "looking for the reader's table \(written)"
    }

    private func relation(
        _ connection: borrowing Connection
    ) throws(WalrelayError) -> SourceRelation {
        let choices = WrittenName.tableOIDs(of: written)
        let rows = try connection.ask(
            """
            SELECT c.oid, n.nspname, c.relname, c.relkind, \
            pg_catalog.row_security_active(c.oid), \
            pg_catalog.current_setting('block_size')::pg_catalog.int8, \
            EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.oid = coalesce(\(choices.joined(separator: ", ")))::pg_catalog.oid
            """,
            while: action
        )
        guard rows.count > 0, let oid = UInt32(rows.text(0, 0)) else {
            throw ReaderFault.missing(
                "job.table_missing",
                "there is no table \(written) (the reader's table)",
                nearest: try nearest(connection)
            )
        }
        guard let kind = SourceRelation.Kind(rawValue: rows.text(0, 3)) else {
            throw WalrelayError(
                "job.table_missing",
                exit: .settings,
                "\(rows.text(0, 1)).\(rows.text(0, 2)) is neither a table nor a view "
                    + "(the reader's table)",
                hint: "name a table or a view, or read it by querySql"
            )
        }
        return SourceRelation(
            oid: oid,
            schema: rows.text(0, 1),
            name: rows.text(0, 2),
            kind: kind,
            hasChildren: rows.flag(0, 6),
            hidesRows: rows.flag(0, 4),
            pageBytes: max(1, rows.integer(0, 5) ?? 8192)
        )
    }

    /// The names that may have been meant, with a schema where one was given.
    private func nearest(_ connection: borrowing Connection) throws(WalrelayError) -> [String] {
        let isQualified = WrittenName(written).map { $0.parts.count > 1 } ?? false
        let rows = try connection.ask(
            """
            SELECT \(isQualified ? "pg_catalog.concat(n.nspname, '.', c.relname)" : "c.relname") \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') \
            AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') LIMIT 10000
            """,
            while: action
        )
        return Prose.nearest(to: written, among: (0..<rows.count).map { rows.text($0, 0) })
    }

    private func columns(
        of relation: SourceRelation,
        _ connection: borrowing Connection
    ) throws(WalrelayError) -> [SourceColumn] {
        let isGenerated = connection.serverVersion >= 120_000 ? "a.attgenerated <> ''" : "false"
        // From 18 on a NOT NULL may not have been proved yet.
        let rows = try connection.ask(
            """
            SELECT a.attname, pg_catalog.format_type(a.atttypid, -1), \
            a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k \
            WHERE k.conrelid = a.attrelid AND k.contype = 'n' \
            AND k.conkey OPERATOR(pg_catalog.=) ARRAY[a.attnum] AND NOT k.convalidated), \(isGenerated), \
            EXISTS (SELECT FROM pg_catalog.pg_index i \
            JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
            JOIN pg_catalog.pg_am m ON m.oid = x.relam \
            WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum AND i.indisvalid \
            AND i.indpred IS NULL AND m.amname = 'btree' \
            AND i.indcollation[0] = a.attcollation), \
            CASE WHEN a.attcollation NOT IN (0::pg_catalog.oid, 100::pg_catalog.oid) THEN \
            (SELECT pg_catalog.quote_ident(n.nspname) || '.' || \
            pg_catalog.quote_ident(o.collname) FROM pg_catalog.pg_collation o \
            JOIN pg_catalog.pg_namespace n ON n.oid = o.collnamespace \
            WHERE o.oid = a.attcollation) END, \(KeyOperators.schema(ofType: "a.atttypid")) \
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = \(relation.oid)::pg_catalog.oid \
            AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
            """,
            while: action
        )
        // An old child, or a foreign one, need not have its parent's NOT NULL.
        let isCertain = relation.kind == .table && !relation.hasChildren
        return (0..<rows.count).map { row in
            SourceColumn(
                name: rows.text(row, 0),
                type: rows.text(row, 1),
                collation: rows.value(row, 5),
                isNeverNull: isCertain && rows.flag(row, 2),
                isGenerated: rows.flag(row, 3),
                isIndexed: rows.flag(row, 4),
                operators: rows.text(row, 6)
            )
        }
    }

    private func heapBytes(
        of relation: SourceRelation,
        _ connection: borrowing Connection
    ) throws(WalrelayError) -> [Int64]? {
        guard [.table, .partitioned, .materializedView].contains(relation.kind) else { return nil }
        // Whoever may read some columns only may not read ctid, by which pages are told.
        let rows = try connection.ask(
            """
            WITH RECURSIVE member (oid) AS (SELECT \(relation.oid)::pg_catalog.oid UNION \
            SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN member m ON m.oid = i.inhparent) \
            SELECT c.relkind IN ('r', 'm') AND coalesce(a.amname, 'heap') = 'heap' \
            AND pg_catalog.has_table_privilege(\(relation.oid)::pg_catalog.oid, 'SELECT'), \
            pg_catalog.pg_relation_size(c.oid) \
            FROM member m JOIN pg_catalog.pg_class c ON c.oid = m.oid \
            LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam WHERE c.relkind <> 'p'
            """,
            while: action
        )
        var bytes: [Int64] = []
        for row in 0..<rows.count {
            guard rows.flag(row, 0) else { return nil }
            bytes.append(rows.integer(row, 1) ?? 0)
        }
        return bytes
    }
}
