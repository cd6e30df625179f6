// SPDX-License-Identifier: Apache-2.0
//
// Compares what a relation message says with the relation as last seen (which the checkpoint
// keeps, so that a change across a restart is noticed too). ADD COLUMN is followed; anything else
// is refused by name, with the position of the transaction that would have brought it.

public import ChangeModel

/// What became of a relation between two relation messages.
public enum RelationChange: Sendable, Equatable {
    /// Nothing that a reader of the changes could see.
    case none
    /// Columns were added and nothing else happened.
    case columnsAdded([Column])
    /// Something else happened; one sentence each.
    case unsupported([String])
}

/// The comparison of relations.
public enum SchemaGuard {
    /// Says what happened to a relation from `old` to `new`; both have the same OID.
    ///
    /// `nameType` gives a column's type as people write it; it is asked only for a refusal.
    public static func compare(
        _ old: Relation,
        _ new: Relation,
        nameType: (Column) -> String = SchemaGuard.typeText
    ) -> RelationChange {
        var faults: [String] = []
        if (old.$schema, old.$name) != (new.$schema, new.$name) {
            faults.append("the table was renamed from \(old.qualifiedName) to \(new.qualifiedName)")
        }
        let newColumns = Dictionary(
            new.columns.map { ($0.$name, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        let oldNames = Set(old.columns.map(\.$name))
        let added = new.columns.filter { !oldNames.contains($0.$name) }
        for column in old.columns {
            guard let now = newColumns[column.$name] else {
                faults.append(missing(column, perhaps: added))
                continue
            }
            if (now.typeOID, now.typeModifier) != (column.typeOID, column.typeModifier) {
                faults.append(
                    "column \"\(column.name)\" changed its type from \(nameType(column)) "
                        + "to \(nameType(now))"
                )
            }
        }
        if let fault = keyChange(old, new, addedNames: Set(added.map(\.$name))) {
            faults.append(fault)
        }
        if faults.isEmpty, !keepsOrder(old, new) {
            faults.append("the order of the columns changed")
        }
        if !faults.isEmpty { return .unsupported(faults) }
        return added.isEmpty ? .none : .columnsAdded(added)
    }

    private static func missing(_ column: Column, perhaps added: [Column]) -> String {
        let twin = added.first {
            ($0.typeOID, $0.typeModifier) == (column.typeOID, column.typeModifier)
        }
        guard let twin else { return "column \"\(column.name)\" was dropped" }
        return "column \"\(column.name)\" was renamed to \"\(twin.name)\", "
            + "or dropped while that one was added"
    }

    private static func keyChange(
        _ old: Relation,
        _ new: Relation,
        addedNames: Set<ExactText>
    ) -> String? {
        func key(_ relation: Relation) -> [ExactText] {
            relation.columns.filter(\.isKey).map(\.$name)
        }
        // Under FULL every column counts as key, an added one too: that is no change of the key.
        let isFull = old.replicaIdentity == .full && new.replicaIdentity == .full
        let newKey = key(new).filter { !(isFull && addedNames.contains($0)) }
        guard old.replicaIdentity != new.replicaIdentity || key(old) != newKey else { return nil }
        return "the key changed from \(keyText(old)) to \(keyText(new))"
    }

    private static func keepsOrder(_ old: Relation, _ new: Relation) -> Bool {
        let oldNames = Set(old.columns.map(\.$name))
        return old.columns.map(\.$name) == new.columns.map(\.$name).filter { oldNames.contains($0) }
    }

    /// A column's type where its name cannot be had.
    public static func typeText(_ column: Column) -> String {
        let modifier = column.typeModifier >= 0 ? ", modifier \(column.typeModifier)" : ""
        return "OID \(column.typeOID)\(modifier)"
    }

    private static func keyText(_ relation: Relation) -> String {
        let names = relation.columns.filter(\.isKey).map { "\"\($0.name)\"" }
        let identity =
            switch relation.replicaIdentity {
            case .default: "default"
            case .nothing: "nothing"
            case .full: "full"
            case .index: "index"
            }
        return "(\(names.joined(separator: ", "))) [replica identity \(identity)]"
    }
}
