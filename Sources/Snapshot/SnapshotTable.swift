// SPDX-License-Identifier: Apache-2.0

public import ChangeModel
public import Replication

/// A table to be copied, together with the relation that its rows are given under.
public struct SnapshotTable: Sendable {
    /// What the catalog said.
    public var source: SourceTable
    /// The relation of the rows; its columns, in their order, are what is copied.
    public var relation: RelationVersion
    /// What of it is copied already, and brought up to the snapshot's point.
    public var copy: TableCopy

    /// Creates a table; without a `copy` nothing of it is copied.
    public init(_ source: SourceTable, as relation: RelationVersion, after copy: TableCopy? = nil) {
        self.source = source
        self.relation = relation
        self.copy = copy ?? TableCopy(oid: relation.relation.oid, point: .zero)
        // Rows that do not count are read again.
        if self.copy.progress == .nothing { (self.copy.rows, self.copy.bytes) = (0, 0) }
    }

    /// The server's estimate over all storage; 0 where nothing was ever analyzed.
    var estimatedRows: Int64 {
        source.storage.reduce(0) { sum, storage in
            sum + (Int64(exactly: max(0, storage.estimatedRows).rounded()) ?? 0)
        }
    }

    /// The place of the column by whose ranges the table may be copied in parts that count; `nil`
    /// where there is none.
    ///
    /// Each change of the stream has to say in which range its row lies: so it is a column that
    /// every old row has. A partitioned table's rows do not say which partition they lie in.
    var resumableKey: Int? {
        let columns = relation.relation.columns
        guard !source.isPartitioned, source.storage.count == 1 else { return nil }
        let names =
            source.relation.replicaIdentity == .index
            ? Set(source.relation.columns.filter(\.isKey).map(\.$name))
            : Set(exactly: source.relation.primaryKey)
        guard names.count == 1, let index = columns.firstIndex(where: { names.contains($0.$name) }),
            isWholeNumber(index)
        else { return nil }
        return index
    }

    /// The ranges of `resumableKey` that are copied; `nil` where none is.
    ///
    /// Throws `snapshot.key_changed` where they are those of another column.
    func copiedKeys() throws(WalrelayError) -> KeyRanges? {
        guard case .keys(let column, let ranges) = copy.progress else { return nil }
        guard let key = resumableKey,
            relation.relation.columns[key].$name == ExactText(column)
        else { throw SnapshotFault.keyChanged(relation.relation.qualifiedName, from: column) }
        return ranges
    }

    /// The key's column, where the key is one column of whole numbers.
    var wholeNumberKey: String? {
        guard source.relation.primaryKey.count == 1, let key = source.relation.primaryKey.first,
            let index = relation.relation.columns.firstIndex(where: { $0.$name == ExactText(key) }),
            isWholeNumber(index)
        else { return nil }
        return key
    }

    /// Whether a column holds numbers that are compared with a bigint.
    ///
    /// Not so those of xid8, which has no cast to it either.
    private func isWholeNumber(_ index: Int) -> Bool {
        relation.types[index] == .integer && relation.relation.columns[index].typeOID != 5069
    }

    /// Whether a column's type is `oid`.
    func isOID(_ column: String) -> Bool {
        relation.relation.columns.contains { $0.$name == ExactText(column) && $0.typeOID == 26 }
    }
}
