// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Testing

@testable import PostgresSink

struct TableGroupsTests {
    /// A table of one column; a batch knows it by its place in the list of tables.
    private static func table(oid: UInt32, version: UInt64) -> TargetTable {
        let column = Column(name: "id", typeOID: 23, isKey: true)
        let relation = Relation(
            oid: oid,
            schema: "s",
            name: "t\(oid)",
            replicaIdentity: .default,
            columns: [column]
        )
        return TargetTable(
            relation: RelationVersion(relation: relation, types: [.integer], version: version),
            schema: "s",
            name: "t\(oid)",
            columns: [
                TargetTable.Column(name: "id", castType: "integer", typeOID: 23, isKey: true)
            ],
            key: [0]
        )
    }

    /// The runs of a batch from `first` on, as ranges; a TRUNCATE's is negative.
    private static func runs(_ batch: ChangeBatch, from first: Int = 0) -> [String] {
        var runs: [String] = []
        var rest = first..<batch.changes.count
        while !rest.isEmpty {
            switch ChangeRun(batch, in: rest) {
            case .rows(let run):
                runs.append("rows \(run)")
                rest = run.upperBound..<rest.upperBound
            case .truncate(let run):
                runs.append("truncate \(run)")
                rest = run.upperBound..<rest.upperBound
            }
        }
        return runs
    }

    @Test func `a run ends at a TRUNCATE and where a table changes its shape`() {
        var history = History(
            Self.table(oid: 1, version: 1),
            Self.table(oid: 2, version: 2),
            Self.table(oid: 1, version: 3)
        )
        history.insert(["1"])
        history.insert(["1"], into: 1)
        history.truncate(0, 1)
        history.truncate(1)
        history.insert(["2"])
        history.insert(["2"], into: 1)
        history.insert(["3"], into: 2)
        history.insert(["3"], into: 1)
        history.insert(["4"], into: 2)
        history.insert(["5"])
        #expect(
            Self.runs(history.batch) == [
                "rows 0..<2", "truncate 2..<4", "truncate 4..<5", "rows 5..<7", "rows 7..<10",
                "rows 10..<11",
            ]
        )
        #expect(Self.runs(history.batch, from: 8) == ["rows 8..<10", "rows 10..<11"])
    }

    @Test func `tables keep the order of their changes, a version that is named twice is one`() {
        var history = History(
            Self.table(oid: 1, version: 1),
            Self.table(oid: 2, version: 2),
            Self.table(oid: 1, version: 1)
        )
        history.insert(["1"], into: 1)
        history.insert(["1"], into: 2)
        history.insert(["2"], into: 1, kind: .read)
        history.update(["1"], in: 0)
        history.insert(["3"], into: 1)
        var groups = TableGroups()
        groups.sort(history.batch, 0..<5)
        #expect(
            groups.groups == [
                TableGroups.Group(relation: 1, places: 0..<3, hasOnlyInserts: true),
                TableGroups.Group(relation: 2, places: 3..<5, hasOnlyInserts: false),
            ]
        )
        #expect(groups.order == [0, 2, 4, 1, 3])
        groups.sort(history.batch, 3..<4)
        #expect(
            groups.groups == [
                TableGroups.Group(relation: 0, places: 0..<1, hasOnlyInserts: false)
            ]
        )
        #expect(groups.order == [3])
    }
}
