// SPDX-License-Identifier: Apache-2.0
//
// The tables of a selection as pgoutput will describe them, read from the catalog by plain
// SELECTs under whatever snapshot the connection has. The promise: `SourceTable.relation` equals
// the relation message that the server sends for the publication of Publication.swift.
//
//   columns   by attnum, without dropped and generated ones, narrowed by the column list (15+)
//   key flag  FULL: all · INDEX: that index's key columns · DEFAULT: the primary key's, unless it
//             is deferrable · NOTHING: none

public import ChangeModel
public import LibPQ

/// What the source's catalog says of tables and types.
public enum SourceCatalog {
    /// The tables that a selection takes and that can be replicated, in the order of their OIDs.
    ///
    /// Patterns are expanded. A partition of a table that is taken is not listed apart. What is
    /// named and cannot be replicated is left out silently: `Prerequisites.check` says so.
    /// Blocks; runs within the connection's transaction where there is one. Measuring waits for
    /// whoever holds an exclusive lock on a table, and keeps a lock of its own until the
    /// transaction ends; without it sizes are those of the last ANALYZE, and nothing waits.
    public static func tables(
        _ selection: TableSelection,
        measured: Bool = true,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [SourceTable] {
        let listing = try CatalogListing(on: connection)
        return try tables(selection, measured: measured, listing: listing, on: connection)
    }

    static func tables(
        _ selection: TableSelection,
        measured: Bool,
        listing: CatalogListing,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [SourceTable] {
        let taken = listing.chosen(by: selection).filter { $0.choice == .taken }
        let storage = taken.map { entry in
            entry.relation.kind == .partitioned
                ? listing.leaves(of: entry.relation).filter { $0.kind == .ordinary }
                : [entry.relation]
        }
        let columns = try TableColumns(of: taken.map(\.relation.oid), on: connection)
        let keys = try TableKeys(of: taken.map(\.relation.oid), on: connection)
        let parts = measured ? storage.flatMap { $0.map(\.oid) } : []
        let sizes = try sizes(of: parts, on: connection)
        return zip(taken, storage).map { entry, parts in
            let oid = entry.relation.oid
            let all = columns.of(oid)
            let identity = keys.identityColumns(
                of: entry.relation,
                serverVersion: listing.serverVersion
            )
            let wanted =
                listing.serverVersion >= 150_000
                ? entry.rule.columns.map { Set(exactly: $0) } : nil
            let published = all.filter { column in
                !column.isGenerated && (wanted?.contains(column.name) ?? true)
            }
            let relation = Relation(
                oid: oid,
                schema: entry.relation.schema,
                name: entry.relation.name,
                replicaIdentity: entry.relation.replicaIdentity,
                columns: published.map { column in
                    Column(
                        name: column.name,
                        typeOID: column.typeOID,
                        typeModifier: column.typeModifier,
                        isKey: entry.relation.replicaIdentity == .full
                            || identity.contains(column.number)
                    )
                },
                primaryKey: keys.primaryKey(of: oid, among: all)
            )
            return SourceTable(
                relation: relation,
                isPartitioned: entry.relation.kind == .partitioned,
                storage: parts.map { part in
                    SourceTable.Storage(
                        oid: part.oid,
                        schema: part.schema,
                        name: part.name,
                        estimatedRows: part.estimatedRows,
                        bytes: sizes[part.oid] ?? part.estimatedBytes
                    )
                },
                filter: entry.rule.filter,
                columnList: entry.rule.columns
            )
        }
    }

    /// The relations with the primary keys that the catalog has now; blocks.
    ///
    /// One that was dropped keeps the key that was known.
    public static func renewingPrimaryKeys(
        of relations: [Relation],
        on connection: borrowing Connection
    ) throws(PostgresError) -> [Relation] {
        let columns = try TableColumns(of: relations.map(\.oid), on: connection)
        let keys = try TableKeys(of: relations.map(\.oid), on: connection)
        return relations.map { known in
            let now = columns.of(known.oid)
            guard !now.isEmpty else { return known }
            var relation = known
            relation.primaryKey = keys.primaryKey(of: known.oid, among: now)
            return relation
        }
    }

    /// The main fork's size; a table that somebody dropped meanwhile has none.
    private static func sizes(
        of oids: [UInt32],
        on connection: borrowing Connection
    ) throws(PostgresError) -> [UInt32: Int64] {
        var sizes: [UInt32: Int64] = [:]
        for list in oidLists(oids) {
            let rows = try connection.query(
                "SELECT oid, pg_catalog.pg_relation_size(oid) FROM pg_catalog.pg_class "
                    + "WHERE oid IN (\(list))"
            )
            for row in 0..<rows.count {
                guard let oid = rows.oid(row, 0) else { continue }
                sizes[oid] = rows.integer(row, 1)
            }
        }
        return sizes
    }

    /// Lists for `IN (…)`, short enough for one statement each; none for no OIDs.
    static func oidLists(_ oids: [UInt32]) -> [String] {
        stride(from: 0, to: oids.count, by: 1_000).map { start in
            oids[start..<min(start + 1_000, oids.count)].map(String.init).joined(separator: ", ")
        }
    }
}

/// A live column of a table, published or not.
struct TableColumn: Sendable {
    var number: Int16
    var name: String
    var typeOID: UInt32
    var typeModifier: Int32
    var isGenerated: Bool
    /// Whether it is declared NOT NULL.
    var isRequired: Bool
}

/// The live columns of tables in their order.
struct TableColumns: Sendable {
    private var byTable: [UInt32: [TableColumn]] = [:]

    init(of oids: [UInt32], on connection: borrowing Connection) throws(PostgresError) {
        let generated = connection.serverVersion >= 120_000 ? "attgenerated <> ''" : "false"
        for list in SourceCatalog.oidLists(oids) {
            let rows = try connection.query(
                """
                SELECT attrelid, attnum, attname, atttypid, atttypmod, \(generated), attnotnull \
                FROM pg_catalog.pg_attribute \
                WHERE attrelid IN (\(list)) AND attnum > 0 AND NOT attisdropped \
                ORDER BY attrelid, attnum
                """
            )
            for row in 0..<rows.count {
                guard let table = rows.oid(row, 0), let type = rows.oid(row, 3) else { continue }
                byTable[table, default: []].append(
                    TableColumn(
                        number: Int16(clamping: rows.integer(row, 1) ?? 0),
                        name: rows.text(row, 2),
                        typeOID: type,
                        typeModifier: Int32(clamping: rows.integer(row, 4) ?? -1),
                        isGenerated: rows.flag(row, 5),
                        isRequired: rows.flag(row, 6)
                    )
                )
            }
        }
    }

    func of(_ table: UInt32) -> [TableColumn] { byTable[table] ?? [] }
}

/// A unique index of a table.
struct TableKey: Sendable {
    var name: String
    var isPrimary: Bool
    /// `pg_index.indisreplident`.
    var isIdentity: Bool
    /// False for the index of a deferrable constraint.
    var isImmediate: Bool
    var isValid: Bool
    /// Whether it covers all rows, by columns and not by expressions.
    var isPlain: Bool
    /// The key columns' attnums in the index's order, without those of INCLUDE.
    var columns: [Int16]
}

/// The unique indexes of tables.
struct TableKeys: Sendable {
    private var byTable: [UInt32: [TableKey]] = [:]

    init(of oids: [UInt32], on connection: borrowing Connection) throws(PostgresError) {
        let keyCount = connection.serverVersion >= 110_000 ? "i.indnkeyatts" : "i.indnatts"
        for list in SourceCatalog.oidLists(oids) {
            let rows = try connection.query(
                """
                SELECT i.indrelid, c.relname, i.indisprimary, i.indisreplident, i.indimmediate, \
                i.indisvalid, i.indpred IS NULL AND i.indexprs IS NULL, \(keyCount), i.indkey \
                FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
                WHERE i.indrelid IN (\(list)) AND i.indisunique ORDER BY i.indrelid, i.indexrelid
                """
            )
            for row in 0..<rows.count {
                guard let table = rows.oid(row, 0) else { continue }
                let numbers = rows.text(row, 8).split(separator: " ").compactMap { Int16($0) }
                byTable[table, default: []].append(
                    TableKey(
                        name: rows.text(row, 1),
                        isPrimary: rows.flag(row, 2),
                        isIdentity: rows.flag(row, 3),
                        isImmediate: rows.flag(row, 4),
                        isValid: rows.flag(row, 5),
                        isPlain: rows.flag(row, 6),
                        columns: Array(numbers.prefix(Int(rows.integer(row, 7) ?? 0)))
                    )
                )
            }
        }
    }

    func of(_ table: UInt32) -> [TableKey] { byTable[table] ?? [] }

    /// The index that the server takes old rows' keys from (`RelationGetReplicaIndex`).
    func identityKey(of relation: CatalogRelation, serverVersion: Int) -> TableKey? {
        of(relation.oid).first { key in
            guard key.isImmediate else { return false }
            switch relation.replicaIdentity {
            case .default:
                // 17 and later take a partitioned table's key while a partition still lacks it.
                let counts = serverVersion >= 170_000 && relation.kind == .partitioned
                return key.isPrimary && (key.isValid || counts)
            case .index: return key.isIdentity && key.isValid && key.isPlain
            case .full, .nothing: return false
            }
        }
    }

    /// The attnums of `identityKey`; empty under FULL and NOTHING.
    func identityColumns(of relation: CatalogRelation, serverVersion: Int) -> Set<Int16> {
        Set(identityKey(of: relation, serverVersion: serverVersion)?.columns ?? [])
    }

    /// The primary key's attnums, also those of a deferrable one.
    func primaryKey(of table: UInt32) -> [Int16] {
        of(table).first { $0.isPrimary && $0.isValid }?.columns ?? []
    }

    /// The names of the primary key's columns in the index's order.
    func primaryKey(of table: UInt32, among columns: [TableColumn]) -> [String] {
        primaryKey(of: table).compactMap { number in
            columns.first { $0.number == number }?.name
        }
    }
}
