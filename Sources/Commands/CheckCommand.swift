// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ChangeModel
import Foundation
import Glibc
import LibPQ
import NDJSONSink
import PostgresSink
import Replication
import Settings

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check every prerequisite of a task; changes nothing.",
        discussion: """
            One line each: ok, warning or failed, what was found, and the statement or setting \
            that mends it. Looks at the source and at the sink, and needs the passwords of both. \
            Exits with 0 when nothing failed, with 77 when a prerequisite is not met, and with \
            the code that `run` would end with where it cannot look.

            EXAMPLES
              walrelay check --config /etc/walrelay/orders.yaml
              walrelay check --config orders.yaml --json | jq '.[] | select(.level != "ok")'
            """
    )

    @OptionGroup var config: ConfigOption
    @Flag(name: .long, help: "Print the findings as JSON.") var json = false

    func run() async throws {
        let settings = try config.load()
        _ = try settings.http.readToken(environment: ProcessInfo.processInfo.environment)
        let requirements = Requirements(
            task: settings.task,
            tables: settings.tables,
            needsSnapshot: settings.snapshot.mode != .never,
            retainWarning: settings.slot.retainWarning.map(Int64.init),
            failover: settings.slot.failover
        )
        let source = try settings.sourceParameters()
        let target = try settings.postgresTarget(database: source.database)
        let checkBrokers = try KafkaAssembly.check(settings, database: source.database)
        let warned = settings.warnings.map {
            Finding("settings.unwise", .warning, subject: "settings", found: $0)
        }
        let findings = try await onOwnThread(named: "check") {
            do {
                let connection = try Connection.open(source.for(.check))
                var findings = warned + connection.encryption.findings(setting: "source")
                findings += try Prerequisites.check(requirements, on: connection)
                if let directory = settings.sink.directory {
                    findings += DirectoryCheck.findings(directory)
                }
                try ImpatientSupervisor.asking {
                    if let target { findings += try Self.findings(of: target, asking: connection) }
                    if let checkBrokers { findings += try checkBrokers(connection) }
                }
                return findings
            } catch let error as PostgresError {
                throw WalrelayError(
                    error,
                    while: "connecting to the source \(source.destination)"
                )
            }
        }
        let isColoured = TerminalScreen.isColoured(
            STDOUT_FILENO,
            ProcessInfo.processInfo.environment
        )
        print(
            json
                ? try FindingsReport.json(findings)
                : FindingsReport.text(findings, colors: isColoured),
            terminator: ""
        )
        // What failed stands in the report already; only the code is left to say.
        if let failure = Prerequisites.firstFailure(findings) {
            throw ArgumentParser.ExitCode(failure.exit.rawValue)
        }
    }

    /// What the postgresql sink's server has to say of the tables that the source has.
    private static func findings(
        of target: PostgresSinkOptions,
        asking source: borrowing Connection
    ) throws -> [Finding] {
        let tables = try SourceCatalog.tables(target.selection, measured: false, on: source)
        let relations = tables.map(\.relation)
        let found = try PostgresSink.check(
            target,
            relations: relations,
            types: SourceCatalog.types(
                relations.flatMap { TypeCatalog().unknown(in: $0) },
                on: source
            ),
            supervisor: ImpatientSupervisor()
        )
        return found.map { finding in
            var finding = finding
            if finding.subject != "target" { finding.subject = "target \(finding.subject)" }
            return finding
        }
    }
}
