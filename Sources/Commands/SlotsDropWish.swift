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
    /// What has become different meanwhile keeps its own slot only. Throws, after all others are
    /// done, the first refusal of a task that was named, and the first failure whatever was asked.
    func drop(_ agreed: [SlotsDropPlan.Item], on connection: borrowing Connection) throws {
        let rule = try tasks.isEmpty ? rule(connection.serverVersion) : nil
        var refusal: WalrelayError?
        for item in agreed {
            do throws(WalrelayError) {
                try drop(item, rule, on: connection)
            } catch {
                print("kept \(item.name.shown) after all: \(error.message.shown)")
                // A slot that has come into use is not stale any more, and no failure.
                let isInUse = error.code == "slot.active" || error.code == "task.running"
                if rule == nil || !isInUse { refusal = refusal ?? error }
            }
        }
        if let refusal { throw refusal }
    }

    private func drop(
        _ item: SlotsDropPlan.Item,
        _ rule: StaleRule?,
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        let row = try row(of: item, on: connection)
        if let row, let verdict = rule?.judge(row), !verdict.isStale {
            print("kept \(item.name.shown) after all: \(verdict.reason.shown)")
            return
        }
        guard let task = item.task else { return }
        if let holder = row?.holder { throw TaskLock.running(task, holder) }
        // A lock is of one database: another's daemon may begin from here on, and finds no slot.
        guard row?.isOfThisDatabase ?? true else {
            return try drop(item, of: task, on: connection)
        }
        try hold(task, on: connection)
        // It goes with the session, if not before.
        defer { try? TaskLock.giveBack(task, on: connection) }
        try drop(item, of: task, on: connection)
    }

    private func drop(
        _ item: SlotsDropPlan.Item,
        of task: String,
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        if item.hasSlot {
            let isDropped = try Slot.drop(item.name, on: connection)
            let name = item.name.shown
            print(isDropped ? "dropped slot \(name)" : "the slot \(name) was gone already")
        }
        // Behind its slot: what a slot still has to decode needs its publication.
        guard item.dropsPublication else { return }
        let removal = try Publication.drop(task: task, on: connection)
        print(removal.text(of: Publication.name(task: task)).shown)
    }

    /// The slot as it is now; `nil` where it is gone.
    private func row(
        of item: SlotsDropPlan.Item,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> SlotRow? {
        do throws(PostgresError) {
            return try SlotRow.all(on: connection).first { $0.slot == item.name }
        } catch {
            throw WalrelayError(error, while: "looking at the slot \(item.name)")
        }
    }

    /// Takes the task's lock, so that no daemon begins; throws `task.running` where one has it.
    private func hold(
        _ task: String,
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        let refusal: TaskLock.Refusal?
        do throws(PostgresError) {
            refusal = try TaskLock.take(task, on: connection)
        } catch {
            throw WalrelayError(error, while: "taking the lock of the task \(task)")
        }
        if let refusal { throw TaskLock.running(task, refusal.holder) }
    }

    private func rule(_ serverVersion: Int) throws(WalrelayError) -> StaleRule {
        try StaleRule(
            olderThan: olderThan,
            retainedMoreThan: retainedMoreThan,
            serverVersion: serverVersion
        )
    }
}
