// SPDX-License-Identifier: Apache-2.0
//
// What the target's catalog says of a table, by name; ordinary and partitioned tables are known.

import ChangeModel
import LibPQ
import Replication

/// A table of the target.
struct TargetTable: Sendable {
    /// A column of it.
    struct Column: Sendable {
        var typeOID: UInt32
        /// What a text is cast to, quoted as SQL needs it.
        var castType: String
    }

    var schema: String
    var name: String
    var isPartitioned: Bool
    var columns: [ExactText: Column]
    var storage: [SourceTable.Storage]

    /// `"schema"."name"`.
    var qualifiedName: String { SQL.identifier(schema, name) }

    /// The table of a name; nil where there is none, or another kind of relation.
    ///
    /// Blocks.
    static func named(
        _ name: TableName,
        on session: Session
    ) throws(WalrelayError) -> TargetTable? {
        let action = "looking up \(name.schema).\(name.name) of the target"
        let found = try session.query(
            """
            SELECT c.oid, c.relkind = 'p' FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE n.nspname = \(SQL.literal(name.schema)) \
            AND c.relname = \(SQL.literal(name.name)) AND c.relkind IN ('r', 'p')
            """,
            while: action
        )
        guard found.count == 1, let oid = found.integer(0, 0) else { return nil }
        let leaves = try session.query(
            """
            WITH RECURSIVE tree (oid) AS (SELECT \(oid)::oid UNION ALL \
            SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid \
            WHERE \(found.flag(0, 1))) \
            SELECT c.oid, n.nspname, c.relname, c.reltuples, pg_catalog.pg_relation_size(c.oid) \
            FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'
            """,
            while: action
        )
        return TargetTable(
            schema: name.schema,
            name: name.name,
            isPartitioned: found.flag(0, 1),
            columns: try columns(of: UInt32(truncatingIfNeeded: oid), on: session),
            storage: (0..<leaves.count).map { row in
                SourceTable.Storage(
                    oid: UInt32(truncatingIfNeeded: leaves.integer(row, 0) ?? 0),
                    schema: leaves.text(row, 1),
                    name: leaves.text(row, 2),
                    estimatedRows: Double(leaves.text(row, 3)) ?? -1,
                    bytes: leaves.integer(row, 4) ?? 0
                )
            }
        )
    }

    /// The live columns of a table of either side, by name; blocks.
    static func columns(
        of oid: UInt32,
        on session: Session
    ) throws(WalrelayError) -> [ExactText: Column] {
        let rows = try session.query(
            """
            SELECT attname, atttypid, pg_catalog.format_type(atttypid, -1) \
            FROM pg_catalog.pg_attribute \
            WHERE attrelid = \(oid) AND attnum > 0 AND NOT attisdropped
            """,
            while: "looking up columns of the \(session.side)"
        )
        var columns: [ExactText: Column] = [:]
        for row in 0..<rows.count {
            columns[ExactText(rows.text(row, 0))] = Column(
                typeOID: UInt32(truncatingIfNeeded: rows.integer(row, 1) ?? 0),
                castType: rows.text(row, 2)
            )
        }
        return columns
    }
}
