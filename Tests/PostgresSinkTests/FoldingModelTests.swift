// SPDX-License-Identifier: Apache-2.0
//
// Random histories of a table with a key, made by a table and folded, cut into segments, and
// applied set-wise to another: the two must be equal. The other table is strict: it compares keys
// as its type does, and a row that is missing, or there already, is a fault.

import ChangeModel
import Support
import Testing

@testable import PostgresSink

/// What kind of table a history is of; four columns, of which the last two may be TOASTed.
struct FoldedTable: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var key: [Int]
    var isFull = false
    /// Keys are decimals: 1, 1.0 and 1.00 are equal.
    var hasManySpellings = false

    static let all = [
        FoldedTable(testDescription: "one column", key: [0]),
        FoldedTable(testDescription: "many spellings", key: [0], hasManySpellings: true),
        FoldedTable(testDescription: "a TOASTed key", key: [2, 0]),
        FoldedTable(testDescription: "FULL", key: [0], isFull: true),
        FoldedTable(
            testDescription: "FULL, a TOASTed key, many spellings",
            key: [0, 2],
            isFull: true,
            hasManySpellings: true
        ),
    ]

    /// The key of a row as the type's equality sees it.
    func name(_ row: [Held]) -> String {
        var parts: [String] = []
        for column in key {
            var part = text([row[column]])
            if hasManySpellings, part.contains(".") {
                while part.hasSuffix("0") { part.removeLast() }
                if part.hasSuffix(".") { part.removeLast() }
            }
            parts.append(part)
        }
        return parts.joined(separator: "|")
    }
}

/// The table that makes the history.
private struct SourceTable {
    let table: FoldedTable
    var rows: [[Held]] = []
    var numbers: SeededGenerator

    mutating func history(of count: Int) -> FoldingBatch {
        var history = FoldingBatch()
        for _ in 0..<count {
            let place = rows.indices.randomElement(using: &numbers)
            switch (Int.random(in: 0..<6, using: &numbers), place) {
            case (1, .some(let place)): delete(place, &history)
            case (2...5, .some(let place)): update(place, &history)
            default: insert(&history)
            }
        }
        return history
    }

    private mutating func value(_ column: Int) -> Held {
        let values: [Held]
        if column == 0 {
            values =
                table.hasManySpellings
                ? ["1", "1.0", "1.00", "2", "2.0", "10", "10.0"] : ["1", "2", "3", "4", ""]
        } else if column == 1 {
            values = ["a", "b", "", nil]
        } else {
            let isKey = table.key.contains(column)
            values = ["long 1", "long 2", "short", ""] + (isKey ? [] : [nil])
        }
        return values.randomElement(using: &numbers) ?? .null
    }

    private func isFree(_ row: [Held], except place: Int?) -> Bool {
        rows.indices.allSatisfy { $0 == place || table.name(rows[$0]) != table.name(row) }
    }

    private mutating func insert(_ history: inout FoldingBatch) {
        let row = (0..<4).map { value($0) }
        guard isFree(row, except: nil) else { return }
        rows.append(row)
        history.insert(row, kind: numbers.once(in: 4) ? .read : .insert)
    }

    private mutating func delete(_ place: Int, _ history: inout FoldingBatch) {
        let old = rows.remove(at: place)
        if table.isFull { history.delete(full: old) } else { history.delete(key: keyOnly(old)) }
    }

    private mutating func update(_ place: Int, _ history: inout FoldingBatch) {
        let old = rows[place]
        var new = old
        for column in 0..<4 where numbers.once(in: table.key.contains(column) ? 4 : 2) {
            new[column] = value(column)
        }
        guard isFree(new, except: place) else { return }
        rows[place] = new
        var sent = new
        for column in 2..<4 where new[column] == old[column] && isToasted(new[column]) {
            sent[column] = .unchanged
        }
        let isKeySent = table.key.contains { old[$0] != new[$0] || isToasted(old[$0]) }
        if table.isFull {
            history.update(sent, full: old)
        } else if isKeySent {
            history.update(sent, key: keyOnly(old))
        } else {
            history.update(sent)
        }
    }

    private func isToasted(_ held: Held) -> Bool {
        if case .text(let value) = held { value.hasPrefix("long") } else { false }
    }

