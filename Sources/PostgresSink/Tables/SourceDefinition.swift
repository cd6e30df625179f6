// SPDX-License-Identifier: Apache-2.0
//
// What the source's catalog says of the tables that a task takes, beyond what the stream says of
// them: enough to make a table that takes every row, and to tell whether one that exists does.

import ChangeModel
import LibPQ

/// A table of the source, as far as a copy of it needs to know.
struct TableDefinition: Sendable {
    /// A published column.
    struct Column: Sendable {
        /// Where values come from when an INSERT names none.
        enum Default: Sendable, Equatable {
            case none
            /// serial, or nextval of any sequence.
            case sequence
            case identity
            case expression(String)
        }

        var name: String
        var type: TypeUse
        /// Whether no row has NULL in it.
        var isRequired: Bool
        /// Where it is not its type's own.
        var collation: TableName?
        var `default`: Default
    }

    /// A column whose values are computed, and not sent.
    struct GeneratedColumn: Sendable {
        var name: String
        var type: TypeUse
        var expression: String
        /// Computed when it is read (18 and later).
        var isVirtual: Bool
        var isRequired: Bool
        var collation: TableName?
        /// How many published columns stand before it.
        var place: Int
    }

    var relation: Relation
    /// The published columns in their order.
    var columns: [Column]
    /// Empty where the task takes only some of the columns.
    var generated: [GeneratedColumn]
    var isPartitioned: Bool
    /// The unique indexes whose key columns are all published.
    var uniqueIndexes: [UniqueIndex]

    var name: TableName { TableName(schema: relation.schema, name: relation.name) }

    /// The primary key that is or will be valid; `nil` where there is none.
    var primaryKey: UniqueIndex? { uniqueIndexes.first(where: \.isPrimary) }

    /// The columns that identify a row in the stream, in their index's order.
    ///
    /// Empty where the stream brings whole old rows or none.
    var identityColumns: [String] {
        switch relation.replicaIdentity {
        case .full, .nothing: []
        case .default, .index:
            relation.columns.filter(\.isKey).map(\.name).inOrder(of: identityIndex?.columns ?? [])
        }
    }

    /// The index that the identity goes by; `nil` where it is the primary key's or there is none.
    var identityIndex: UniqueIndex? {
        relation.replicaIdentity == .index
            ? uniqueIndexes.first { $0.isIdentity }
            : relation.replicaIdentity == .default ? primaryKey : nil
    }
}

extension [String] {
    /// The same names, those of `order` first and in its order.
    fileprivate func inOrder(of order: [String]) -> [String] {
        order.filter(contains) + filter { !order.contains($0) }
    }
}

/// The tables that a task takes and the types of their columns.
struct SourceDefinition: Sendable {
    /// By the tables' OIDs; a table that was dropped is not there.
    var tables: [UInt32: TableDefinition]
    var types: CatalogTypes
    var serverVersion: Int
    /// The database's encoding, such as `UTF8`.
    var encoding: String

    /// Reads the catalog under the connection's own snapshot; blocks.
    ///
    /// `relations` say which columns are published and what types they have: a column that the
    /// catalog has no more counts as one that may be NULL. `known` are the types that the
    /// checkpoint remembers.
    static func read(
        relations: [Relation],
        known: [TypeEntry] = [],
        on source: borrowing Connection
    ) throws(PostgresError) -> SourceDefinition {
        let oids = relations.map(\.oid)
        let kinds = try partitioned(oids, on: source)
        let attributes = try CatalogColumn.read(of: oids, on: source)
        let indexes = try UniqueIndex.read(of: oids, on: source)
        var tables: [UInt32: TableDefinition] = [:]
        for relation in relations {
            guard let isPartitioned = kinds[relation.oid] else { continue }
            tables[relation.oid] = TableDefinition(
                relation: relation,
                attributes: attributes[relation.oid] ?? [],
                isPartitioned: isPartitioned,
                indexes: indexes[relation.oid] ?? []
            )
        }
        let uses = relations.flatMap { $0.columns.map { TypeUse($0) } }
        let generated = tables.values.flatMap { $0.generated.map(\.type) }
        return SourceDefinition(
            tables: tables,
            types: try CatalogTypes(of: uses + generated, known: known, on: source),
            serverVersion: source.serverVersion,
            encoding: source.parameterStatus("server_encoding") ?? "UTF8"
        )
    }

    /// Whether each table that exists is partitioned.
    private static func partitioned(
        _ oids: [UInt32],
        on source: borrowing Connection
    ) throws(PostgresError) -> [UInt32: Bool] {
        var kinds: [UInt32: Bool] = [:]
        for list in Listing.oids(oids) {
            let rows = try source.query(
                "SELECT oid, relkind = 'p' FROM pg_catalog.pg_class WHERE oid IN (\(list))"
            )
            for row in 0..<rows.count { kinds[rows.oid(row, 0)] = rows.flag(row, 1) }
        }
        return kinds
    }
}

extension TableDefinition {
    init(
        relation: Relation,
        attributes: [CatalogColumn],
        isPartitioned: Bool,
        indexes: [UniqueIndex]
    ) {
        let byName = Dictionary(
            attributes.map { ($0.$name, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        let published = Set(relation.columns.map(\.$name))
        self.relation = relation
        self.isPartitioned = isPartitioned
        columns = relation.columns.map { column in
            let attribute = byName[column.$name]
            return Column(
                name: column.name,
                type: TypeUse(column),
                isRequired: attribute?.isRequired ?? false,
                collation: attribute?.collation,
                default: attribute?.default ?? .none
            )
        }
        let isWhole = attributes.allSatisfy { published.contains($0.$name) || $0.isGenerated }
        var place = 0
        generated = []
        for attribute in isWhole ? attributes : [] {
            if published.contains(attribute.$name) {
                place += 1
            } else if let expression = attribute.expression {
                generated.append(
                    GeneratedColumn(
                        name: attribute.name,
                        type: attribute.type,
                        expression: expression,
                        isVirtual: attribute.generated == "v",
                        isRequired: attribute.isRequired,
                        collation: attribute.collation,
                        place: place
                    )
                )
            }
        }
        uniqueIndexes = indexes.filter { index in
            index.isPlain && index.columns.allSatisfy(published.contains)
        }
    }
}
