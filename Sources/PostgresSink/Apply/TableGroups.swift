// SPDX-License-Identifier: Apache-2.0
//
// Which changes of a batch may be applied together, and to which table each of them goes. A run
// ends at a TRUNCATE and where a table gets another version; within a run the changes of a table
// keep their order, and the tables that in which they first appear.

import ChangeModel

/// A run of changes that are applied together.
enum ChangeRun: Equatable {
    /// Rows of tables that do not change their shape.
    case rows(Range<Int>)
    /// The tables of one TRUNCATE.
    case truncate(Range<Int>)

    /// The first run of a range that is not empty.
    init(_ batch: ChangeBatch, in range: Range<Int>) {
        let first = batch.changes[range.lowerBound]
        var end = range.lowerBound + 1
        if first.kind == .truncate {
            while end < range.upperBound {
                let next = batch.changes[end]
                guard next.kind == .truncate, next.lsn == first.lsn,
                    next.transaction == first.transaction
                else { break }
                end += 1
            }
            self = .truncate(range.lowerBound..<end)
            return
        }
        var known = [first.relation]
        var latest = first.relation
        while end < range.upperBound {
            let next = batch.changes[end]
            guard next.kind != .truncate else { break }
            if next.relation != latest {
                latest = next.relation
                if !known.contains(latest) {
                    guard !Self.isNewVersion(latest, of: known, batch) else { break }
                    known.append(latest)
                }
            }
            end += 1
        }
        self = .rows(range.lowerBound..<end)
    }

    private static func isNewVersion(
        _ relation: Int32,
        of known: [Int32],
        _ batch: ChangeBatch
    ) -> Bool {
        let new = batch.relations[Int(relation)]
        return known.contains { index in
            let other = batch.relations[Int(index)]
            return other.relation.oid == new.relation.oid && other.version != new.version
        }
    }
}

/// The changes of a range by table; keeps its memory from use to use.
struct TableGroups {
    /// The changes of one table.
    struct Group: Equatable {
        /// Index into the batch's relations.
        var relation: Int
        /// Where the changes stand in `order`.
        var places: Range<Int>
        /// Whether there are only new rows.
        var hasOnlyInserts: Bool
    }

    /// The tables in the order in which they first appear.
    private(set) var groups: [Group] = []
    /// Indexes of changes, table after table.
    private(set) var order: [UInt32] = []
    private var groupOfRelation: [Int32] = []
    private var counts: [Int] = []

    /// Sorts a range of a batch by table.
    mutating func sort(_ batch: ChangeBatch, _ range: Range<Int>) {
        groups.removeAll(keepingCapacity: true)
        counts.removeAll(keepingCapacity: true)
        groupOfRelation.removeAll(keepingCapacity: true)
        for _ in batch.relations { groupOfRelation.append(-1) }
        for index in range {
            let change = batch.changes[index]
            let relation = Int(change.relation)
            if groupOfRelation[relation] < 0 { begin(relation, batch) }
            let group = Int(groupOfRelation[relation])
            counts[group] += 1
            if change.kind != .insert && change.kind != .read {
                groups[group].hasOnlyInserts = false
            }
        }
        place(batch, range)
    }

    private mutating func begin(_ relation: Int, _ batch: ChangeBatch) {
        let version = batch.relations[relation].version
        let known = groups.firstIndex { batch.relations[$0.relation].version == version }
        groupOfRelation[relation] = Int32(known ?? groups.count)
        guard known == nil else { return }
        groups.append(Group(relation: relation, places: 0..<0, hasOnlyInserts: true))
        counts.append(0)
    }

    private mutating func place(_ batch: ChangeBatch, _ range: Range<Int>) {
        var next = 0
        for group in groups.indices {
            groups[group].places = next..<(next + counts[group])
            // From here on the place of the group's next change.
            (counts[group], next) = (next, next + counts[group])
        }
        order.removeAll(keepingCapacity: true)
        for _ in range { order.append(0) }
        for index in range {
            let group = Int(groupOfRelation[Int(batch.changes[index].relation)])
            order[counts[group]] = UInt32(truncatingIfNeeded: index)
            counts[group] += 1
        }
    }
}