    private func keyOnly(_ row: [Held]) -> [Held] {
        row.indices.map { table.key.contains($0) ? row[$0] : .absent }
    }
}

/// The table that the history is applied to.
private struct StrictTable {
    let table: FoldedTable
    var rows: [[Held]] = []
    var faults: [String] = []
    var changesApart = 0

    mutating func apply(_ net: inout NetChanges, _ history: FoldingBatch) {
        net.finish()
        func held(_ row: NetRow) -> [Held] {
            (0..<4).map { history.held(net.cell(row, $0, in: history.batch)) }
        }
        for row in net.deletes { delete(held(row)) }
        for group in net.updateGroups {
            for row in net.updates[group.rows] {
                let new = held(row)
                let isAsSaid = (0..<4).allSatisfy {
                    group.unchanged.contains($0) == (new[$0] == .unchanged)
                }
                if !isAsSaid { faults.append("unchanged columns of \(text(new))") }
                // A set-wise UPDATE does not set the key.
                update(new, of: new, except: table.key)
            }
        }
        if net.updateGroups.map(\.rows.count).reduce(0, +) != net.updates.count {
            faults.append("an update of no group")
        }
        for row in net.inserts { insert(held(row)) }
    }

    /// Applies a change by itself, in the source's way.
    mutating func apply(_ change: Change, _ history: FoldingBatch) {
        changesApart += 1
        func tuple(_ first: UInt32) -> [Held] {
            (0..<4).map { history.held(history.batch.cells[Int(first) + $0]) }
        }
        guard change.kind == .update, change.old == .key,
            tuple(change.newCells).contains(.unchanged)
        else {
            faults.append("change \(change.lsn) was not folded")
            return
        }
        update(tuple(change.newCells), of: tuple(change.oldCells), except: [])
    }

    private mutating func place(of row: [Held]) -> Int? {
        let places = rows.indices.filter { table.name(rows[$0]) == table.name(row) }
        if places.count != 1 { faults.append("\(places.count) rows \(table.name(row))") }
        return places.first
    }

    private mutating func delete(_ row: [Held]) {
        if let place = place(of: row) { rows.remove(at: place) }
    }

    private mutating func update(_ new: [Held], of old: [Held], except left: [Int]) {
        guard let place = place(of: old) else { return }
        for column in 0..<4 where new[column] != .unchanged && !left.contains(column) {
            rows[place][column] = new[column]
        }
    }

    private mutating func insert(_ row: [Held]) {
        if rows.contains(where: { table.name($0) == table.name(row) }) {
            faults.append("\(table.name(row)) is there")
        }
        if row.contains(.unchanged) || row.contains(.absent) {
            faults.append("insert of a part, \(text(row))")
        }
        rows.append(row)
    }
}

struct FoldingModelTests {
    @Test(arguments: FoldedTable.all)
    func `random histories leave what they leave one by one`(_ table: FoldedTable) {
        var changes = 0
        var changesApart = 0
        for seed in 0..<1_000 as Range<UInt64> {
            var source = SourceTable(table: table, numbers: SeededGenerator(seed: seed))
            var target = StrictTable(table: table)
            var numbers = SeededGenerator(seed: ~seed)
            var net = NetChanges()
            for _ in 0..<3 {
                let history = source.history(of: Int.random(in: 0...30, using: &numbers))
                // Half of the batches are one segment.
                let cut = Bool.random(using: &numbers) ? 8 : Int.max
                net.reset(columnCount: 4, key: table.key)
                for (index, change) in history.batch.changes.enumerated() {
                    let isFolded = net.fold(history.batch, change: index)
                    guard !isFolded || numbers.once(in: cut) else { continue }
                    target.apply(&net, history)
                    if !isFolded { target.apply(change, history) }
                    net.reset(columnCount: 4, key: table.key)
                }
                target.apply(&net, history)
                changes += history.batch.changes.count
            }
            #expect(target.faults == [], "seed \(seed)")
            #expect(
                target.rows.map(text).sorted() == source.rows.map(text).sorted(),
                "seed \(seed)"
            )
            changesApart += target.changesApart
        }
        // Else the test would say nothing: most changes are folded, and some cannot be.
        #expect(changesApart < changes / 4)
        #expect((changesApart == 0) == table.isFull)
    }
}
