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
            new snapshot. A slot that is in use is never dropped.

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
        let rule = try StaleRule(
            olderThan: olderThan,
            retainedMoreThan: retainedMoreThan,
            serverVersion: connection.serverVersion
        )
        return .stale(rows, by: rule, publications: publications)
    }

    /// Drops what was agreed to and still holds; says each thing as it is done.
    func drop(_ agreed: [SlotsDropPlan.Item], on connection: borrowing Connection) throws {
        let now = try plan(on: connection)
        for item in agreed {
            guard let current = now.items.first(where: { $0.task == item.task }), current.drops
            else {
                let reason = now.items.first { $0.task == item.task }?.reason ?? "it is gone"
                print("kept \(item.name) after all: \(reason.shown)")
                continue
            }
            if item.hasSlot, try Slot.drop(item.name, on: connection) {
                print("dropped slot \(item.name.shown)")
            }
            // Behind its slot: what a slot still has to decode needs its publication.
            if item.dropsPublication {
                let removal = try Publication.drop(task: item.task, on: connection)
                print(removal.text(of: item.publication).shown)
            }
        }
    }
}
