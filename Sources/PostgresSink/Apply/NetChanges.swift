// SPDX-License-Identifier: Apache-2.0
//
// What a run of changes of one table with a key comes to: rows to delete, to update, to insert,
// each key at most once. Applied set-wise in this order they leave what the changes one by one do.
//
//   was there, is there     before the run, after it: all that is known of a key
//   no  · yes   insert      first seen by an insert, or as the new key of a moved row
//   yes · yes   update      with the columns that nobody sent left as they are on the target
//   yes · no    delete
//   no  · no    nothing
//
// docs/decisions has why rows go by the bytes of their keys, whatever the types' equality is.

import ChangeModel

/// The net changes of a table with a key.
///
/// Takes only what a table with a unique key can do. A change that contradicts what was folded, or
/// whose row cannot be told from the batch alone, is not taken: the caller applies what is folded,
/// then that change by itself.
struct NetChanges: Sendable {
    /// Updates that leave the same columns unchanged: one statement.
    struct UpdateGroup: Sendable, Equatable {
        /// The columns that stay as they are on the target.
        var unchanged: ColumnMask
        /// Where the rows stand in `updates`.
        var rows: Range<Int>
    }

    /// How many sets of unchanged columns are kept apart; a statement each.
    static let maskLimit = 64

    /// Rows that were not there before, in the order in which their keys were first seen.
    private(set) var inserts: [NetRow] = []
    /// Rows that were there and still are, by group.
    private(set) var updates: [NetRow] = []
    /// `updates` by the columns that they leave unchanged, without empty groups.
    private(set) var updateGroups: [UpdateGroup] = []
    /// Keys of rows that were there and are not any more; only the key's cells are of use.
    private(set) var deletes: [NetRow] = []

    private struct Entry {
        var row: NetRow
        var wasThere: Bool
        var isThere: Bool
    }

    private var columnCount = 0
    private var key: [Int] = []
    private var index = RowIndex()
    private var entries: [Entry] = []
    private var merged: [Cell] = []
    /// `wordsPerMask` words a mask; the first mask is empty.
    private var masks: [UInt64] = []
    private var wordsPerMask = 1
    private let secrets = HashSecrets()

    /// Nothing folded yet, for no table: see `reset`.
    init() {}

    /// How many keys were seen since the last reset: the measure of the memory in use.
    var keyCount: Int { entries.count }

    /// Whether nothing was folded since the last reset.
    var isEmpty: Bool { entries.isEmpty }

    /// Forgets everything, keeps the memory.
    ///
    /// `key` has the indexes of the columns that identify a row, at least one, and unique at any
    /// time: a deferrable constraint is not.
    mutating func reset(columnCount: Int, key: [Int]) {
        precondition(!key.isEmpty && key.allSatisfy { 0..<columnCount ~= $0 }, "a key of columns")
        self.columnCount = columnCount
        self.key = key
        index.removeAll()
        entries.removeAll(keepingCapacity: true)
        merged.removeAll(keepingCapacity: true)
        wordsPerMask = (columnCount + 63) >> 6
        masks.removeAll(keepingCapacity: true)
        for _ in 0..<wordsPerMask { masks.append(0) }
        inserts.removeAll(keepingCapacity: true)
        updates.removeAll(keepingCapacity: true)
        updateGroups.removeAll(keepingCapacity: true)
        deletes.removeAll(keepingCapacity: true)
    }

    /// Takes the table's next change; all changes since a reset are of one batch.
    ///
    /// Returns false, and has then changed nothing, where the change must be applied by itself:
    /// a moved row whose unchanged columns nobody sent, a key that was not sent or is NULL, and
    /// what no table with a unique key can do after the changes before.
    @inline(__always)
    mutating func fold(_ batch: borrowing ChangeBatch, change index: Int) -> Bool {
        let change = batch.changes[index]
        let place = UInt32(truncatingIfNeeded: index)
        return batch.bytes.withUnsafeBytes { bytes in
            batch.cells.withUnsafeBufferPointer { cells in
                guard let batch = RowBytes(bytes: bytes, cells: cells, secrets: secrets)
                else { return false }
                switch change.kind {
                case .insert, .read: return insert(change, place, batch)
                case .update: return update(change, place, batch)
                case .delete: return delete(change, place, batch)
                case .truncate: return false
                }
            }
        }
    }

    /// A cell of a row that was given out.
    @inline(__always)
    func cell(_ row: NetRow, _ column: Int, in batch: borrowing ChangeBatch) -> Cell {
        let place = Int(row.firstCell) + column
        return row.isMerged ? merged[place] : batch.cells[place]
    }

    // MARK: The rules

