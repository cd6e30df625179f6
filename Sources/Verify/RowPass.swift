// SPDX-License-Identifier: Apache-2.0
//
// The second pass: what differs in sum is read again row by row, both sides in step.

import ChangeModel
import LibPQ
import Synchronization

/// Runs the second pass.
struct RowPass: Sendable {
    let point: ComparisonPoint
    let workers: Int
    let progress: VerifyProgress
    /// How many bytes of keys of differing rows are kept in all.
    let keyRoom: Int

    private struct Item: Sendable {
        var index: Int
        var table: Int
        var part: RowPart
        /// Whether it begins where the item before it ends.
        var isNext: Bool
    }

    /// What was found, put together in the order of the items; only what came early waits.
    private struct Gathering {
        var tables: [Differences?]
        var waiting: [Int: (item: Item, differences: Differences)] = [:]
        var next = 0

        mutating func add(_ item: Item, _ differences: Differences, _ start: Differences) {
            waiting[item.index] = (item, differences)
            while let (item, differences) = waiting.removeValue(forKey: next) {
                next += 1
                var whole = tables[item.table].take() ?? start
                whole.append(differences, isNext: item.isNext)
                tables[item.table] = whole
            }
        }
    }

    /// The differences of each table; nil where it was equal by its sums.
    ///
    /// Blocks.
    func run(
        _ tallies: [Tally],
        _ parameters: [ConnectionParameters],
        stop: StopSignal
    ) throws -> [Differences?] {
        var items: [Item] = []
        for (table, tally) in tallies.enumerated() {
            for part in tally.division.parts(tally.differing) {
                let isNext = items.last.map { $0.table == table && $0.part.ends(where: part) }
                items.append(
                    Item(index: items.count, table: table, part: part, isNext: isNext ?? false)
                )
            }
        }
        let found = Mutex(Gathering(tables: Array(repeating: nil, count: tallies.count)))
        guard !items.isEmpty else { return found.withLock { $0.tables } }
        progress.enter("looking at what differs")
        let room = keyRoom == 0 ? 0 : max(4_096, keyRoom / items.count)
        let list = WorkList(items)
        try Crew().run(min(workers, items.count), named: "rows", stop: stop) { _, ending in
            let source = try point.session(.source, parameters[0], stop: ending)
            let target = try point.session(.target, parameters[1], stop: ending)
            while let item = list.take() {
                guard !ending.isRequested else { return }
                let differences = try compare(item, room, source, target)
                let start = Differences(shape: point.tables[item.table].shape, keyRoom: keyRoom)
                found.withLock { $0.add(item, differences, start) }
            }
        }
        return found.withLock { $0.tables }
    }

    private func compare(
        _ item: Item,
        _ room: Int,
        _ source: Session,
        _ target: Session
    ) throws -> Differences {
        let table = point.tables[item.table]
        let shape = table.shape
        let isNumber = shape.parts[0].isNumber
        let part = point.overlays[item.table].filtered { row in
            let first = isNumber ? KeyShape.number(row.key) : nil
            return table.isKeyless
                ? item.part.contains(firstKey: nil, hash: first ?? 0)
                : item.part.contains(firstKey: first, hash: row.value)
        }
        // The target first: where the source waits for us, it waits with its rows at hand.
        let actual = try RowCursor(
            table.sortedRows(.target, among: item.part),
            of: table,
            on: target
        )
        let base = try RowCursor(
            table.sortedRows(.source, among: item.part),
            of: table,
            on: source
        )
        var differences = Differences(shape: shape, keyRoom: room)
        try RowComparison.run(
            expected: ExpectedRows(base, overlay: part, isCounted: table.isKeyless),
            actual: actual,
            isCounted: table.isKeyless,
            into: &differences,
            progress: { progress.add(rows: Int64($0)) }
        )
        return differences
    }
}
