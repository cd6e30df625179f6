// SPDX-License-Identifier: Apache-2.0
//
// A table as the stream describes it. `Relation` is what the server says (and what a checkpoint
// keeps); `RelationVersion` is the same with its types resolved, shared by all the changes that
// were made under it.

/// What the server sends as the old row of an UPDATE or DELETE (`pg_class.relreplident`).
public enum ReplicaIdentity: UInt8, Sendable, Codable {
    /// The primary key's columns; nothing where the table has none.
    case `default` = 0x64
    /// Nothing at all.
    case nothing = 0x6E
    /// The whole old row.
    case full = 0x66
    /// The columns of one unique index.
    case index = 0x69
}

/// One column of a relation.
public struct Column: Sendable, Hashable, Codable {
    /// The column's name, unquoted.
    @ExactText public var name: String
    /// The OID of the column's type, a domain's own OID included.
    public var typeOID: UInt32
    /// The type modifier (length, precision …); -1 where there is none.
    public var typeModifier: Int32
    /// Whether the column belongs to the replica identity.
    public var isKey: Bool

    /// Creates a column.
    public init(name: String, typeOID: UInt32, typeModifier: Int32 = -1, isKey: Bool = false) {
        self.name = name
        self.typeOID = typeOID
        self.typeModifier = typeModifier
        self.isKey = isKey
    }
}

/// A table as a relation message describes it.
public struct Relation: Sendable, Hashable, Codable {
    /// The table's OID; it survives renaming and not dropping.
    public var oid: UInt32
    /// The schema's name, unquoted; `pg_catalog` where the wire had an empty name.
    @ExactText public var schema: String
    /// The table's name, unquoted.
    @ExactText public var name: String
    /// What old rows hold.
    public var replicaIdentity: ReplicaIdentity
    /// The published columns in the server's order.
    public var columns: [Column]
    /// The primary key's columns in the index's order, published or not; empty where there is none.
    ///
    /// The stream does not say it: this is what the catalog said when it was asked last.
    public var primaryKey: [String]

    /// Creates a relation.
    public init(
        oid: UInt32,
        schema: String,
        name: String,
        replicaIdentity: ReplicaIdentity,
        columns: [Column],
        primaryKey: [String] = []
    ) {
        self.oid = oid
        self.schema = schema
        self.name = name
        self.replicaIdentity = replicaIdentity
        self.columns = columns
        self.primaryKey = primaryKey
    }

    /// `schema.name`, for people; not quoted, so never for SQL.
    public var qualifiedName: String { "\(schema).\(name)" }

    /// The columns by which events of this table are told apart, as ascending indices of `columns`.
    ///
    /// The replica identity's where it is a key: then a delete brings these columns and no others.
    /// Otherwise the primary key's, if all of it is published. Empty where there is neither: then
    /// nothing tells two rows apart but their place in the stream.
    public var eventKey: [Int] {
        switch replicaIdentity {
        case .default, .index:
            let identity = columns.indices.filter { columns[$0].isKey }
            if !identity.isEmpty { return identity }
        case .full, .nothing: break
        }
        // Not in the order of the index: so it is the same whether the catalog has been asked yet.
        let names = Set(exactly: primaryKey)
        let indices = columns.indices.filter { names.contains(columns[$0].$name) }
        return indices.count == names.count ? indices : []
    }
}

extension Relation {
    /// Decodes a relation; one that an earlier version wrote has no primary key.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            oid: try values.decode(UInt32.self, forKey: .oid),
            schema: try values.decode(String.self, forKey: .schema),
            name: try values.decode(String.self, forKey: .name),
            replicaIdentity: try values.decode(ReplicaIdentity.self, forKey: .replicaIdentity),
            columns: try values.decode([Column].self, forKey: .columns),
            primaryKey: try values.decodeIfPresent([String].self, forKey: .primaryKey) ?? []
        )
    }
}

/// A relation together with its resolved column types, as one span of the stream saw it.
///
/// Immutable and shared: batches refer to it, encoders prepare themselves once per version.
public final class RelationVersion: Sendable {
    /// What the server said.
    public let relation: Relation
    /// One entry a column, in the order of `relation.columns`.
    public let types: [ValueType]
    /// Distinguishes the versions of one run; never reused within a process.
    public let version: UInt64

    /// Creates a version; `types` has one entry a column.
    public init(relation: Relation, types: [ValueType], version: UInt64) {
        precondition(types.count == relation.columns.count, "one type a column")
        self.relation = relation
        self.types = types
        self.version = version
    }
}
