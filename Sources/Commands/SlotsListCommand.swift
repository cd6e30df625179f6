// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import LibPQ

struct SlotsListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List walrelay's slots: in use or not, and how much WAL they hold back.",
        discussion: """
            Changes nothing. What holds back most comes first. RETAINED is the WAL that the \
            server keeps because of the slot, WAL is the server's wal_status (13 and later). How \
            long a slot has been inactive is known from PostgreSQL 17 on. Publications are shown \
            for the database that is asked.

            EXAMPLES
              walrelay slots list --config /etc/walrelay/orders.yaml
              walrelay slots list --conninfo 'host=db.example dbname=shop user=cdc' --json
            """
    )

    @OptionGroup var server: ServerOption
    @Flag(name: .long, help: "Show every logical slot, not only di_slot_*.") var all = false
    @Flag(name: .long, help: "Print an array of objects as JSON.") var json = false

    func run() async throws {
        let rows = try await asking(try server.parameters().for(.slots), "listing the slots") {
            [all] connection in
            try SlotRow.all(on: connection).filter { all || $0.task != nil }
        }
        print(
            json ? try SlotsReport.json(rows) : SlotsReport.text(rows, all: all),
            terminator: ""
        )
    }
}
