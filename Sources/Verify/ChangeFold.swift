// SPDX-License-Identifier: Apache-2.0
//
// The changes between the source's snapshot and the target's position, folded to one state a key.
// Few, since the two lie close together; bounded all the same. Values stay texts as the stream
// gave them; a value that no change has sent (unchanged TOAST) is the snapshot's, of the row that
// had the key `base` there.

import ChangeModel
import Replication

/// A row's values in one array: a kind a column, and length and bytes where there are any.
struct PackedRow: Sendable, Hashable {
    private static let null: UInt8 = 0
    private static let unchanged: UInt8 = 1
    private static let value: UInt8 = 2

    private(set) var bytes: [UInt8] = []

    /// One column's value.
    enum Value: Equatable {
        case null
        case unchanged
        case text(ArraySlice<UInt8>)
    }

    mutating func append(_ value: Value) {
        switch value {
        case .null: bytes.append(Self.null)
        case .unchanged: bytes.append(Self.unchanged)
        case .text(let text):
            bytes.append(Self.value)
            let length = UInt32(truncatingIfNeeded: text.count)
            for shift in [24, 16, 8, 0] as [UInt32] {
                bytes.append(UInt8(truncatingIfNeeded: length >> shift))
            }
            bytes += text
        }
    }

    /// The values in their order.
    var values: [Value] {
        var values: [Value] = []
        var index = 0
        while index < bytes.count {
            let kind = bytes[index]
            index += 1
            guard kind == Self.value, index + 4 <= bytes.count else {
                values.append(kind == Self.null ? .null : .unchanged)
                continue
            }
            let length = bytes[index..<(index + 4)].reduce(0) { $0 << 8 | Int($1) }
            index += 4
            values.append(.text(bytes[index..<min(bytes.count, index + length)]))
            index += length
        }
        return values
    }
}

extension PackedRow.Value {
    /// The text; nil for NULL and for what was not sent.
    var string: String? {
        if case .text(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { nil }
    }
}

/// The folded changes of one table.
struct FoldedTable: Sendable {
    /// What became of a key.
    struct State: Sendable {
        /// The row's values; nil where it is gone.
        var row: PackedRow?
        /// The key under which the snapshot has the values that were never sent.
        var base: PackedRow
    }

    /// Indexes of the key's columns in the relation; empty for a table without key.
    let key: [Int]
    var states: [PackedRow: State] = [:]
    /// Rows of a table without key, by image: how many more, or fewer, there are.
    var images: [PackedRow: Int] = [:]

    var isEmpty: Bool { states.isEmpty && images.isEmpty }
}

/// Folds the changes of all compared tables.
struct ChangeFold: Sendable {
    /// What bounds the memory.
    struct Limits: Sendable {
        var changes = 200_000
        var bytes = 20 << 20
    }

    private(set) var tables: [UInt32: FoldedTable]
    /// How many changes were folded.
    private(set) var changeCount = 0
    private var byteCount = 0
    private let limits: Limits
    private let columnCounts: [UInt32: Int]
    /// What a key costs beside its bytes: two dictionary entries and array headers.
    private static let entryCost = 160

    /// Folds changes of these tables and leaves others out.
    init(_ tables: [ComparedTable], limits: Limits = Limits()) {
        self.limits = limits
        var folded: [UInt32: FoldedTable] = [:]
        var columnCounts: [UInt32: Int] = [:]
        for table in tables {
            let oid = table.source.relation.oid
            let key = table.key.map { table.columns[$0].relationIndex }
            folded[oid] = FoldedTable(key: key)
            columnCounts[oid] = table.source.relation.columns.count
        }
        self.tables = folded
        self.columnCounts = columnCounts
    }

    /// Takes the changes of a batch, in their order.
    ///
    /// Throws `WalrelayError`, transient: where another point of comparison helps.
    mutating func take(_ batch: borrowing ChangeBatch) throws(WalrelayError) {
        for index in batch.changes.indices {
            let change = batch.changes[index]
            let relation = batch.relations[Int(change.relation)].relation
            guard let table = tables[relation.oid] else { continue }
            guard change.kind != .truncate, relation.columns.count == columnCounts[relation.oid]
            else { throw Self.changed(relation) }
            changeCount += 1
            if table.key.isEmpty {
                try foldImages(change, relation, in: batch)
            } else {
                try foldStates(change, relation, in: batch)
            }
            guard changeCount <= limits.changes, byteCount <= limits.bytes else {
                throw tooMany()
            }
        }
    }

