// SPDX-License-Identifier: Apache-2.0
//
// `walrelay teardown`: everything that a task has left in the source and, in the sink, its
// checkpoint. The sink is opened first, which keeps a running daemon out and finds out about
// trouble before anything is gone. Whatever it is interrupted by, it can be run again.

import ArgumentParser
import ChangeModel
import Foundation
import LibPQ
import Logging
import Replication
import Settings
import Sink

struct TeardownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "teardown",
        abstract: "Undeploy a task: drop its slot, its publication and its checkpoint.",
        discussion: """
            The data in the sink stays. Run again, the task begins anew, with a new snapshot. \
            Refuses while the task is running: stop it first. What is gone already is passed \
            over, so that a teardown that was interrupted can be run again.

            EXAMPLES
              walrelay teardown --config /etc/walrelay/orders.yaml
              walrelay teardown --config orders.yaml --yes
            """
    )

    @OptionGroup var config: ConfigOption
    @OptionGroup var confirmation: Confirmation

    func run() async throws {
        let settings = try config.load()
        try confirmation.requireAnswerable()
        let parameters = try settings.sourceParameters().for(.teardown)
        let makeSink = try SinkAssembly.sink(
            settings,
            database: parameters.database,
            log: Logger(label: "walrelay") { _ in SwiftLogNoOpLogHandler() }
        )
        let teardown = Teardown(task: settings.task)
        try await asking(parameters, "looking for the slot") { try teardown.verify(on: $0) }
        let question =
            "Drop the slot, the publication and the checkpoint of task \(settings.task)? Its "
            + "next run begins with a new snapshot; the data in the sink stays."
        guard confirmation.isGiven(question) else { return print("Nothing was dropped.") }
        // A directory that is absent holds no checkpoint and need not be made for this.
        let isSinkThere = settings.sink.directory.map(FileManager.default.fileExists) ?? true
        try await asking(parameters, "dropping the slot") { connection in
            try ImpatientSupervisor.asking {
                let sink = isSinkThere ? try makeSink(ImpatientSupervisor()) : nil
                try teardown.run(on: connection, sink: sink)
            }
        }
    }
}

/// The steps of a teardown.
private struct Teardown: Sendable {
    let task: String

    /// Throws `slot.active` or `task.running`, exit 77, while the task is running.
    ///
    /// From then on no daemon begins for as long as the connection is open.
    func verify(on connection: borrowing Connection) throws {
        let slot = try SlotState.named(Slot.name(task: task), on: connection)
        if let slot, slot.isActive { throw Slot.active(slot.name, pid: slot.activePID) }
        guard let refusal = try TaskLock.take(task, on: connection) else { return }
        throw TaskLock.running(task, refusal.holder)
    }

    /// Drops everything, the slot first.
    ///
    /// Without the slot the checkpoint leads nowhere, and a run between the two says so. The
    /// publication comes last, since it may be somebody else's.
    func run(on connection: borrowing Connection, sink: (any Sink)?) throws {
        try verify(on: connection)
        let checkpoint = try sink?.open()
        do {
            if let checkpoint, checkpoint.task != task {
                throw WalrelayError(
                    "checkpoint.other_task",
                    exit: .checkpointMismatch,
                    "The sink holds the checkpoint of task \"\(checkpoint.task)\", "
                        + "not of \"\(task)\"",
                    hint: "give each task a sink of its own"
                )
            }
            let slot = Slot.name(task: task)
            say(try Slot.drop(slot, on: connection), "slot \(slot)")
            try sink?.removeCheckpoint()
            say(checkpoint != nil, "checkpoint of the sink")
        } catch {
            try? sink?.close()
            throw error
        }
        let name = Publication.name(task: task)
        print(try Publication.drop(task: task, on: connection).text(of: name))
    }

    private func say(_ isDropped: Bool, _ what: String) {
        print(isDropped ? "dropped \(what)" : "there was no \(what)")
    }
}
