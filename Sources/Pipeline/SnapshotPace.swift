// SPDX-License-Identifier: Apache-2.0
//
// How fast the tables are copied and how long it will take yet: the one computation of it, for
// /status, the page and the terminal. Receives what was read, batch by batch, and fills in rates
// over the last minute and the time left by the planner's estimates; says nothing rather than
// guess.

import ChangeModel

/// The rates of a snapshot.
///
/// Holds as many windows as tables are being copied at the moment.
struct SnapshotPace: Sendable {
    private static let seconds = 60
    /// Before that a rate is more chance than rate.
    private static let settling: Duration = .seconds(3)

    private var all = RateWindow(seconds: seconds)
    private var windows: [ExactText: RateWindow] = [:]
    private var places: [ExactText: Int] = [:]

    /// Where the table stands in the list; it is put at the end where it does not.
    mutating func place(of table: String, in tables: inout [TaskStatus.Snapshot.Table]) -> Int {
        let name = ExactText(table)
        if let place = places[name], place < tables.count, ExactText(tables[place].table) == name {
            return place
        }
        let place = tables.firstIndex { ExactText($0.table) == name } ?? tables.count
        if place == tables.count { tables.append(TaskStatus.Snapshot.Table(table: table)) }
        places[name] = place
        return place
    }

    /// Counts rows that were read of a table.
    mutating func took(_ rows: Int, of table: TaskStatus.Snapshot.Table, at now: UInt64) {
        if rows > 0 { all.add(rows, at: now) }
        guard table.state == .copying else {
            windows[ExactText(table.table)] = nil
            return
        }
        windows[ExactText(table.table), default: RateWindow(seconds: Self.seconds)]
            .add(rows, at: now)
    }

    /// Fills in the rates and the times left as they are now.
    mutating func fill(_ snapshot: inout TaskStatus.Snapshot, at now: UInt64) {
        guard snapshot.tables.contains(where: { $0.state != .done }) else { return }
        let rate = all.perSecond(at: now)
        snapshot.rowsPerSecond = rate
        if all.age(at: now) >= Self.settling {
            let left = snapshot.tables.compactMap(\.rowsLeft)
            snapshot.secondsLeft = left.isEmpty ? nil : Self.seconds(for: left.sum, at: rate)
        }
        guard !windows.isEmpty else { return }
        for index in snapshot.tables.indices where snapshot.tables[index].state == .copying {
            let table = snapshot.tables[index]
            let name = ExactText(table.table)
            guard let rate = windows[name]?.perSecond(at: now) else { continue }
            snapshot.tables[index].rowsPerSecond = rate
            guard let left = table.rowsLeft, let age = windows[name]?.age(at: now),
                age >= Self.settling
            else { continue }
            snapshot.tables[index].secondsLeft = Self.seconds(for: left, at: rate)
        }
    }

    private static func seconds(for rows: Int, at rate: Double) -> Int? {
        guard rate > 0 else { return nil }
        return Int(exactly: (Double(rows) / rate).rounded(.up))
    }
}

extension TaskStatus.Snapshot.Table {
    /// The rows that are still to come by the estimate; nil where there is none, or a wrong one.
    fileprivate var rowsLeft: Int? {
        guard state != .done, let rowsEstimated, rowsEstimated > rowsCopied else { return nil }
        return rowsEstimated - rowsCopied
    }

    /// The share that is copied, 0 to 1; nil where no estimate says it.
    ///
    /// An estimate may be too low: a table that is not done is never shown as full.
    public var share: Double? {
        if state == .done { return 1 }
        guard let rowsEstimated, rowsEstimated > 0 else { return nil }
        return min(0.99, Double(rowsCopied) / Double(rowsEstimated))
    }
}

extension TaskStatus.Snapshot {
    /// The tables that are copied.
    public var tablesDone: Int { tables.count { $0.state == .done } }

    /// The share of all rows that is copied, 0 to 1, by the estimates; nil without tables or any
    /// estimate of what is left.
    public var share: Double? {
        guard !tables.isEmpty else { return nil }
        guard tablesDone < tables.count else { return 1 }
        guard tables.contains(where: { $0.state != .done && $0.share != nil }) else { return nil }
        let copied = tables.map(\.rowsCopied).sum
        let whole = rowsExpected
        return whole > 0 ? min(0.99, Double(copied) / Double(whole)) : nil
    }

    /// Rows that there will be, as far as one can tell: what a table that is done had, else what
    /// the planner expects, and never less than what was copied.
    public var rowsExpected: Int {
        tables.map { max($0.rowsCopied, $0.state == .done ? 0 : $0.rowsEstimated ?? 0) }.sum
    }

    /// The rows that were read so far, of all tables.
    public var rowsCopied: Int { tables.map(\.rowsCopied).sum }

    /// The bytes that were read so far, of all tables.
    public var bytesCopied: Int { tables.map(\.bytesCopied).sum }
}

extension [Int] {
    /// The sum, or the largest number: a status that came from elsewhere must not be a trap.
    fileprivate var sum: Int {
        reduce(0) { sum, number in
            let (next, overflow) = sum.addingReportingOverflow(number)
            return overflow ? .max : next
        }
    }
}
