// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct SlotsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "slots",
        abstract: "List the replication slots of a server, or drop those nobody needs.",
        discussion: """
            A slot makes the server keep all WAL from the slot's position on, also while its task \
            is stopped, until the slot is dropped. One that is forgotten fills the server's disk.
            """,
        subcommands: [SlotsListCommand.self, SlotsDropCommand.self]
    )
}
