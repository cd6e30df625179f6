// SPDX-License-Identifier: Apache-2.0
//
// What a sink in memory holds of a change, and what a consumer makes of many: it applies them in
// their order, by key, and knows nothing of snapshots.

import ChangeModel
import Synchronization

struct MemoryEvent {
    var kind: ChangeKind
    var table: String
    /// The commit's position and the ordinal: the total order.
    var commitLSN: LSN
    var ordinal: UInt64
    /// The columns, by name, of the row; those of the key alone where it is gone.
    var row: [String: String]
    /// The key, and the former one where the change brings it.
    var key: [String]
    var oldKey: [String]?
    /// One line: kind, table, and the new row, or the key of a row that is gone.
    var line: String
}

extension ChangeBatch {
    var events: [MemoryEvent] {
        changes.map { change in
            let relation = relations[Int(change.relation)].relation
            func cells(from first: UInt32) -> ArraySlice<Cell> {
                guard change.kind != .truncate else { return [] }
                return self.cells[Int(first)..<(Int(first) + relation.columns.count)]
            }
            func key(from first: UInt32) -> [String] {
                let values = Array(cells(from: first))
                return values.isEmpty ? [] : relation.eventKey.map { text(values[$0]) ?? "-" }
            }
            let first = change.kind == .delete ? change.oldCells : change.newCells
            var row: [String: String] = [:]
            for (column, cell) in zip(relation.columns, cells(from: first))
            where cell != .unchanged { row[column.name] = text(cell) ?? "-" }
            let values = cells(from: first).map { text($0) ?? "-" }
            return MemoryEvent(
                kind: change.kind,
                table: relation.name,
                commitLSN: transactions[Int(change.transaction)].commitLSN,
                ordinal: change.ordinal,
                row: row,
                key: key(from: first),
                oldKey: change.old == .none ? nil : key(from: change.oldCells),
                line: "\(change.kind) \(relation.name) \(values.joined(separator: ","))"
            )
        }
    }
}

extension MemoryStore.State {
    /// Adds events, and complains of one that comes before its place in the total order.
    mutating func add(_ more: some Sequence<MemoryEvent>) {
        for event in more {
            if let last = events.last,
                (event.commitLSN, event.ordinal) < (last.commitLSN, last.ordinal)
            {
                complaints.append("\(event.line) at \(event.commitLSN) after \(last.commitLSN)")
            }
            events.append(event)
            lines.append(event.line)
        }
    }
}

extension MemoryStore {
    /// Takes rows of a snapshot that are seen at once.
    func show(_ rows: [MemoryEvent]) {
        state.withLock { state in
            let announced = state.checkpoint?.snapshotLSN
            let points =
                [announced].compactMap { $0 } + (state.checkpoint?.copies ?? []).map(\.point)
            if announced == nil || rows.contains(where: { !points.contains($0.commitLSN) }) {
                state.complaints.append("rows of a snapshot that no checkpoint knows")
            }
            state.add(rows)
        }
    }

    /// The rows of a table after all events, each as `column=value` in the order of the names.
    func applied(_ table: String) -> [String] {
        var rows: [[String]: [String: String]] = [:]
        for event in state.withLock({ $0.events }) where event.table == table {
            switch event.kind {
            case .truncate: rows = [:]
            case .delete: rows[event.key] = nil
            case .read: rows[event.key] = event.row
            case .insert, .update:
                // What was not sent stays as it was.
                let former = rows.removeValue(forKey: event.oldKey ?? event.key) ?? [:]
                rows[event.key] = former.merging(event.row) { $1 }
            }
        }
        return rows.values.map { row in
            row.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        }.sorted()
    }
}
