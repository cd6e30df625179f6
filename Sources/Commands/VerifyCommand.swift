// SPDX-License-Identifier: Apache-2.0
//
// `walrelay verify`: the comparison on a thread of its own, its progress on standard error, its
// report on standard output. SIGTERM and SIGINT end it in good order.

import ArgumentParser
import ChangeModel
import Foundation
import LibPQ
import Logging
import Operations
import Pipeline
import PostgresSink
import Settings
import UnixSignals
import Verify

struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare source and postgresql sink at one position, while writes go on.",
        discussion: """
            Every row of both sides is read once, by its own server, which answers with counts \
            and checksums; what differs is looked at row by row. The task goes on meanwhile; \
            where nobody runs it, it is run here until the sink has come to the source's position.

            Prints a line a table, and below it the key ranges that differ. Exits with 0 when all \
            is equal, with 65 when something differs, and with 75 when it was stopped before that \
            was known.

            --repair makes the differing rows of the sink what they are on the source, and \
            compares again. The task is held back between two transactions while that is done, \
            for a minute at most.

            EXAMPLES
              walrelay verify --config /etc/walrelay/orders.yaml
              walrelay verify --config orders.yaml public.orders 'sales.*' --repair
            """
    )

    @OptionGroup var config: ConfigOption

    @Argument(
        help: ArgumentHelp(
            "Tables of the source, written as in tables.include; all of the task where none is.",
            valueName: "table"
        )
    )
    var tables: [String] = []

    @Flag(name: .long, help: "Mend the rows that differ, in the sink, and compare again.")
    var repair = false

    @Flag(name: .long, help: "Print the report as JSON.") var json = false

    func run() async throws {
        let settings = try config.load()
        let only = try tables.map { try TablePattern(argument: $0) }
        let output = LogOutput.standardError(
            format: settings.log.format == .json ? .json : .text,
            environment: ProcessInfo.processInfo.environment,
            clearsLine: true
        )
        defer { output.flush() }
        let log = RunCommand.logger(settings, output: output)
        let stop = StopSignal()
        var options = try settings.verifyOptions(stop: stop, log: log)
        options.only = only
        options.repairs = repair
        let verification = Verification(options, stop: stop, log: log)
        let display = ProgressDisplay(VerifyProgressText(verification.progress)) { line in
            ProgressDisplay.write("verify: \(line)\n")
        }
        defer { display.end() }
        let signals = Task {
            for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
                stop.request()
            }
        }
        defer { signals.cancel() }
        let report = try await onOwnThread(named: "verify") { try verification.run() }
        display.end()
        let text = json ? try VerifyText.json(report) : VerifyText.text(report)
        guard !report.isEqual else { return try StandardOutput.write(text) }
        // What differs stands in the report already; only the code is left to say, whoever has
        // read how much of it.
        try? StandardOutput.write(text)
        throw ArgumentParser.ExitCode(ExitCode.refused.rawValue)
    }
}

extension Settings {
    /// How the task's sink is compared; throws where it is no postgresql sink.
    ///
    /// Blocks.
    fileprivate func verifyOptions(stop: StopSignal, log: Logger) throws -> VerifyOptions {
        guard case .postgresql(let section) = sink else {
            throw WalrelayError(
                "verify.no_target",
                exit: .usage,
                "The task has a sink of kind \(sink.kind.rawValue): only a postgresql sink can be "
                    + "compared with its source"
            )
        }
        let task = try taskOptions()
        let target = try SinkAssembly.postgresOptions(
            section,
            self,
            database: task.source.database
        )
        let makeSink = try SinkAssembly.sink(self, database: task.source.database, log: log)
        var options = VerifyOptions(
            task: self.task,
            source: task.source,
            target: target.target,
            selection: tables,
            catchUp: { [self] lsn in
                var task = task
                task.until = .lsn(lsn)
                let board = StatusBoard(
                    task: task.task,
                    version: walrelayVersion,
                    sinkKind: sink.kind.rawValue
                )
                try TaskRunner(
                    options: task,
                    board: board,
                    stop: stop,
                    log: log,
                    makeSink: makeSink
                ).run()
            }
        )
        options.workers = snapshot.workers
        options.waitLimit = retry.limit
        let naming = TableNaming(schema: target.schema, selection: target.selection)
        options.targetName = { naming.target(of: $0) }
        return options
    }
}
