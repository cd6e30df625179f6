// SPDX-License-Identifier: Apache-2.0
//
// `walrelay slots drop`: decide, show, ask, decide again, drop. Nothing is held open while a person
// thinks; what has changed meanwhile is decided on anew, and only what was agreed to is dropped.

import ArgumentParser
import ChangeModel
import LibPQ
import Replication
import Settings

struct SlotsDropCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop",
        abstract: "Drop the slots of named tasks, or those that were left behind.",
        discussion: """
            The changes since a slot's position are gone with it: its task begins anew, with a \
            new snapshot. A slot that is in use is never dropped, nor a physical one, nor a \
            standby's copy of its primary's.

            A slot is stale when it is named di_slot_*, is not in use, and is past every bound \
            that is given. Without a bound it is stale after 24h. Up to PostgreSQL 16 the server \
            does not know since when a slot is inactive: there --retained-more-than must be given.

            EXAMPLES
              walrelay slots drop orders --config orders.yaml
              walrelay slots drop --stale --dry-run --config orders.yaml
              walrelay slots drop --stale --retained-more-than 10GiB --yes \\
                --conninfo 'host=db.example dbname=shop user=cdc'
            """
    )

    @OptionGroup var server: ServerOption

    @Argument(
        help: "Tasks whose slots are dropped (orders for di_slot_orders).",
        // Those that have settings here: only a server knows its slots, and no key waits for one.
        completion: .shellCommand("ls /etc/walrelay 2>/dev/null | sed -n 's/[.]ya*ml$//p'")
    )
    var task: [String] = []

    @Flag(name: .long, help: "Drop the stale slots; says of each why it is stale or not.")
    var stale = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "With --stale: inactive for at least this long, such as 24h or 7d (17 and later).",
            valueName: "time"
        ),
        transform: { try Amount.duration(parsing: $0) }
    )
    var olderThan: Duration?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "With --stale: holding back more WAL than this, such as 10GiB.",
            valueName: "size"
        ),
        transform: { try Amount.bytes(parsing: $0) }
    )
    var retainedMoreThan: Int64?

    @Flag(name: .long, help: "Drop the publications of the dropped slots, too.")
    var publications = false

    @Flag(name: .long, help: "Only say what would be dropped, and why.")
    var dryRun = false

    @Flag(name: .long, help: "With --dry-run: print an array of objects as JSON.")
    var json = false

    @OptionGroup var confirmation: Confirmation

    func validate() throws {
        guard stale != !task.isEmpty else {
            throw ValidationError("Name the tasks whose slots are to go, or give --stale.")
        }
        if !stale, olderThan != nil || retainedMoreThan != nil {
            throw ValidationError(
                "--older-than and --retained-more-than say what is stale: give --stale, too."
            )
        }
        if json, !dryRun {
            throw ValidationError("--json tells what would be done: give --dry-run, too.")
        }
    }

    func run() async throws {
        if !dryRun { try confirmation.requireAnswerable() }
        let parameters = try server.parameters().for(.slots)
        let wish = Wish(
            tasks: task,
            olderThan: olderThan,
            retainedMoreThan: retainedMoreThan,
            publications: publications
        )
        let plan = try await asking(parameters, "listing the slots") { try wish.plan(on: $0) }
        if json { return print(try SlotsReport.json(plan), terminator: "") }
        print(SlotsReport.text(plan), terminator: "")
        if plan.drops.isEmpty { return print("Nothing to drop.") }
        if dryRun { return print("Dry run: nothing was dropped.") }
        guard confirmation.isGiven(plan.question) else { return print("Nothing was dropped.") }
        let agreed = plan.drops
        try await asking(parameters, "dropping slots") { try wish.drop(agreed, on: $0) }
    }
}

/// What the command line asks for.
private struct Wish: Sendable {
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
