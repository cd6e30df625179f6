// SPDX-License-Identifier: Apache-2.0
//
// The slots and what is to become of them, for people and for programs.

import ChangeModel

/// How slots are printed.
enum SlotsReport {
    /// A table with a heading and a sum; a sentence where there are no slots.
    static func text(_ rows: [SlotRow], all: Bool) -> String {
        guard !rows.isEmpty else {
            return all
                ? "The server has no logical slot.\n"
                : "The server has no slot of walrelay's (di_slot_*); --all shows every logical "
                    + "slot.\n"
        }
        let heading = ["SLOT", "DATABASE", "STATE", "RETAINED", "WAL", "PUBLICATION"]
        let table = rows.map { row in
            [
                row.slot, row.database ?? "-", state(row),
                row.retainedBytes.map(TerminalText.bytes) ?? "-", wal(row), publication(row),
            ]
        }
        return TerminalText.table([heading] + table) + sum(rows) + "\n"
    }

    /// An array of objects in the order of the table.
    static func json(_ rows: [SlotRow]) throws -> String {
        try TerminalText.json(rows)
    }

    /// An array of objects, one a slot: `task`, `slot`, `drop`, `reason`, and `publication` where
    /// that goes too; what there is not is null.
    static func json(_ plan: SlotsDropPlan) throws -> String {
        try TerminalText.json(plan.items)
    }

    /// A line a slot: dropped or kept, and why.
    static func text(_ plan: SlotsDropPlan) -> String {
        TerminalText.table(
            plan.items.map { item in
                [
                    item.drops ? "drop" : "keep",
                    ([item.name] + (item.dropsPublication ? [item.publication] : []))
                        .compactMap { $0 }.joined(separator: " + "),
                    item.reason,
                ]
            }
        )
    }

    private static func state(_ row: SlotRow) -> String {
        if row.synced ?? false { return "copy of the primary's" }
        if row.active { return row.activePID.map { "active, pid \($0)" } ?? "active" }
        guard let seconds = row.inactiveSeconds else { return "inactive" }
        return "inactive for \(TerminalText.time(seconds: seconds))"
    }

    private static func wal(_ row: SlotRow) -> String {
        let status = row.walStatus ?? "-"
        if let reason = row.invalidationReason { return "\(status) (\(reason))" }
        guard let safe = row.safeWALBytes, !row.isLost else { return status }
        return safe > 0 ? "\(status), lost after \(TerminalText.bytes(safe)) more" : status
    }

    private static func publication(_ row: SlotRow) -> String {
        if let publication = row.publication { return publication }
        guard row.task != nil else { return "-" }
        return row.isOfThisDatabase ? "none" : "? (in \(row.database ?? "another database"))"
    }

    private static func sum(_ rows: [SlotRow]) -> String {
        let active = rows.count(where: \.active)
        let lost = rows.count(where: \.isLost)
        let most = rows.compactMap(\.retainedBytes).max()
        return "\(rows.count) slot\(rows.count == 1 ? "" : "s"), \(active) active"
            + (lost > 0 ? ", \(lost) lost" : "")
            // Slots hold back the same WAL, so the most that one holds is what all hold.
            + (most.map { "; \(TerminalText.bytes($0)) of WAL held back" } ?? "")
    }
}
