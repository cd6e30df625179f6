// SPDX-License-Identifier: Apache-2.0
//
// What `slots drop` is going to do, slot by slot: decided from the rows alone, shown, agreed to,
// and decided once more right before it is done.

import ChangeModel
import Replication

/// Which slots are dropped, and why.
struct SlotsDropPlan: Sendable, Equatable {
    /// One slot, or the publication that a slot has left behind.
    struct Item: Sendable, Equatable {
        /// The task, where the slot is one of walrelay's.
        var task: String?
        var name: String
        var drops: Bool
        /// Whether there is a slot; a publication may have stayed alone.
        var hasSlot = true
        var dropsPublication = false
        var reason: String

        var publication: String? { task.map { Publication.name(task: $0) } }
    }

    /// In the order of `slots list`, or of the tasks as they were named.
    var items: [Item]

    /// What is going to be dropped.
    var drops: [Item] { items.filter(\.drops) }

    /// The slots that a rule finds stale, and why the others are not.
    static func stale(
        _ rows: [SlotRow],
        by rule: StaleRule,
        publications: Bool
    ) -> SlotsDropPlan {
        SlotsDropPlan(
            items: rows.map { row in
                let verdict = rule.judge(row)
                return Item(
                    task: row.task,
                    name: row.slot,
                    drops: verdict.isStale,
                    dropsPublication: publications && verdict.isStale && row.publication != nil,
                    reason: verdict.reason + elsewhere(row, publications && verdict.isStale)
                )
            }
        )
    }

    /// The slots of the named tasks.
    ///
    /// Throws where one of them is in use, its task running or a standby's copy (exit 77), or where there is none
    /// (exit 64): nothing is to be dropped then.
    static func named(
        _ tasks: [String],
        among rows: [SlotRow],
        publications: Bool,
        published: Set<String>
    ) throws(WalrelayError) -> SlotsDropPlan {
        var items: [Item] = []
        for task in tasks where !items.contains(where: { $0.task == task }) {
            guard let row = rows.first(where: { $0.task == task }) else {
                guard publications, published.contains(task) else {
                    throw missing(task, among: rows)
                }
                items.append(
                    Item(
                        task: task,
                        name: "no slot",
                        drops: true,
                        hasSlot: false,
                        dropsPublication: true,
                        reason: "the publication stayed alone"
                    )
                )
                continue
            }
            if row.synced ?? false { throw Slot.synced(row.slot) }
            if row.active { throw Slot.active(row.slot, pid: row.activePID) }
            if let holder = row.holder { throw TaskLock.running(task, holder) }
            items.append(
                Item(
                    task: task,
                    name: row.slot,
                    drops: true,
                    dropsPublication: publications && row.publication != nil,
                    reason: state(row) + elsewhere(row, publications)
                )
            )
        }
        return SlotsDropPlan(items: items)
    }

    /// The question that a terminal is asked.
    var question: String {
        let slots = drops.count(where: \.hasSlot)
        let publications = drops.count(where: \.dropsPublication)
        let parts = [(slots, "slot"), (publications, "publication")].filter { $0.0 > 0 }
            .map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" }
        return "Drop \(parts.joined(separator: " and "))? There is no way back."
    }

    private static func state(_ row: SlotRow) -> String {
        if row.isLost { return "lost" }
        return row.retainedBytes.map { "inactive, holds back \(TerminalText.bytes($0))" }
            ?? "inactive"
    }

    /// A publication is visible in its own database only.
    private static func elsewhere(_ row: SlotRow, _ isWanted: Bool) -> String {
        guard isWanted, !row.isOfThisDatabase, let database = row.database else { return "" }
        return "; its publication is in database \(database) and stays"
    }

    private static func missing(_ task: String, among rows: [SlotRow]) -> WalrelayError {
        let tasks = rows.compactMap(\.task)
        let known = tasks.prefix(10).joined(separator: ", ") + (tasks.count > 10 ? ", …" : "")
        return WalrelayError(
            "slots.unknown_task",
            exit: .usage,
            "The server has no slot \(Slot.name(task: task)), so nothing was dropped",
            hint: tasks.isEmpty
                ? "walrelay slots list --all shows every logical slot"
                : "name a task that has one: \(known)"
        )
    }
}

extension SlotsDropPlan.Item: Encodable {
    private enum CodingKeys: String, CodingKey {
        case task, slot, drop, reason, publication
    }

    /// Encodes every key: no slot and no publication that goes are null.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(task, forKey: .task)
        try container.encode(hasSlot ? name : nil, forKey: .slot)
        try container.encode(drops, forKey: .drop)
        try container.encode(reason, forKey: .reason)
        try container.encode(dropsPublication ? publication : nil, forKey: .publication)
    }
}
