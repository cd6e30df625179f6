// SPDX-License-Identifier: Apache-2.0
//
// What a run of changes comes to of a table without a key, under REPLICA IDENTITY FULL: of which
// images of whole rows there are fewer, of which more. Equal rows are interchangeable, so order
// does not matter: an insert is one more, a delete one less, an update both.
//
// Images are the same where all their bytes are: whoever removes rows must compare the text of
// values, not the values (1.0 and 1.00 are equal, and two images).

import ChangeModel

/// The net changes of a table without a key, as a multiset of images of rows.
struct NetRows: Sendable {
    /// An image, and how many rows of it.
    struct Copies: Sendable, Equatable {
        /// The image.
        var row: NetRow
        /// At least 1.
        var count: Int
    }

    /// Images of which there are fewer than before.
    private(set) var removals: [Copies] = []
    /// Images of which there are more than before, in the order in which they were first seen.
    private(set) var additions: [Copies] = []

    private struct Entry {
        var row: NetRow
        /// How many rows more, or less.
        var balance: Int32
    }

    private var columnCount = 0
    private var index = RowIndex()
    private var entries: [Entry] = []
    private var merged: [Cell] = []
    private let secrets = HashSecrets()

    /// Nothing folded yet, for no table: see `reset`.
    init() {}

    /// How many images were seen since the last reset: the measure of the memory in use.
    var imageCount: Int { entries.count }

    /// Whether nothing was folded since the last reset.
    var isEmpty: Bool { entries.isEmpty }

    /// Forgets everything, keeps the memory.
    mutating func reset(columnCount: Int) {
        self.columnCount = columnCount
        index.removeAll()
        entries.removeAll(keepingCapacity: true)
        merged.removeAll(keepingCapacity: true)
        removals.removeAll(keepingCapacity: true)
        additions.removeAll(keepingCapacity: true)
    }

    /// Takes the table's next change; all changes since a reset are of one batch.
    ///
    /// Returns false, and has then changed nothing, where an image was not sent whole.
    @inline(__always)
    mutating func fold(_ batch: borrowing ChangeBatch, change index: Int) -> Bool {
        let change = batch.changes[index]
        let place = UInt32(truncatingIfNeeded: index)
        return batch.bytes.withUnsafeBytes { bytes in
            batch.cells.withUnsafeBufferPointer { cells in
                guard let batch = RowBytes(bytes: bytes, cells: cells, secrets: secrets)
                else { return false }
                return fold(change, place, batch)
            }
        }
    }

    /// A cell of a row that was given out.
    @inline(__always)
    func cell(_ row: NetRow, _ column: Int, in batch: borrowing ChangeBatch) -> Cell {
        let place = Int(row.firstCell) + column
        return row.isMerged ? merged[place] : batch.cells[place]
    }

    /// Fills `removals` and `additions` from what was folded.
    mutating func finish() {
        removals.removeAll(keepingCapacity: true)
        additions.removeAll(keepingCapacity: true)
        for entry in entries where entry.balance != 0 {
            let copies = Copies(row: entry.row, count: Int(entry.balance.magnitude))
            if entry.balance < 0 { removals.append(copies) } else { additions.append(copies) }
        }
    }

    private mutating func fold(_ change: Change, _ place: UInt32, _ batch: RowBytes) -> Bool {
        switch change.kind {
        case .insert, .read:
            let new = batch.tuple(change.newCells)
            let tuple = FilledTuple(new, old: new)
            guard let hash = hash(tuple, batch) else { return false }
            count(1, tuple, hash, NetRow(firstCell: change.newCells, change: place), batch)
        case .update:
            guard change.old == .full else { return false }
            let old = batch.tuple(change.oldCells)
            let former = FilledTuple(old, old: old)
            let tuple = FilledTuple(batch.tuple(change.newCells), old: old)
            guard let formerHash = hash(former, batch), let hash = hash(tuple, batch)
            else { return false }
            let isMerged = tuple.isPartial(columnCount: columnCount)
            count(-1, former, formerHash, NetRow(firstCell: change.oldCells, change: place), batch)
            count(
                1,
                tuple,
                hash,
                NetRow(firstCell: change.newCells, change: place, isMerged: isMerged),
                batch
            )
        case .delete:
            guard change.old == .full else { return false }
            let old = batch.tuple(change.oldCells)
            let tuple = FilledTuple(old, old: old)
            guard let hash = hash(tuple, batch) else { return false }
            count(-1, tuple, hash, NetRow(firstCell: change.oldCells, change: place), batch)
        case .truncate:
            return false
        }
        return true
    }

    /// The hash of an image; `nil` where a cell of it was not sent.
    @inline(__always)
    private func hash(_ tuple: FilledTuple, _ batch: RowBytes) -> UInt64? {
        var hash = secrets.seed
        for column in 0..<columnCount {
            let cell = tuple[column]
            guard cell.length >= Cell.null.length else { return nil }
            hash = batch.hash(cell, after: hash)
        }
        return hash
    }

    /// Counts an image; a row that is merged gets cells of its own where the image is new.
    @inline(__always)
    private mutating func count(
        _ difference: Int32,
        _ tuple: FilledTuple,
        _ hash: UInt64,
        _ row: NetRow,
        _ batch: RowBytes
    ) {
        let entry = find(tuple, hash, batch)
        guard entry < 0 else {
            entries[entry].balance += difference
            entries[entry].row.change = row.change
            return
        }
        var row = row
        if row.isMerged {
            row.firstCell = UInt32(truncatingIfNeeded: merged.count)
            for column in 0..<columnCount { merged.append(tuple[column]) }
        }
        _ = index.append(hash)
        entries.append(Entry(row: row, balance: difference))
    }

    /// The entry of an image, or -1.
    @inline(__always)
    private func find(_ tuple: FilledTuple, _ hash: UInt64, _ batch: RowBytes) -> Int {
        index.find(hash) { entry in
            let row = entries[entry].row
            for column in 0..<columnCount {
                let place = Int(row.firstCell) + column
                let cell = row.isMerged ? merged[place] : batch.tuple(row.firstCell)[column]
                guard batch.areSame(cell, tuple[column]) else { return false }
            }
            return true
        }
    }
}
