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
            new snapshot. A slot that is in use is never dropped, nor one whose task runs, \
            nor a physical one, nor a standby's copy of its primary's.

            A slot is stale when it is named di_slot_*, neither it nor its task is in use, and it \
            is past every bound that is given. Without a bound it is stale after 24h. Up to PostgreSQL 16 the server \
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
        let wish = SlotsDropWish(
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