    private mutating func foldStates(
        _ change: Change,
        _ relation: Relation,
        in batch: borrowing ChangeBatch
    ) throws(WalrelayError) {
        guard let key = tables[relation.oid]?.key else { return }
        let hasOld = change.old != .none
        let oldKey = try Self.key(
            key,
            firstCell: Int(hasOld ? change.oldCells : change.newCells),
            relation,
            in: batch
        )
        if change.kind == .delete {
            set(FoldedTable.State(row: nil, base: oldKey), at: oldKey, of: relation.oid)
            return
        }
        let prior = change.kind == .update ? tables[relation.oid]?.states[oldKey] : nil
        let priorValues = prior?.row?.values
        var row = PackedRow()
        for column in relation.columns.indices {
            var value = Self.value(batch.cells[Int(change.newCells) + column], in: batch)
            if value == .unchanged, change.old == .full {
                value = Self.value(batch.cells[Int(change.oldCells) + column], in: batch)
            }
            if value == .unchanged, let priorValues { value = priorValues[column] }
            row.append(value)
        }
        let values = row.values
        var newKey = PackedRow()
        for column in key {
            guard case .text = values[column] else { throw Self.withoutKey(relation) }
            newKey.append(values[column])
        }
        if change.kind == .update, newKey != oldKey {
            set(FoldedTable.State(row: nil, base: oldKey), at: oldKey, of: relation.oid)
        }
        let base = prior?.row == nil ? oldKey : prior?.base ?? oldKey
        set(FoldedTable.State(row: row, base: base), at: newKey, of: relation.oid)
    }

    private mutating func set(_ state: FoldedTable.State, at key: PackedRow, of oid: UInt32) {
        let former = tables[oid]?.states.updateValue(state, forKey: key)
        byteCount += state.row?.bytes.count ?? 0
        byteCount -= former?.row?.bytes.count ?? 0
        if former == nil { byteCount += 2 * key.bytes.count + Self.entryCost }
    }

    private mutating func foldImages(
        _ change: Change,
        _ relation: Relation,
        in batch: borrowing ChangeBatch
    ) throws(WalrelayError) {
        if change.kind != .insert {
            guard change.old == .full else { throw Self.withoutKey(relation) }
            count(-1, Self.image(Int(change.oldCells), or: nil, relation, batch), relation.oid)
        }
        if change.kind != .delete {
            let old = change.old == .full ? Int(change.oldCells) : nil
            count(1, Self.image(Int(change.newCells), or: old, relation, batch), relation.oid)
        }
    }

    private mutating func count(_ number: Int, _ image: PackedRow, _ oid: UInt32) {
        let former = tables[oid]?.images[image]
        let count = (former ?? 0) + number
        tables[oid]?.images[image] = count == 0 ? nil : count
        let cost = image.bytes.count + Self.entryCost
        if former == nil { byteCount += cost }
        if former != nil, count == 0 { byteCount -= cost }
    }

    // MARK: Cells

    private static func image(
        _ first: Int,
        or old: Int?,
        _ relation: Relation,
        _ batch: borrowing ChangeBatch
    ) -> PackedRow {
        var row = PackedRow()
        for column in relation.columns.indices {
            var value = value(batch.cells[first + column], in: batch)
            if value == .unchanged, let old {
                value = Self.value(batch.cells[old + column], in: batch)
            }
            row.append(value)
        }
        return row
    }

    private static func key(
        _ columns: [Int],
        firstCell: Int,
        _ relation: Relation,
        in batch: borrowing ChangeBatch
    ) throws(WalrelayError) -> PackedRow {
        var key = PackedRow()
        for column in columns {
            let value = value(batch.cells[firstCell + column], in: batch)
            guard case .text = value else { throw withoutKey(relation) }
            key.append(value)
        }
        return key
    }

    private static func value(_ cell: Cell, in batch: borrowing ChangeBatch) -> PackedRow.Value {
        if cell == .null { return .null }
        guard cell.isValue else { return .unchanged }
        let start = Int(cell.offset)
        return .text(batch.bytes[start..<(start + Int(cell.length))])
    }

    // MARK: Errors

    private func tooMany() -> WalrelayError {
        WalrelayError(
            "verify.too_many_changes",
            exit: .unreachable,
            "Between the source's snapshot and the target's position lie too many changes to keep "
                + "(\(changeCount) so far, \(byteCount >> 20) MiB of the \(limits.bytes >> 20) MiB "
                + "that are set aside)",
            hint: "run verify again at a quieter time, or for fewer tables; a smaller batch.bytes "
                + "brings the two closer together",
            isTransient: true
        )
    }

    private static func changed(_ relation: Relation) -> WalrelayError {
        WalrelayError(
            "verify.table_changed",
            exit: .unreachable,
            "\(relation.qualifiedName) was truncated or altered while the comparison began",
            hint: "run verify again",
            isTransient: true
        )
    }

    private static func withoutKey(_ relation: Relation) -> WalrelayError {
        WalrelayError(
            "verify.key_not_sent",
            exit: .unreachable,
            "A change of \(relation.qualifiedName) came without the whole key of its row",
            hint: "run verify again at a quieter time",
            isTransient: true
        )
    }
}
