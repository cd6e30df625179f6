// SPDX-License-Identifier: Apache-2.0
//
// Histories written by hand, and what they come to as text: columns apart by |, NULL is null,
// ~ a column that was left unchanged, - one that was not sent.

import ChangeModel

@testable import PostgresSink

/// What a column of a tuple holds.
enum Held: Equatable, ExpressibleByStringLiteral, ExpressibleByNilLiteral {
    case text(String)
    case null
    case unchanged
    case absent

    init(stringLiteral value: String) { self = .text(value) }

    init(nilLiteral: ()) { self = .null }

    init(_ value: String?) { self = value.map { .text($0) } ?? .null }
}

/// A batch of changes of one table.
struct FoldingBatch {
    private(set) var batch = ChangeBatch()

    init() {
        // A value that is not there must not be taken for the first one that is.
        batch.bytes = Array("arena".utf8)
    }

    mutating func insert(_ new: [Held], kind: ChangeKind = .insert) {
        add(kind, new: new, old: .none, [])
    }

    mutating func update(_ new: [Held], key: [Held]) { add(.update, new: new, old: .key, key) }

    mutating func update(_ new: [Held], full: [Held]) { add(.update, new: new, old: .full, full) }

    mutating func update(_ new: [Held]) { add(.update, new: new, old: .none, []) }

    mutating func delete(key: [Held]) { add(.delete, new: [], old: .key, key) }

    mutating func delete(full: [Held]) { add(.delete, new: [], old: .full, full) }

    mutating func delete() { add(.delete, new: [], old: .none, []) }

    mutating func truncate() { add(.truncate, new: [], old: .none, []) }

    private mutating func add(_ kind: ChangeKind, new: [Held], old: OldTuple, _ former: [Held]) {
        let oldCells = add(former)
        let newCells = add(new)
        batch.changes.append(
            Change(
                kind: kind,
                old: old,
                relation: 0,
                transaction: 0,
                newCells: newCells,
                oldCells: oldCells,
                lsn: LSN(UInt64(batch.changes.count)),
                ordinal: 1,
                relationOrdinal: 1
            )
        )
    }

    private mutating func add(_ tuple: [Held]) -> UInt32 {
        let first = UInt32(batch.cells.count)
        for held in tuple {
            switch held {
            case .text(let value):
                let offset = UInt32(batch.bytes.count)
                batch.cells.append(Cell(offset: offset, length: Int32(value.utf8.count)))
                batch.bytes += value.utf8
            case .null: batch.cells.append(.null)
            case .unchanged: batch.cells.append(.unchanged)
            case .absent: batch.cells.append(.absent)
            }
        }
        return first
    }

    /// Folds all changes; gives the indexes of those that were not taken.
    func fold(into net: inout NetChanges) -> [Int] {
        batch.changes.indices.filter { !net.fold(batch, change: $0) }
    }

    /// What a cell holds.
    func held(_ cell: Cell) -> Held {
        switch cell.length {
        case Cell.null.length: .null
        case Cell.unchanged.length: .unchanged
        case Cell.absent.length: .absent
        default: Held(batch.text(cell))
        }
    }
}

/// A tuple as text.
func text(_ tuple: some Sequence<Held>) -> String {
    tuple.map { held in
        switch held {
        case .text(let value): value
        case .null: "null"
        case .unchanged: "~"
        case .absent: "-"
        }
    }.joined(separator: "|")
}

/// What a history comes to, one entry a row; changes that are not taken first, by their index.
func netChanges(
    columns: Int = 3,
    key: [Int] = [0],
    _ write: (inout FoldingBatch) -> Void
) -> [String] {
    var history = FoldingBatch()
    write(&history)
    var net = NetChanges()
    net.reset(columnCount: columns, key: key)
    var lines = history.fold(into: &net).map { "apart \($0)" }
    net.finish()
    func held(_ row: NetRow, _ columns: some Sequence<Int>) -> String {
        text(columns.map { history.held(net.cell(row, $0, in: history.batch)) })
    }
    lines += net.deletes.map { "delete \(held($0, key))" }
    lines += net.updates.map { "update \(held($0, 0..<columns))" }
    lines += net.inserts.map { "insert \(held($0, 0..<columns))" }
    return lines
}

/// What a history of a table without a key comes to.
func netRows(columns: Int = 3, _ write: (inout FoldingBatch) -> Void) -> [String] {
    var history = FoldingBatch()
    write(&history)
    var net = NetRows()
    net.reset(columnCount: columns)
    var lines: [String] = []
    for index in history.batch.changes.indices
    where !net.fold(history.batch, change: index) {
        lines.append("apart \(index)")
    }
    net.finish()
    func held(_ copies: NetRows.Copies) -> String {
        let cells = (0..<columns).map { net.cell(copies.row, $0, in: history.batch) }
        return "\(copies.count) × \(text(cells.map(history.held)))"
    }
    return lines + net.removals.map { "less \(held($0))" }
        + net.additions.map { "more \(held($0))" }
}
