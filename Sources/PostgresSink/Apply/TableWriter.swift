// SPDX-License-Identifier: Apache-2.0
//
// Writes the changes of one table, set by set: new rows by COPY, everything else by statements on
// arrays. What is there already although it should not be, or is not although it should, is merged
// by key as far as the change holds a whole row; what cannot be merged is a fault of that change.
//
//   first, fast     COPY; a row that is there already is the server's error 23505
//   merging         INSERT … ON CONFLICT, once that error or another has shown the need

import ChangeModel
import LibPQ

/// Applies the changes of one table after the other; keeps its memory from table to table.
struct TableWriter: ~Copyable {
    /// New rows up to this number go by a prepared INSERT: a COPY takes one round trip more.
    private static let fewRows = 8

    /// What was done, as far as nobody has set it back.
    var counts = ApplyCounts()

    private var runner = StatementRunner()
    private var net = NetChanges()
    private var images = NetRows()
    private var rows: [NetRow] = []
    private var numbers: [Int] = []

    /// A writer for a new session.
    init() {}

    /// Forgets what was prepared: the session is gone.
    mutating func forget() {
        runner.forget()
    }

    /// Applies the changes of a table, whose indexes stand in `order`; blocks.
    ///
    /// Throws `PostgresError`, or `RowFault` for a change that the target cannot take. After an
    /// error an unknown part of the changes is applied, and `counts` may count them.
    mutating func write(
        _ order: [UInt32],
        _ group: TableGroups.Group,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        if group.hasOnlyInserts {
            rows.removeAll(keepingCapacity: true)
            for place in group.places {
                let first = scope.batch.changes[Int(order[place])].newCells
                rows.append(NetRow(firstCell: first, change: order[place]))
            }
            try insertRows(from: net, scope, on: connection)
        } else if scope.table.key.isEmpty {
            try writeImages(order, group.places, scope, on: connection)
        } else {
            try writeFolded(order, group.places, scope, on: connection)
        }
    }

    // MARK: With a key

    private mutating func writeFolded(
        _ order: [UInt32],
        _ places: Range<Int>,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        let columnCount = scope.table.columns.count
        var next = places.lowerBound
        net.reset(columnCount: columnCount, key: scope.table.key)
        while next < places.upperBound {
            next = net.fold(scope.batch, order, next..<places.upperBound)
            guard next < places.upperBound else { break }
            if net.isEmpty {
                try writeAlone(Int(order[next]), scope, on: connection)
                next += 1
            } else {
                try writeNet(scope, on: connection)
                net.reset(columnCount: columnCount, key: scope.table.key)
            }
        }
        try writeNet(scope, on: connection)
    }

    /// Applies what was folded: first what goes, so that its unique values are free.
    private mutating func writeNet(
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        net.finish()
        try deleteRows(scope, on: connection)
        rows.removeAll(keepingCapacity: true)
        for group in net.updateGroups { try updateRows(group, scope, on: connection) }
        rows.append(contentsOf: net.inserts)
        try insertRows(from: net, scope, on: connection)
    }

    private mutating func deleteRows(
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        var next = 0
        while next < net.deletes.count {
            let first = next
            let deleted = try runner.run(
                .delete,
                net.deletes,
                &next,
                upTo: net.deletes.count,
                from: net,
                scope,
                on: connection
            ).affectedRows
            counts.deleted += UInt64(deleted)
            counts.missed += UInt64(max(0, next - first - deleted))
        }
    }

    /// Overwrites rows; those that are not there join `rows`, to be inserted.
    private mutating func updateRows(
        _ group: NetChanges.UpdateGroup,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        var next = group.rows.lowerBound
        while next < group.rows.upperBound {
            let first = next
            let updated = try runner.run(
                .update(unchanged: group.unchanged),
                net.updates,
                &next,
                upTo: group.rows.upperBound,
                from: net,
                scope,
                on: connection
            ).affectedRows
            counts.updated += UInt64(updated)
            guard updated < next - first else { continue }
            let places = try runner.missing(
                net.updates,
                first..<next,
                from: net,
                scope,
                on: connection
            )
            for place in places {
                guard group.unchanged.isEmpty else {
                    throw RowFault(change: Int(net.updates[place].change), reason: .missing)
                }
                rows.append(net.updates[place])
            }
            counts.restored += UInt64(places.count)
        }
    }

