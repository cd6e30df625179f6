// SPDX-License-Identifier: Apache-2.0

public import ChangeModel

/// A table of the source that a task takes, as the catalog describes it.
public struct SourceTable: Sendable, Equatable {
    /// What pgoutput will say of the table (published columns in order, key flags, identity), and
    /// the primary key.
    ///
    /// For a partitioned table this is the root; its leaves are published under it.
    public var relation: Relation
    /// Whether the table is partitioned.
    public var isPartitioned: Bool
    /// The tables that hold the rows: the table itself, or a partitioned table's leaves.
    public var storage: [Storage]
    /// The row filter of the settings, in SQL; `nil` takes all rows.
    public var filter: String?
    /// The columns that the settings ask for; `nil` takes all.
    public var columnList: [String]?

    /// A table that holds rows.
    public struct Storage: Sendable, Equatable {
        /// The table's OID.
        public var oid: UInt32
        /// The schema's name, unquoted.
        public var schema: String
        /// The table's name, unquoted.
        public var name: String
        /// `pg_class.reltuples`; -1 where it was never analyzed.
        public var estimatedRows: Double
        /// `pg_relation_size` of the main fork, in bytes.
        public var bytes: Int64

        /// Creates a description.
        public init(oid: UInt32, schema: String, name: String, estimatedRows: Double, bytes: Int64)
        {
            self.oid = oid
            self.schema = schema
            self.name = name
            self.estimatedRows = estimatedRows
            self.bytes = bytes
        }
    }

    /// Creates a description.
    public init(
        relation: Relation,
        isPartitioned: Bool,
        storage: [Storage],
        filter: String? = nil,
        columnList: [String]? = nil
    ) {
        self.relation = relation
        self.isPartitioned = isPartitioned
        self.storage = storage
        self.filter = filter
        self.columnList = columnList
    }
}
