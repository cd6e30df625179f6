// SPDX-License-Identifier: Apache-2.0
//
// Which columns of a table are compared, and what identifies its rows.

import ChangeModel
import LibPQ
import Replication

enum Pairing {
    /// A table of both sides; blocks.
    ///
    /// `taken` is the relation as the task knows it. Throws `WalrelayError`, exit 65, where the
    /// target lacks the table or a column of it.
    static func pair(
        _ source: SourceTable,
        as taken: Relation,
        with name: TableName,
        rendering: Rendering,
        on sessions: (source: Session, target: Session)
    ) throws(WalrelayError) -> ComparedTable {
        guard let target = try TargetTable.named(name, on: sessions.target) else {
            throw lacks("the table \(name.schema).\(name.name)", source.relation)
        }
        let types = try TargetTable.columns(of: source.relation.oid, on: sessions.source)
        var columns: [ComparedTable.Column] = []
        var notes: [String] = []
        for (index, column) in source.relation.columns.enumerated() {
            guard let type = types[column.$name] else { continue }
            guard taken.columns.contains(where: { $0.$name == column.$name }) else {
                notes.append("column \"\(column.name)\" is new and not taken yet: not compared")
                continue
            }
            guard let other = target.columns[column.$name] else {
                throw lacks(
                    "the column \"\(column.name)\" of \(name.schema).\(name.name)",
                    source.relation
                )
            }
            columns.append(
                ComparedTable.Column(
                    name: column.name,
                    castTypes: [type.castType, other.castType],
                    typeOIDs: [column.typeOID, other.typeOID],
                    relationIndex: index
                )
            )
        }
        let key = key(of: source, among: columns)
        if key.contains(where: { rendering.floatsDiffer && isFloat(columns[$0]) }) {
            notes.append("the key holds floats, which the two versions print differently")
        }
        return ComparedTable(
            source: source,
            target: target,
            columns: columns,
            key: key,
            rendering: rendering,
            notes: notes
        )
    }

    static func isFloat(_ column: ComparedTable.Column) -> Bool {
        column.typeOIDs.contains { Rendering.sendFunctions[$0] != nil }
    }

    /// The columns by which changes of a table come: so they are what its rows are known by.
    static func key(of source: SourceTable, among columns: [ComparedTable.Column]) -> [Int] {
        let identity = source.relation.columns.filter(\.isKey).map(\.name)
        let primaryKey = source.relation.primaryKey
        let names: [String] =
            switch source.relation.replicaIdentity {
            case .full, .nothing: primaryKey
            case .default, .index:
                // In the order of the index, where that is known.
                Set(exactly: identity) == Set(exactly: primaryKey) ? primaryKey : identity
            }
        let indices = names.compactMap { name in
            columns.firstIndex { $0.$name == ExactText(name) }
        }
        return indices.count == names.count ? indices : []
    }

    private static func lacks(_ what: String, _ relation: Relation) -> WalrelayError {
        WalrelayError(
            "verify.target_lacks",
            exit: .refused,
            "The target lacks \(what), which keeps \(relation.qualifiedName)",
            hint: "make it again as it was, empty, and run verify --repair; or let the task begin "
                + "anew: walrelay teardown, then walrelay run"
        )
    }
}
