// SPDX-License-Identifier: Apache-2.0
//
// `walrelay snapshot`: has tables of a task copied once more. A task that is running is asked over
// HTTP and copies them beside its stream; of one that is not, the wish is noted in its checkpoint,
// and the next run does it. Which of the two is the case the task's lock on the source tells.

import ArgumentParser
import ChangeModel
import Foundation
import FoundationNetworking
import LibPQ
import Logging
import Replication
import Settings
import Sink

struct SnapshotCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Copy tables of a task once more, beside its stream.",
        discussion: """
            Asks the running task, over HTTP at http.listen of its settings; where it is not \
            running, notes it in the task's checkpoint for the next run. Other tables stream on; \
            changes of these wait only from the copy's position on, until all rows are there.

            Files and topics get the rows again, as events of op r. Tables of another PostgreSQL \
            are emptied and filled again: a reader sees them empty, then filling, and exact as \
            soon as the log says that they were added; with ifNotEmpty: merge rows are merged \
            over what is there.

            EXAMPLES
              walrelay snapshot --config /etc/walrelay/orders.yaml public.orders
              walrelay snapshot --config orders.yaml 'sales.*'
            """
    )

    @OptionGroup var config: ConfigOption

    @Argument(
        help: ArgumentHelp(
            "Tables of the source, written as in tables.include.",
            valueName: "table"
        )
    )
    var tables: [String]

    func run() async throws {
        let settings = try config.load()
        let patterns = try tables.map { try TablePattern(argument: $0) }
        let parameters = try settings.sourceParameters()
        let names = try await asking(parameters.for(.control), "looking for the tables") {
            try Self.names(patterns, settings.tables, on: $0)
        }
        let isRunning = try await onOwnThread(named: "lock") {
            try Self.note(names, settings, parameters)
        }
        let list = Prose.list(names.map(\.description))
        guard isRunning else {
            return print("Noted: the next run copies \(list) once more.")
        }
        setenv("no_proxy", "*", 1)
        let environment = ProcessInfo.processInfo.environment
        let address = try StatusAddress(of: settings.task, settings.http, path: config.config)
        try await address.askForSnapshot(
            of: names,
            token: settings.http.readToken(environment: environment).map { Secret($0) }
        )
        print("Asked for: the task copies \(list) once more; its log and /status say how far.")
    }

    /// The tables that are meant, of those that the settings take.
    ///
    /// Throws `usage.table`, exit 64, for a pattern that means none.
    private static func names(
        _ patterns: [TablePattern],
        _ selection: TableSelection,
        on connection: borrowing Connection
    ) throws -> [TableName] {
        let taken = try SourceCatalog.tables(selection, measured: false, on: connection)
            .map { TableName(schema: $0.relation.schema, name: $0.relation.name) }
        for pattern in patterns
        where !taken.contains(where: { pattern.matches(schema: $0.schema, name: $0.name) }) {
            throw WalrelayError(
                "usage.table",
                exit: .usage,
                "\(pattern) is no table that the task takes",
                hint: "put it into tables.include and reload: then it is copied by itself"
            )
        }
        return taken.filter { name in
            patterns.contains { $0.matches(schema: name.schema, name: name.name) }
        }
    }

    /// Notes the wish in the checkpoint of a task that nobody runs; returns whether somebody does.
    ///
    /// Blocks.
    private static func note(
        _ names: [TableName],
        _ settings: Settings,
        _ parameters: ConnectionParameters
    ) throws -> Bool {
        let lock = TaskLock(task: settings.task, parameters: parameters)
        defer { lock.release() }
        while true {
            switch lock.state {
            case .held: return true
            case .lost(let error): throw error
            case .asking: lock.wait(for: .milliseconds(500))
            case .ours:
                try ImpatientSupervisor.asking {
                    try note(names, in: sink(settings, parameters), of: settings.task)
                }
                return false
            }
        }
    }

    private static func sink(
        _ settings: Settings,
        _ parameters: ConnectionParameters
    ) throws -> any Sink {
        let log = Logger(label: "walrelay") { _ in SwiftLogNoOpLogHandler() }
        return try SinkAssembly.sink(settings, database: parameters.database, log: log)(
            ImpatientSupervisor()
        )
    }

    private static func note(_ names: [TableName], in sink: any Sink, of task: String) throws {
        let opened = try sink.open()
        defer { try? sink.close() }
        guard sink.keepsCheckpoint else {
            throw WalrelayError(
                "task.not_running",
                exit: .unreachable,
                "Task \(task) is not running, and its sink keeps no checkpoint in which this could "
                    + "be noted",
                hint: "start it, then ask again"
            )
        }
        guard var checkpoint = opened, checkpoint.snapshot == .complete,
            checkpoint.task == task
        else {
            throw WalrelayError(
                "snapshot.not_begun",
                exit: .prerequisite,
                "Task \(task) has no checkpoint with a whole snapshot, in which this could be noted",
                hint: "run it: what is not copied yet is copied then"
            )
        }
        for name in names { try checkpoint.ask(for: name) }
        try sink.commit(checkpoint)
    }
}

extension StatusAddress {
    /// Asks a running task to copy tables once more; throws where it does not take the wish.
    func askForSnapshot(of names: [TableName], token: Secret?) async throws {
        // Whoever answers there has to be the task.
        _ = try await ask(token: token)
        var parts = URLComponents(url: url, resolvingAgainstBaseURL: false)
        parts?.path = "/snapshot"
        guard let url = parts?.url else { return }
        var request = URLRequest(url: url)
        request.httpMethod = "POST"
        request.setValue(names.asHeader, forHTTPHeaderField: "Walrelay-Tables")
        if let token {
            request.setValue("Bearer \(token.reveal())", forHTTPHeaderField: "Authorization")
        }
        let (code, body) = try await reply(to: request)
        guard code == 202 else {
            let reason = String(decoding: body.prefix(500), as: UTF8.self)
            throw WalrelayError(
                "snapshot.refused",
                exit: .unreachable,
                "The running task does not take the wish (HTTP \(code)): "
                    + reason.trimmingCharacters(in: .whitespacesAndNewlines),
                hint: code == 403
                    ? "set http.tokenFile and reload, or stop the task: then the wish is noted"
                    : "try again once `walrelay status` says streaming"
            )
        }
    }
}
