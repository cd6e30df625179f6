// SPDX-License-Identifier: Apache-2.0
//
// For a sink that commits by transactions of its own: what belongs to the source transaction that
// goes on has to wait until the commit is over, and the batch does not wait.

extension ChangeBatch {
    /// Becomes a copy of the changes of `batch` from `start` on, with the memory that it has.
    ///
    /// They are of one transaction that has not ended: the copy has no checkpoint and nothing of
    /// it counts as committed.
    public mutating func replace(withTailOf batch: borrowing ChangeBatch, from start: Int) {
        removeAll()
        guard start < batch.changes.count else { return }
        relations = batch.relations
        transactions = batch.transactions
        for var change in batch.changes[start...] {
            let columns = batch.relations[Int(change.relation)].relation.columns.count
            if change.old != .none { change.oldCells = copy(change.oldCells, columns, of: batch) }
            if change.kind != .delete, change.kind != .truncate {
                change.newCells = copy(change.newCells, columns, of: batch)
            }
            changes.append(change)
        }
    }

    /// Copies the cells of a tuple and their values; returns where the copies stand.
    private mutating func copy(
        _ first: UInt32,
        _ count: Int,
        of batch: borrowing ChangeBatch
    ) -> UInt32 {
        let place = UInt32(cells.count)
        for index in Int(first)..<(Int(first) + count) {
            var cell = batch.cells[index]
            if cell.isValue {
                let start = Int(cell.offset)
                cell.offset = UInt32(bytes.count)
                bytes.append(contentsOf: batch.bytes[start..<(start + Int(cell.length))])
            }
            cells.append(cell)
        }
        return place
    }
}
