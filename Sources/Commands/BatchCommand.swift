// SPDX-License-Identifier: Apache-2.0
//
// `walrelay batch`: the job on a thread of its own, its progress on standard error, its statistics
// on standard output, or beside the progress where the job itself prints there. SIGTERM and SIGINT
// have it rolled back.

import ArgumentParser
import BatchJobs
import ChangeModel
import Foundation
import LibPQ
import Logging
import Operations
import Settings
import UnixSignals

struct BatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch",
        abstract: "Run a batch job: copy rows from a reader to a writer.",
        discussion: """
            Takes job files as DataWorks and DataX have them, with the plug-ins postgresql and \
            stream. All parallel readers see one snapshot of the source; each batch is one \
            transaction on the target. A job that is killed or fails leaves the batches that were \
            committed.

            Prints the closing statistics, on standard error where the job prints its rows. \
            Exits with 65 when there are more dirty records than errorLimit allows, and with 143 \
            when it was killed.

            EXAMPLES
              walrelay batch orders.json --dry-run
              walrelay batch orders.json -p bizdate=2026-01-31
            """
    )

    @Argument(
        help: ArgumentHelp("The job file (JSON).", valueName: "job"),
        completion: .file(extensions: ["json"])
    )
    var file: String

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The datasources that the job names (YAML). (default: config/datasources.yaml, else "
                + "/etc/walrelay/datasources.yaml)",
            valueName: "file"
        ),
        completion: .yamlFile
    )
    var datasources: String?

    @Option(
        name: .customShort("p"),
        help: ArgumentHelp("What ${name} stands for in the job.", valueName: "name=value")
    )
    var parameters: [BatchParameter] = []

    @Flag(
        name: .long,
        help: "Connect, print the slices and the statements, and write nothing."
    )
    var dryRun = false

    func validate() throws {
        var names: Set<String> = []
        for parameter in parameters where !names.insert(parameter.name).inserted {
            throw ValidationError("-p \(parameter.name)=… is given twice")
        }
    }

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let output = LogOutput.standardError(
            format: .text,
            environment: environment,
            clearsLine: true
        )
        defer { output.flush() }
        let log = Logger(label: "walrelay") { _ in
            LineLogHandler(output: output)
        }
        let job = try Job.load(
            path: file,
            parameters: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) })
        )
        for warning in job.warnings { log.warning("\(warning)") }
        let assembly = try BatchAssembly(job, datasources: datasources, environment: environment)
        for warning in assembly.warnings { log.warning("\(warning)") }
        let runner = JobRunner(job, ends: assembly.ends, log: log)
        let signals = Task {
            for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
                runner.kill()
            }
        }
        defer { signals.cancel() }
        guard !dryRun else {
            let plan = try await onOwnThread(named: "job") { try runner.plan() }
            return try StandardOutput.write(BatchText.plan(plan))
        }
        try await Self.run(runner, printsRows: job.printsRows, log: log)
    }

    /// Runs the job, and says what it did however it ended.
    private static func run(_ runner: JobRunner, printsRows: Bool, log: Logger) async throws {
        let display = ProgressDisplay(BatchProgressText { runner.progress }) { line in
            log.info("\(line)")
        }
        defer { display.end() }
        let tell = {
            display.end()
            let progress = runner.progress
            // Nothing was read: there is no more to say than what failed.
            guard progress.copying > .zero else { return }
            let channel = printsRows ? FileHandle.standardError : .standardOutput
            try? channel.write(contentsOf: Data(BatchText.statistics(progress).utf8))
        }
        do {
            try await onOwnThread(named: "job") { try runner.run() }
        } catch {
            // Whoever read the rows has gone: that is no end to speak of.
            if (error as? WalrelayError)?.exit != .success { tell() }
            throw error
        }
        tell()
    }
}

/// `-p NAME=VALUE`.
struct BatchParameter: ExpressibleByArgument {
    let name: String
    let value: String

    init?(argument: String) {
        guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex else {
            return nil
        }
        name = String(argument[..<equals])
        value = String(argument[argument.index(after: equals)...])
    }
}

extension Job {
    /// Whether its rows go to the standard output.
    fileprivate var printsRows: Bool {
        if case .stream(let writer) = writer { writer.prints } else { false }
    }
}
