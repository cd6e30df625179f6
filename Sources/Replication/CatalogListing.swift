// SPDX-License-Identifier: Apache-2.0
//
// All relations of a database that somebody could mean by a table name, and which of them a
// selection takes. Read by plain SELECTs, so it shows what the connection's snapshot shows; no
// server function that looks at the newest catalog stands in it.

import ChangeModel
import LibPQ

/// An entry of pg_class that could be meant by a table's name.
struct CatalogRelation: Sendable {
    /// `pg_class.relkind`, as far as it is listed.
    enum Kind: String, Sendable {
        case ordinary = "r"
        case partitioned = "p"
        case view = "v"
        case materializedView = "m"
        case foreign = "f"
    }

    var oid: UInt32
    @ExactText var schema: String
    @ExactText var name: String
    var kind: Kind
    /// `pg_class.relpersistence`: p, u or t.
    var persistence: String
    /// Whether it is a partition of another table.
    var isPartition: Bool
    var replicaIdentity: ReplicaIdentity
    var estimatedRows: Double
    /// The main fork's size when the table was last analyzed or vacuumed.
    var estimatedBytes: Int64

    var qualifiedName: String { "\(schema).\(name)" }
}

/// Why a relation cannot be replicated, whatever the server's settings are.
enum Unfitness: Sendable, Equatable {
    case system
    case temporary
    case unlogged
    case view
    case materializedView
    case foreignTable
    case hypertable
    case hypertableChunk
    case partitionedBefore13
}

/// The relations of a database and how they hang together.
struct CatalogListing: Sendable {
    let serverVersion: Int
    /// In the order of their OIDs.
    let relations: [CatalogRelation]
    private let index: [UInt32: Int]
    private let parents: [UInt32: [UInt32]]
    private let children: [UInt32: [UInt32]]
    private let hypertables: Set<ExactText>

