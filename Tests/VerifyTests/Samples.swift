// SPDX-License-Identifier: Apache-2.0
//
// Tables and batches without a server.

import ChangeModel
import LibPQ
import Replication

@testable import Verify

extension ComparedTable {
    /// A table of int columns `a`, `b`, …, the first `key` of which are its key.
    static func sample(columns: Int = 1, key: Int = 1) -> ComparedTable {
        let names = ["a", "b", "c", "d"].prefix(columns)
        let source = SourceTable(
            relation: Relation(
                oid: 1,
                schema: "public",
                name: "t",
                replicaIdentity: key == 0 ? .full : .default,
                columns: names.enumerated().map { index, name in
                    ChangeModel.Column(name: name, typeOID: 23, isKey: index < key || key == 0)
                }
            ),
            isPartitioned: false,
            storage: []
        )
        return ComparedTable(
            source: source,
            target: TargetTable(
                schema: "public",
                name: "t",
                isPartitioned: false,
                columns: [:],
                storage: []
            ),
            columns: names.enumerated().map { index, name in
                Column(
                    name: name,
                    castTypes: ["integer", "integer"],
                    typeOIDs: [23, 23],
                    relationIndex: index
                )
            },
            key: Array(0..<key),
            rendering: Rendering(hash: .extended, floatsDiffer: false)
        )
    }
}

extension ChangeBatch {
    /// Appends cells of numbers; nil is an unchanged value.
    ///
    /// Returns the first cell's index.
    private mutating func cells(_ values: [Int?]) -> UInt32 {
        let first = UInt32(cells.count)
        for value in values {
            guard let value else {
                cells.append(.unchanged)
                continue
            }
            let text = Array(String(value).utf8)
            cells.append(Cell(offset: UInt32(bytes.count), length: Int32(text.count)))
            bytes += text
        }
        return first
    }

    /// Appends a change; `old` is a whole old row under FULL, a key otherwise.
    mutating func add(
        _ kind: ChangeKind,
        new: [Int?] = [],
        old: [Int?]? = nil,
        _ oldKind: OldTuple = .none,
        of table: ComparedTable
    ) {
        if relations.isEmpty {
            let relation = table.source.relation
            relations.append(
                RelationVersion(
                    relation: relation,
                    types: relation.columns.map { _ in .integer },
                    version: 1
                )
            )
        }
        let newCells = cells(new)
        let oldCells = old.map { cells($0) } ?? 0
        changes.append(
            Change(
                kind: kind,
                old: oldKind,
                relation: 0,
                transaction: 0,
                newCells: newCells,
                oldCells: oldCells,
                lsn: .zero,
                ordinal: 1,
                relationOrdinal: 1
            )
        )
    }

    mutating func insert(_ values: [Int?], into table: ComparedTable) {
        add(.insert, new: values, of: table)
    }
}
