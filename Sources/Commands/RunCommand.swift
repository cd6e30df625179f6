// SPDX-License-Identifier: Apache-2.0
//
// `walrelay run`: the pipeline on a thread of its own; signals, HTTP and systemd around it as
// services of one group. Whoever ends first ends the others in good order.

import ArgumentParser
import ChangeModel
import Foundation
import Glibc
import LibPQ
import Logging
import Operations
import Pipeline
import ServiceLifecycle
import Settings
import Synchronization
import UnixSignals

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Snapshot and stream until stopped.",
        discussion: """
            Checks the prerequisites, makes the publication and the slot where they are absent, \
            copies the tables once and then streams every committed change. SIGTERM and SIGINT \
            bring what was received to the sink and end the run with exit code 0.

            Goes on from where the sink is; a table is not copied again. Progress is shown on a \
            terminal, log lines on standard error elsewhere. What is unreachable is tried again \
            for as long as retry.for says; any other end is an error with what to try next, and \
            the exit codes are those of `walrelay --help`.

            A run that ends with exit code 74 has found that changes are lost: the slot is gone, \
            was given up or was made anew, or the publication was. Going on takes a new snapshot, \
            which --resnapshot asks for. It drops the slot that does not fit, never one in use. \
            Files and topics keep what they have, and get all rows again behind it; tables of \
            another PostgreSQL are emptied first, or merged into with ifNotEmpty: merge. Where \
            all fits it changes nothing. A run of it that is interrupted is gone on with by a \
            plain run.

            EXAMPLES
              walrelay run --config /etc/walrelay/orders.yaml
              walrelay run --config orders.yaml --until now
            """
    )

    @OptionGroup var config: ConfigOption

    @Option(
        name: .long,
        help: "End once everything up to the position is durable: now, or an LSN like 16/B374D848.",
        completion: .list(["now"])
    )
    var until: UntilOption?

    @Flag(
        name: .long,
        help: """
            Take a new snapshot if the slot is lost or does not fit the sink's checkpoint; \
            otherwise go on as without it.
            """
    )
    var resnapshot = false

    func run() async throws {
        ReloadService.prepare()
        let settings = try config.load()
        let environment = ProcessInfo.processInfo.environment
        let showsBar = Self.showsBar(settings, environment)
        let output = LogOutput.standardError(
            format: settings.log.format == .json ? .json : .text,
            environment: environment,
            clearsLine: showsBar
        )
        let log = Self.logger(settings, output: output)
        try await LogEnding.saying(to: log, output) {
            try await run(settings, log, output, showsBar: showsBar)
        }
    }

    private func run(
        _ settings: Settings,
        _ log: Logger,
        _ output: LogOutput,
        showsBar: Bool
    ) async throws {
        log.notice(
            "walrelay \(walrelayVersion) begins",
            metadata: ["pid": .stringConvertible(Int(getpid()))]
        )
        for warning in settings.warnings { log.warning("\(warning)") }
        let live = LiveSettings(settings)
        var options = try settings.taskOptions(live: live)
        options.until = until?.until
        options.resnapshot = resnapshot
        let board = StatusBoard(
            task: settings.task,
            version: walrelayVersion,
            sinkKind: settings.sink.kind.rawValue
        )
        let stop = StopSignal()
        let database = options.source.database
        // What this build does not have is said before anything is touched.
        _ = try SinkAssembly.sink(settings, database: database, log: log)
        let liveOptions = LiveOptions(options)
        let runner = TaskRunner(
            live: liveOptions,
            board: board,
            stop: stop,
            log: log,
            makeSink: { supervisor in
                var now = live.current
                now.tables = liveOptions.current.tables
                return try SinkAssembly.sink(now, live: live, database: database, log: log)(
                    supervisor
                )
            }
        )
        let watch = CertificateWatch(
            try settings.watchedEnds(live: live),
            board: board,
            stop: stop,
            log: log
        )
        watch.start()
        defer {
            stop.request()
            watch.waitForEnd()
        }
        let display = showsBar ? ProgressDisplay(RunProgressText(board: board)) { _ in } : nil
        defer { display?.end() }
        let services = try services(
            settings,
            live,
            liveOptions,
            board: board,
            output: output,
            requestStop: { runner.requestStop() },
            log: log
        )
        try await Self.serve(
            PipelineService(runner: runner, log: log),
            beside: services,
            log: log
        )
    }

    /// What stands beside the pipeline: HTTP, systemd, the log's reporter, and who reloads them.
    private func services(
        _ settings: Settings,
        _ live: LiveSettings,
        _ options: LiveOptions,
        board: StatusBoard,
        output: LogOutput,
        requestStop: @escaping @Sendable () -> Void,
        log: Logger
    ) throws -> [any Service] {
        let http = try Self.httpService(
            settings.http,
            board: board,
            ask: { options.ask(for: $0) },
            log: log
        )
        let notifier = SystemdNotifier(
            board: board,
            logger: log,
            environment: ProcessInfo.processInfo.environment
        )
        let reload = ReloadService(
            load: { [config] in try config.load() },
            settings: live,
            options: options,
            http: http,
            output: output,
            notifier: notifier,
            requestStop: requestStop,
            log: log
        )
        let reporter = LogReporter(board: board, logger: log, output: output)
        return [http, notifier, reload, reporter, HistoryRecorder(board: board)]
    }

    /// A bar is shown on a terminal to which nothing else is written than the log.
    private static func showsBar(_ settings: Settings, _ environment: [String: String]) -> Bool {
        isatty(STDERR_FILENO) == 1 && TerminalScreen.isCapable(environment)
            && !(settings.sink.kind == .stream && isatty(STDOUT_FILENO) == 1)
    }

    static func logger(_ settings: Settings, output: LogOutput) -> Logger {
        output.level = Logger.Level(rawValue: settings.log.level.rawValue) ?? .info
        var log = Logger(label: "walrelay") { _ in LineLogHandler(output: output) }
        log[metadataKey: "task"] = "\(settings.task)"
        return log
    }

    private static func httpService(
        _ http: Settings.HTTP,
        board: StatusBoard,
        ask: @escaping @Sendable ([TableName]) -> Bool,
        log: Logger
    ) throws -> HealthService {
        let address = ListenAddress(http)
        // A port that is taken is a fault of the settings: say so before anything is touched.
        try address?.probe()
        return HealthService(
            listen: address,
            access: try HTTPAssembly.access(http, log: log),
            board: board,
            ask: ask,
            logger: log
        )
    }

    /// Runs the pipeline and what stands beside it until one of them ends.
    private static func serve(
        _ pipeline: PipelineService,
        beside others: [any Service],
        log: Logger
    ) async throws {
        var services: [ServiceGroupConfiguration.ServiceConfiguration] = others.map {
            .init(service: $0, failureTerminationBehavior: .gracefullyShutdownGroup)
        }
        services.append(
            .init(
                service: pipeline,
                successTerminationBehavior: .gracefullyShutdownGroup,
                failureTerminationBehavior: .gracefullyShutdownGroup
            )
        )
        var configuration = ServiceGroupConfiguration(
            services: services,
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: log
        )
        configuration.maximumGracefulShutdownDuration = .seconds(30)
        configuration.logger.logLevel = .critical
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch {
            throw pipeline.failure ?? error
        }
        // The group forgets what a service throws that has used up its time.
        if let failure = pipeline.failure { throw failure }
    }
}

/// The pipeline as a service: it blocks a thread of its own, and a shutdown asks it to stop.
final class PipelineService: Service {
    private let runner: TaskRunner
    private let log: Logger
    private let failed = Mutex<WalrelayError?>(nil)

    init(runner: TaskRunner, log: Logger) {
        (self.runner, self.log) = (runner, log)
    }

    /// What the run has ended with; nil before its end, and where it has ended well.
    var failure: WalrelayError? { failed.withLock(\.self) }

    func run() async throws {
        try await withTaskCancellationOrGracefulShutdownHandler {
            do {
                try await onOwnThread(named: "pipeline") { [runner] in try runner.run() }
            } catch let error as WalrelayError {
                failed.withLock { $0 = error }
                throw error
            }
        } onCancelOrGracefulShutdown: { [runner, log] in
            log.notice("asked to stop: what was received goes to the sink")
            runner.requestStop()
        }
    }
}

/// `--until now` or `--until LSN`.
struct UntilOption: ExpressibleByArgument {
    let until: TaskOptions.Until

    init?(argument: String) {
        if argument == "now" {
            until = .now
        } else if let lsn = LSN(argument) {
            until = .lsn(lsn)
        } else {
            return nil
        }
    }
}