    /// Reads pg_class and pg_inherits; blocks.
    init(on connection: borrowing Connection) throws(PostgresError) {
        serverVersion = connection.serverVersion
        let classes = try connection.query(
            """
            SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition, \
            c.relreplident, c.reltuples, c.relpages::bigint \
            * pg_catalog.current_setting('block_size')::bigint FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY c.oid
            """
        )
        relations = (0..<classes.count).compactMap { row in
            guard let oid = classes.oid(row, 0),
                let kind = CatalogRelation.Kind(rawValue: classes.text(row, 3))
            else { return nil }
            return CatalogRelation(
                oid: oid,
                schema: classes.text(row, 1),
                name: classes.text(row, 2),
                kind: kind,
                persistence: classes.text(row, 4),
                isPartition: classes.flag(row, 5),
                replicaIdentity: classes.text(row, 6).utf8.first
                    .flatMap { ReplicaIdentity(rawValue: $0) } ?? .nothing,
                estimatedRows: Double(classes.text(row, 7)) ?? -1,
                estimatedBytes: max(0, classes.integer(row, 8) ?? 0)
            )
        }
        index = Dictionary(
            relations.enumerated().map { ($1.oid, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        let links = try connection.query(
            "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits ORDER BY inhrelid, inhseqno"
        )
        var parents: [UInt32: [UInt32]] = [:]
        var children: [UInt32: [UInt32]] = [:]
        for row in 0..<links.count {
            guard let child = links.oid(row, 0), let parent = links.oid(row, 1) else { continue }
            parents[child, default: []].append(parent)
            children[parent, default: []].append(child)
        }
        self.parents = parents
        self.children = children
        hypertables = try Self.hypertables(among: relations, on: connection)
    }

    /// TimescaleDB keeps a list of its own; pg_class knows a hypertable from no other table.
    private static func hypertables(
        among relations: [CatalogRelation],
        on connection: borrowing Connection
    ) throws(PostgresError) -> Set<ExactText> {
        let list = relations.first {
            $0.schema == "_timescaledb_catalog" && $0.name == "hypertable"
        }
        guard let list else { return [] }
        // Asked before, since an error would end the caller's transaction.
        let access = try connection.query(
            """
            SELECT pg_catalog.has_schema_privilege(relnamespace, 'USAGE') \
            AND pg_catalog.has_table_privilege(oid, 'SELECT') \
            FROM pg_catalog.pg_class WHERE oid = \(list.oid)
            """
        )
        guard access.flag(0, 0) else { return [] }
        let rows = try connection.query(
            "SELECT schema_name, table_name FROM _timescaledb_catalog.hypertable"
        )
        return Set(
            exactly: (0..<rows.count).map { SQL.identifier(rows.text($0, 0), rows.text($0, 1)) }
        )
    }

    /// The relation of an OID.
    func relation(_ oid: UInt32) -> CatalogRelation? {
        index[oid].map { relations[$0] }
    }

    /// The relation of a name.
    func relation(schema: String, name: String) -> CatalogRelation? {
        relations.first { $0.$schema == ExactText(schema) && $0.$name == ExactText(name) }
    }

    /// The tables that a relation is a partition of, the nearest first.
    func partitionAncestors(of relation: CatalogRelation) -> [CatalogRelation] {
        var result: [CatalogRelation] = []
        var current = relation
        // The server keeps the tree free of cycles; the bound guards against a torn catalog.
        while current.isPartition, result.count < 64,
            let parent = parents[current.oid]?.first.flatMap({ self.relation($0) })
        {
            result.append(parent)
            current = parent
        }
        return result
    }

    /// The direct children, by partitioning or by inheritance.
    func directChildren(of relation: CatalogRelation) -> [CatalogRelation] {
        (children[relation.oid] ?? []).compactMap { self.relation($0) }
    }

    /// Everything below a partitioned table that is not partitioned itself, foreign ones included.
    func leaves(of relation: CatalogRelation) -> [CatalogRelation] {
        var result: [CatalogRelation] = []
        var open = directChildren(of: relation)
        while let next = open.popLast() {
            if next.kind == .partitioned {
                open += directChildren(of: next)
            } else {
                result.append(next)
            }
        }
        return result.sorted { $0.oid < $1.oid }
    }

    /// Why a relation cannot be replicated; `nil` where its kind does not stand against it.
    func unfitness(of relation: CatalogRelation) -> Unfitness? {
        if relation.persistence == "t" { return .temporary }
        if isHypertable(relation) { return .hypertable }
        if isChunk(relation) { return .hypertableChunk }
        if Self.isSystem(relation) { return .system }
        switch relation.kind {
        case .view: return .view
        case .materializedView: return .materializedView
        case .foreign: return .foreignTable
        case .partitioned where serverVersion < 130_000: return .partitionedBefore13
        case .ordinary, .partitioned: return relation.persistence == "u" ? .unlogged : nil
        }
    }

    private func isHypertable(_ relation: CatalogRelation) -> Bool {
        hypertables.contains(SQL.identifier(relation.schema, relation.name))
    }

    private func isChunk(_ relation: CatalogRelation) -> Bool {
        guard !hypertables.isEmpty else { return false }
        if relation.schema == "_timescaledb_internal", relation.name.hasPrefix("_hyper_") {
            return true
        }
        return (parents[relation.oid] ?? []).contains {
            self.relation($0).map(isHypertable) ?? false
        }
    }

    /// pgoutput publishes nothing whose OID was given by initdb.
    private static func isSystem(_ relation: CatalogRelation) -> Bool {
        relation.oid < 16_384 || relation.schema.hasPrefix("pg_")
            || relation.schema == "information_schema"
            || relation.schema.hasPrefix("_timescaledb_")
    }
}

/// What a selection makes of one relation that it names.
enum Choice: Sendable, Equatable {
    /// It is taken.
    case taken
    /// It is a partition of a table that is taken, and comes under that one's name.
    case under(UInt32)
    /// It cannot be replicated.
    case unfit(Unfitness)
}

extension CatalogListing {
    /// What the selection names, in the order of OIDs, with the rule that names it.
    func chosen(
        by selection: TableSelection
    ) -> [(relation: CatalogRelation, rule: TableRule, choice: Choice)] {
        var named: [(relation: CatalogRelation, rule: TableRule)] = []
        var fit: Set<UInt32> = []
        for relation in relations {
            guard let rule = selection.rule(schema: relation.schema, name: relation.name)
            else { continue }
            named.append((relation, rule))
            if unfitness(of: relation) == nil { fit.insert(relation.oid) }
        }
        return named.map { relation, rule in
            let root = partitionAncestors(of: relation).last { fit.contains($0.oid) }
            let choice: Choice =
                if let root {
                    .under(root.oid)
                } else if let reason = unfitness(of: relation) {
                    .unfit(reason)
                } else {
                    .taken
                }
            return (relation, rule, choice)
        }
    }
}

extension QueryResult {
    /// An OID; `nil` for NULL and for what is none.
    func oid(_ row: Int, _ column: Int) -> UInt32? {
        integer(row, column).flatMap { UInt32(exactly: $0) }
    }
}
