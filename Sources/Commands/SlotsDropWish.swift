// SPDX-License-Identifier: Apache-2.0
//
// What `slots drop` was asked to do, held against a server: once for the plan that is shown, once
// more right before each slot goes. Others may drop slots and start tasks in between.

import ChangeModel
import LibPQ
import Replication

/// What a command line asks for.
struct SlotsDropWish: Sendable {
    var tasks: [String]
    var olderThan: Duration?
    var retainedMoreThan: Int64?
    var publications: Bool

    func plan(on connection: borrowing Connection) throws -> SlotsDropPlan {
        let rows = try SlotRow.all(on: connection)
        guard tasks.isEmpty else {
            return try SlotsDropPlan.named(
                tasks,
                among: rows,
                publications: publications,
                published: try Publication.tasks(on: connection)
            )
        }
        return .stale(rows, by: try rule(connection.serverVersion), publications: publications)
    }

    /// Drops what was agreed to and still holds; says each thing as it is done.
    ///
    /// What has become different meanwhile keeps its own slot only. Throws the first refusal of a
    /// task that was named, after all others are done.
    func drop(_ agreed: [SlotsDropPlan.Item], on connection: borrowing Connection) throws {
        let rows = try SlotRow.all(on: connection)
        let rule = try tasks.isEmpty ? rule(connection.serverVersion) : nil
        var refusal: WalrelayError?
        for item in agreed {
            do throws(WalrelayError) {
                try drop(item, now: rows.first { $0.slot == item.name }, rule, on: connection)
            } catch {
                print("kept \(item.name.shown) after all: \(error.message.shown)")
                if rule == nil { refusal = refusal ?? error }
            }
        }
        if let refusal { throw refusal }
    }

    private func drop(
        _ item: SlotsDropPlan.Item,
        now row: SlotRow?,
        _ rule: StaleRule?,
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        if let row, let verdict = rule?.judge(row), !verdict.isStale {
            print("kept \(item.name.shown) after all: \(verdict.reason.shown)")
            return
        }
        if item.hasSlot {
            let isDropped = try Slot.drop(item.name, on: connection)
            let name = item.name.shown
            print(isDropped ? "dropped slot \(name)" : "the slot \(name) was gone already")
        }
        // Behind its slot: what a slot still has to decode needs its publication.
        guard item.dropsPublication, let task = item.task else { return }
        let removal = try Publication.drop(task: task, on: connection)
        print(removal.text(of: Publication.name(task: task)).shown)
    }

    private func rule(_ serverVersion: Int) throws(WalrelayError) -> StaleRule {
        try StaleRule(
            olderThan: olderThan,
            retainedMoreThan: retainedMoreThan,
            serverVersion: serverVersion
        )
    }
}
