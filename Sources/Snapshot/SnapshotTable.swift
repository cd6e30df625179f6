// SPDX-License-Identifier: Apache-2.0

public import ChangeModel
public import Replication

/// A table to be copied, together with the relation that its rows are given under.
public struct SnapshotTable: Sendable {
    /// What the catalog said.
    public var source: SourceTable
    /// The relation of the rows; its columns, in their order, are what is copied.
    public var relation: RelationVersion

    /// Creates a table.
    public init(_ source: SourceTable, as relation: RelationVersion) {
        self.source = source
        self.relation = relation
    }

    /// The server's estimate over all storage; 0 where nothing was ever analyzed.
    var estimatedRows: Int64 {
        source.storage.reduce(0) { sum, storage in
            sum + (Int64(exactly: max(0, storage.estimatedRows).rounded()) ?? 0)
        }
    }

    /// The key's column, where the key is one column of whole numbers.
    var wholeNumberKey: String? {
        guard source.relation.primaryKey.count == 1, let key = source.relation.primaryKey.first,
            let index = relation.relation.columns.firstIndex(where: { $0.$name == ExactText(key) }),
            relation.types[index] == .integer
        else { return nil }
        return key
    }
}
