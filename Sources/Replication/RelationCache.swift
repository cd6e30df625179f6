// SPDX-License-Identifier: Apache-2.0
//
// The relations of one stream: what the server said last, with types resolved. A row costs one
// comparison of OIDs in the common case, a dictionary look-up otherwise.

import ChangeModel
import Synchronization

/// Gives relation versions numbers that are never used again in this process.
public enum RelationVersions {
    private static let last = Atomic<UInt64>(0)

    /// The next number, from 1.
    public static func next() -> UInt64 {
        last.add(1, ordering: .relaxed).newValue
    }
}

struct RelationCache {
    /// What the stream knows of one relation.
    struct Entry {
        /// `nil` for a relation that is published but not taken.
        var version: RelationVersion?
        /// Where the version stands in the batch that is being filled; -1 where it does not.
        var batchIndex: Int32 = -1
        /// The changes of the relation in the transaction that `transaction` numbers.
        var transactionChanges: UInt64 = 0
        var transaction: UInt64 = 0
        var columnCount = 0
        /// Whether not all of the table is copied, so that each change is to be looked at.
        var isFiltered = false
    }

    private(set) var entries: [Entry] = []
    private var indices: [UInt32: Int] = [:]
    private var lastOID: UInt32 = 0
    private var lastIndex = -1

    /// The entry of a relation; `nil` where the server has not described it.
    @inline(__always)
    mutating func index(of oid: UInt32) -> Int? {
        if oid == lastOID, lastIndex >= 0 { return lastIndex }
        guard let index = indices[oid] else { return nil }
        lastOID = oid
        lastIndex = index
        return index
    }

    /// Takes a description of a relation.
    ///
    /// The server repeats itself whenever its own caches were emptied, be it by a VACUUM: the same
    /// description stays the same version, for which all that a sink has prepared goes on to hold.
    mutating func describe(_ relation: Relation, _ types: [ValueType]) {
        if let known = indices[relation.oid].flatMap({ entries[$0].version }),
            known.relation == relation, known.types == types
        {
            return
        }
        let version = RelationVersion(
            relation: relation,
            types: types,
            version: RelationVersions.next()
        )
        set(version, of: relation.oid)
    }

    /// Puts what the server said in the place of what it said before.
    mutating func set(_ version: RelationVersion?, of oid: UInt32) {
        let columnCount = version?.relation.columns.count ?? 0
        if let index = indices[oid] {
            entries[index].version = version
            entries[index].batchIndex = -1
            entries[index].columnCount = columnCount
        } else {
            indices[oid] = entries.count
            entries.append(Entry(version: version, columnCount: columnCount))
        }
    }

    /// Says whether the changes of a relation are to be looked at one by one.
    mutating func setFiltered(_ isFiltered: Bool, of oid: UInt32) {
        if let index = indices[oid] { entries[index].isFiltered = isFiltered }
    }

    /// Puts a relation into the batch, if it is not there yet, and returns its place.
    @inline(__always)
    mutating func place(_ index: Int, in batch: inout ChangeBatch) -> Int32 {
        let known = entries[index].batchIndex
        if known >= 0 { return known }
        guard let version = entries[index].version else { return -1 }
        let place = Int32(truncatingIfNeeded: batch.relations.count)
        batch.relations.append(version)
        entries[index].batchIndex = place
        return place
    }

    /// Counts a change of the relation in a transaction, from 1.
    ///
    /// `transaction` only has to differ from the numbers before; so a new transaction costs
    /// nothing however many relations there are.
    @inline(__always)
    mutating func nextOrdinal(_ index: Int, in transaction: UInt64) -> UInt64 {
        if entries[index].transaction != transaction {
            entries[index].transaction = transaction
            entries[index].transactionChanges = 0
        }
        entries[index].transactionChanges &+= 1
        return entries[index].transactionChanges
    }

    /// A new batch refers to nothing yet.
    mutating func beginBatch() {
        for index in entries.indices { entries[index].batchIndex = -1 }
    }
}