    private mutating func insert(_ change: Change, _ place: UInt32, _ batch: RowBytes) -> Bool {
        let new = batch.tuple(change.newCells)
        let tuple = FilledTuple(new, old: new)
        guard let hash = hash(tuple, batch), !tuple.isPartial(columnCount: columnCount)
        else { return false }
        let entry = find(tuple, hash, batch)
        guard entry < 0 || !entries[entry].isThere else { return false }
        let row = NetRow(firstCell: change.newCells, change: place)
        setThere(entry, hash, row, wasThere: false)
        return true
    }

    private mutating func delete(_ change: Change, _ place: UInt32, _ batch: RowBytes) -> Bool {
        guard change.old != .none else { return false }
        let old = batch.tuple(change.oldCells)
        let tuple = FilledTuple(old, old: old)
        guard let hash = hash(tuple, batch) else { return false }
        let entry = find(tuple, hash, batch)
        guard entry < 0 || isPresent(entry, change, batch) else { return false }
        setGone(entry, hash, NetRow(firstCell: change.oldCells, change: place))
        return true
    }

    private mutating func update(_ change: Change, _ place: UInt32, _ batch: RowBytes) -> Bool {
        let new = batch.tuple(change.newCells)
        let old = change.old == .none ? new : batch.tuple(change.oldCells)
        let former = FilledTuple(old, old: old)
        let tuple = FilledTuple(new, old: old)
        guard let hash = hash(former, batch) else { return false }
        let entry = find(former, hash, batch)
        guard entry < 0 || isPresent(entry, change, batch) else { return false }
        if change.old != .none, !isSameKey(former, tuple, batch) {
            return move(change, place, from: (entry, hash), to: tuple, batch)
        }
        guard let row = row(tuple, over: entry, change, place, batch, isWhole: false)
        else { return false }
        setThere(entry, hash, row, wasThere: true)
        return true
    }

    /// An update that gives a row another key: the old key goes, the row stands at the new one.
    private mutating func move(
        _ change: Change,
        _ place: UInt32,
        from former: (entry: Int, hash: UInt64),
        to tuple: FilledTuple,
        _ batch: RowBytes
    ) -> Bool {
        guard let hash = hash(tuple, batch) else { return false }
        let entry = find(tuple, hash, batch)
        guard entry < 0 || !entries[entry].isThere,
            let row = row(tuple, over: former.entry, change, place, batch, isWhole: true)
        else { return false }
        setGone(former.entry, former.hash, NetRow(firstCell: change.oldCells, change: place))
        setThere(entry, hash, row, wasThere: false)
        return true
    }

    // MARK: Entries

    /// The hash of a tuple's key; `nil` where a part of it is NULL or was not sent.
    @inline(__always)
    private func hash(_ tuple: FilledTuple, _ batch: RowBytes) -> UInt64? {
        var hash = secrets.seed
        for part in 0..<key.count {
            let cell = tuple[key[part]]
            guard cell.isValue else { return nil }
            hash = batch.hash(cell, after: hash)
        }
        return hash
    }

    @inline(__always)
    private func isSameKey(_ one: FilledTuple, _ other: FilledTuple, _ batch: RowBytes) -> Bool {
        for part in 0..<key.count
        where !batch.areSame(one[key[part]], other[key[part]]) {
            return false
        }
        return true
    }

    /// The entry of a tuple's key, or -1.
    @inline(__always)
    private func find(_ tuple: FilledTuple, _ hash: UInt64, _ batch: RowBytes) -> Int {
        index.find(hash) { entry in
            let row = entries[entry].row
            for part in 0..<key.count
            where !batch.areSame(known(row, key[part], batch), tuple[key[part]]) {
                return false
            }
            return true
        }
    }

    @inline(__always)
    private func known(_ row: NetRow, _ column: Int, _ batch: RowBytes) -> Cell {
        row.isMerged
            ? merged[Int(row.firstCell) + column] : batch.tuple(row.firstCell)[column]
    }

    /// Whether the row is there as the change found it.
    ///
    /// Where the whole old row was sent it must be the one that is known. It always is, unless the
    /// source's key is not unique at all times; folding would then take one row for another.
    @inline(__always)
    private func isPresent(_ entry: Int, _ change: Change, _ batch: RowBytes) -> Bool {
        guard entries[entry].isThere else { return false }
        guard change.old == .full else { return true }
        let old = batch.tuple(change.oldCells)
        for column in 0..<columnCount {
            let cell = known(entries[entry].row, column, batch)
            guard cell.isUnchanged || batch.areSame(cell, old[column]) else { return false }
        }
        return true
    }

