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
    /// How many keys of differing rows are kept in all.
    let keyRoom: Int

    private struct Item: Sendable {
        var index: Int
        var table: Int
        var part: RowPart
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
                items.append(Item(index: items.count, table: table, part: part))
            }
        }
        var found = [Differences?](repeating: nil, count: tallies.count)
        guard !items.isEmpty else { return found }
        progress.enter("looking at what differs")
        let room = keyRoom == 0 ? 0 : max(100, keyRoom / items.count)
        let results = Mutex<[Differences?]>(Array(repeating: nil, count: items.count))
        let list = WorkList(items)
        try Crew.run(min(workers, items.count), named: "rows", stop: stop) { _, ending in
            let source = try point.session(.source, parameters[0], stop: ending)
            let target = try point.session(.target, parameters[1], stop: ending)
            while let item = list.take() {
                guard !ending.isRequested else { return }
                let differences = try compare(item, room, source, target)
                results.withLock { $0[item.index] = differences }
            }
        }
        for (item, differences) in zip(items, results.withLock { $0 }) {
            guard let differences else { continue }
            var whole =
                found[item.table]
                ?? Differences(shape: point.tables[item.table].shape, keyRoom: keyRoom)
            whole.append(differences)
            found[item.table] = whole
        }
        return found
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