    /// Applies a change that does not fold, not even as the first one.
    ///
    /// Of those that can be applied at all that is a row that was given another key and keeps
    /// values that nobody sent.
    private mutating func writeAlone(
        _ index: Int,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        let change = scope.batch.changes[index]
        func holdsKey(_ first: UInt32) -> Bool {
            scope.table.key.allSatisfy { scope.batch.cells[Int(first) + $0].isValue }
        }
        guard change.kind == .update, change.old != .none, holdsKey(change.oldCells),
            holdsKey(change.newCells)
        else { throw RowFault(change: index, reason: .noKey) }
        if scope.isMerging {
            // Whatever has the new key already is not what the source has there.
            counts.overwritten += UInt64(
                try runner.run(.delete, tuple: change.newCells, scope, on: connection).affectedRows
            )
        }
        let cells = Int(change.newCells)
        let unchanged = ColumnMask(columnCount: scope.table.columns.count) {
            scope.batch.cells[cells + $0].isUnchanged
        }
        let moved = try runner.run(
            .move(unchanged: unchanged),
            tuple: change.newCells,
            former: change.oldCells,
            scope,
            on: connection
        ).affectedRows
        guard moved > 0 else { throw RowFault(change: index, reason: .missing) }
        counts.updated += UInt64(moved)
    }

    // MARK: Without a key

    private mutating func writeImages(
        _ order: [UInt32],
        _ places: Range<Int>,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        images.reset(columnCount: scope.table.columns.count)
        let end = images.fold(scope.batch, order, places)
        guard end == places.upperBound else {
            throw RowFault(change: Int(order[end]), reason: .noKey)
        }
        images.finish()
        if !images.removals.isEmpty { try removeRows(scope, on: connection) }
        rows.removeAll(keepingCapacity: true)
        for addition in images.additions {
            for _ in 0..<addition.count { rows.append(addition.row) }
        }
        try insertRows(from: images, scope, on: connection)
    }

    private mutating func removeRows(
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        rows.removeAll(keepingCapacity: true)
        numbers.removeAll(keepingCapacity: true)
        for removal in images.removals {
            rows.append(removal.row)
            numbers.append(removal.count)
        }
        try connection.query(ApplyPlanning.wholeTable)
        var next = 0
        while next < rows.count {
            let first = next
            let removed = try runner.run(
                .removeImages,
                rows,
                &next,
                upTo: rows.count,
                numbers: numbers,
                from: images,
                scope,
                on: connection
            ).affectedRows
            let expected = numbers[first..<next].reduce(0, +)
            counts.deleted += UInt64(removed)
            counts.missed += UInt64(max(0, expected - removed))
        }
        try connection.query(ApplyPlanning.byKeyAgain)
    }

    // MARK: New rows

    /// Inserts `rows`.
    private mutating func insertRows(
        from source: some CellSource,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws {
        guard !rows.isEmpty else { return }
        let mayOverwrite = scope.isMerging && !scope.table.key.isEmpty
        guard mayOverwrite || (rows.count <= Self.fewRows && !scope.table.columns.isEmpty) else {
            counts.inserted += UInt64(
                try runner.copy(rows, from: source, scope, on: connection)
            )
            return
        }
        let all = rows.indices
        let absent =
            mayOverwrite
            ? try runner.missing(rows, all, from: source, scope, on: connection).count : all.count
        var next = 0
        while next < all.upperBound {
            _ = try runner.run(
                mayOverwrite ? .upsert : .insert,
                rows,
                &next,
                upTo: all.upperBound,
                from: source,
                scope,
                on: connection
            )
        }
        counts.inserted += UInt64(absent)
        counts.overwritten += UInt64(all.count - absent)
    }
}