    @inline(__always)
    private mutating func setThere(
        _ entry: Int,
        _ hash: UInt64,
        _ row: NetRow,
        wasThere: Bool
    ) {
        if entry < 0 {
            _ = index.append(hash)
            entries.append(Entry(row: row, wasThere: wasThere, isThere: true))
        } else {
            entries[entry].row = row
            entries[entry].isThere = true
        }
    }

    @inline(__always)
    private mutating func setGone(_ entry: Int, _ hash: UInt64, _ row: NetRow) {
        if entry < 0 {
            _ = index.append(hash)
            entries.append(Entry(row: row, wasThere: true, isThere: false))
        } else {
            entries[entry].row = row
            entries[entry].isThere = false
        }
    }

    // MARK: Rows of several changes

    /// The row that an update leaves: what it left out stays as the entry has it.
    ///
    /// `nil` where too many masks are in use, or where a cell is missing of a row that must be
    /// whole; nothing is changed then.
    @inline(__always)
    private mutating func row(
        _ tuple: FilledTuple,
        over entry: Int,
        _ change: Change,
        _ place: UInt32,
        _ batch: RowBytes,
        isWhole: Bool
    ) -> NetRow? {
        guard tuple.isPartial(columnCount: columnCount) else {
            return NetRow(firstCell: change.newCells, change: place)
        }
        return mergedRow(tuple, over: entry, change, place, batch, isWhole: isWhole)
    }

    @inline(never)
    private mutating func mergedRow(
        _ tuple: FilledTuple,
        over entry: Int,
        _ change: Change,
        _ place: UInt32,
        _ batch: RowBytes,
        isWhole: Bool
    ) -> NetRow? {
        let former = entry < 0 ? nil : entries[entry].row
        let candidate = masks.count
        for _ in 0..<wordsPerMask { masks.append(0) }
        var isFilled = false
        for column in 0..<columnCount where tuple.leavesOut(column) {
            let formerCell = former.map { known($0, column, batch) } ?? .unchanged
            if tuple[column].isUnchanged && formerCell.isUnchanged {
                masks[candidate + column >> 6] |= 1 << UInt64(column & 63)
            } else {
                isFilled = true
            }
        }
        guard let mask = settleMask(candidate), !isWhole || mask == 0 else { return nil }
        var row = NetRow(firstCell: change.newCells, change: place, mask: mask)
        guard isFilled else { return row }
        row.isMerged = true
        if let former, former.isMerged {
            // The entry's own cells: nobody else refers to them.
            row.firstCell = former.firstCell
        } else {
            row.firstCell = UInt32(truncatingIfNeeded: merged.count)
            for column in 0..<columnCount {
                merged.append(former.map { known($0, column, batch) } ?? .unchanged)
            }
        }
        for column in 0..<columnCount where !tuple[column].isUnchanged {
            merged[Int(row.firstCell) + column] = tuple[column]
        }
        return row
    }

    /// The number of the mask that was just appended, which goes again where it was there already.
    private mutating func settleMask(_ candidate: Int) -> UInt8? {
        var first = 0
        while first < candidate, !isSameMask(first, candidate) { first += wordsPerMask }
        let number = first / wordsPerMask
        if first < candidate || number >= Self.maskLimit { masks.removeLast(wordsPerMask) }
        return number < Self.maskLimit ? UInt8(number) : nil
    }

    private func isSameMask(_ one: Int, _ other: Int) -> Bool {
        for word in 0..<wordsPerMask where masks[one + word] != masks[other + word] {
            return false
        }
        return true
    }
}

// MARK: What it comes to

extension NetChanges {
    /// Fills `inserts`, `updates` and `deletes` from what was folded.
    mutating func finish() {
        inserts.removeAll(keepingCapacity: true)
        updates.removeAll(keepingCapacity: true)
        deletes.removeAll(keepingCapacity: true)
        updateGroups.removeAll(keepingCapacity: true)
        for entry in entries {
            switch (entry.wasThere, entry.isThere) {
            case (false, true): inserts.append(entry.row)
            case (true, true): updates.append(entry.row)
            case (true, false): deletes.append(entry.row)
            case (false, false): break
            }
        }
        groupUpdates()
    }

    private mutating func groupUpdates() {
        var first = 0
        for mask in 0..<(masks.count / wordsPerMask) where first < updates.count {
            // Each pass moves one mask's rows to the front of the rest; there are few masks.
            var end = first
            for place in first..<updates.count where updates[place].mask == UInt8(mask) {
                updates.swapAt(end, place)
                end += 1
            }
            guard end > first else { continue }
            let words = masks[(mask * wordsPerMask)..<((mask + 1) * wordsPerMask)]
            updateGroups.append(UpdateGroup(unchanged: ColumnMask(words: words), rows: first..<end))
            first = end
        }
    }
}
