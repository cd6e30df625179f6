// SPDX-License-Identifier: Apache-2.0
//
// A table of the target as one version of a source relation is written to it: the columns in the
// relation's order, what their values are cast to, and what identifies a row there.

import ChangeModel
import LibPQ

/// A table of the target, as one version of a source relation is written to it.
struct TargetTable: Sendable {
    /// A column that a value of the stream goes to.
    struct Column: Sendable, Equatable {
        /// The name, the same as the source's, unquoted.
        var name: String
        /// SQL for a cast to the column's type: quoted, and without the modifier, so that an
        /// assignment still checks the length.
        var castType: String
        /// The type's OID on the target.
        var typeOID: UInt32
        /// Whether it belongs to `key`.
        var isKey: Bool
    }

    /// The source's version.
    var relation: RelationVersion
    /// The schema on the target, unquoted.
    var schema: String
    /// The name on the target, unquoted.
    var name: String
    /// One a column of the relation, in the same order.
    var columns: [Column]
    /// Indexes into `columns` that identify a row and have a unique index on the target.
    ///
    /// Empty where there is none: then rows are only inserted, or found by the whole old row.
    var key: [Int]

    /// `"schema"."name"`, for SQL.
    var qualifiedName: String { SQL.identifier(schema, name) }
}

extension TargetTable {
    /// Reads the tables of relations, in their order, in three statements for all; blocks.
    ///
    /// Throws `sink.tables_unfit` where a table or a column is not there.
    static func read(
        _ versions: [RelationVersion],
        naming: TableNaming,
        on target: borrowing Connection
    ) throws(WalrelayError) -> [TargetTable] {
        let names = versions.map { naming.target(of: $0.relation) }
        let (oids, columns, indexes) = try Asking.target("looking at the tables") {
            () throws(PostgresError) in
            let oids = try TargetCatalog.oids(of: names, on: target)
            return (
                oids, try TargetColumn.read(of: oids.values, on: target),
                try UniqueIndex.read(of: oids.values, on: target)
            )
        }
        var findings: [Finding] = []
        let tables = versions.map { version in
            let name = naming.target(of: version.relation)
            let oid = oids[name] ?? 0
            let there = columns[oid] ?? [:]
            let lacking = version.relation.columns.filter { there[$0.$name] == nil }
                .map(\.name)
            if oids[name] == nil {
                findings.append(
                    Finding(
                        "target.table_missing",
                        .failed,
                        subject: "\(name)",
                        found: "does not exist"
                    )
                )
            } else if !lacking.isEmpty {
                findings.append(
                    Finding(
                        "target.column_missing",
                        .failed,
                        subject: "\(name)",
                        found: "lacks the columns \(lacking.joined(separator: ", "))"
                    )
                )
            }
            return TargetTable(version, as: name, columns: there, indexes: indexes[oid] ?? [])
        }
        try TargetErrors.refuse(findings)
        return tables
    }

    private init(
        _ version: RelationVersion,
        as name: TableName,
        columns there: [ExactText: TargetColumn],
        indexes: [UniqueIndex]
    ) {
        let relation = version.relation
        let key = Self.key(of: relation, columns: there, indexes: indexes)
        let names = Set(exactly: key)
        self.relation = version
        schema = name.schema
        self.name = name.name
        columns = relation.columns.map { column in
            Column(
                name: column.name,
                castType: there[column.$name]?.castType ?? "text",
                typeOID: there[column.$name]?.type.oid ?? 0,
                isKey: names.contains(column.$name)
            )
        }
        self.key = key.compactMap { name in
            relation.columns.firstIndex { $0.$name == ExactText(name) }
        }
    }

    /// The names of what identifies a row, in the order of the target's index.
    static func key(
        of relation: Relation,
        columns: [ExactText: TargetColumn],
        indexes: [UniqueIndex]
    ) -> [String] {
        let usable = indexes.filter(\.identifies)
        switch relation.replicaIdentity {
        case .nothing: return []
        case .default, .index:
            let identity = Set(relation.columns.filter(\.isKey).map(\.$name))
            guard !identity.isEmpty else { return [] }
            return usable.first { Set(exactly: $0.columns) == identity }?.columns ?? []
        case .full:
            // Rows with NULL in the key would be found by none.
            let published = Set(relation.columns.map(\.$name))
            let whole = usable.filter { index in
                index.columns.allSatisfy {
                    published.contains($0) && columns[ExactText($0)]?.isRequired == true
                }
            }
            return (whole.first(where: \.isPrimary) ?? whole.first)?.columns ?? []
        }
    }
}

/// A live column of a table of the target.
struct TargetColumn: Sendable {
    var type: TypeUse
    /// `format_type` without the modifier.
    var castType: String
    var isRequired: Bool

    /// The columns of tables by the tables' OIDs and their own names; blocks.
    static func read(
        of tables: some Sequence<UInt32>,
        on target: borrowing Connection
    ) throws(PostgresError) -> [UInt32: [ExactText: TargetColumn]] {
        var result: [UInt32: [ExactText: TargetColumn]] = [:]
        for list in Listing.oids(tables) {
            let rows = try target.query(
                """
                SELECT attrelid, attname, atttypid, atttypmod, \
                pg_catalog.format_type(atttypid, -1), attnotnull \
                FROM pg_catalog.pg_attribute \
                WHERE attrelid IN (\(list)) AND attnum > 0 AND NOT attisdropped
                """
            )
            for row in 0..<rows.count {
                result[rows.oid(row, 0), default: [:]][ExactText(rows.text(row, 1))] = TargetColumn(
                    type: TypeUse(rows.oid(row, 2), Int32(clamping: rows.integer(row, 3) ?? -1)),
                    castType: rows.text(row, 4),
                    isRequired: rows.flag(row, 5)
                )
            }
        }
        return result
    }
}
