// SPDX-License-Identifier: Apache-2.0
//
// `walrelay run`: the pipeline on a thread of its own; signals, HTTP and systemd around it as
// services of one group. Whoever ends first ends the others in good order.

import ArgumentParser
import ChangeModel
import Foundation
import LibPQ
import Logging
import Operations
import Pipeline
import ServiceLifecycle
import Settings
import UnixSignals

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Snapshot and stream until stopped.",
        discussion: """
            Checks the prerequisites, makes the publication and the slot where they are absent, \
            copies the tables once and then streams every committed change. SIGTERM and SIGINT \
            bring what was received to the sink and end the run with exit code 0.
            """
    )

    @OptionGroup var config: ConfigOption

    @Option(
        name: .long,
        help: "End once everything up to the position is durable: now, or an LSN like 16/B374D848."
    )
    var until: UntilOption?

    func run() async throws {
        ReloadService.prepare()
        let settings = try config.load()
        let output = LogOutput.standardError(
            format: settings.log.format == .json ? .json : .text,
            environment: ProcessInfo.processInfo.environment
        )
        defer { output.flush() }
        output.set(
            format: settings.log.format == .json ? .json : .text,
            level: Logger.Level(rawValue: settings.log.level.rawValue) ?? .info
        )
        let log = Self.logger(settings, output: output)
        for warning in settings.warnings { log.warning("\(warning)") }
        let live = LiveSettings(settings)
        var options = try settings.taskOptions(live: live)
        options.until = until?.until
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
        let http = try Self.httpService(settings.http, board: board, log: log)
        let notifier = SystemdNotifier(
            board: board,
            logger: log,
            environment: ProcessInfo.processInfo.environment
        )
        let reload = ReloadService(
            load: { [config] in try config.load() },
            settings: live,
            options: liveOptions,
            http: http,
            output: output,
            notifier: notifier,
            stop: stop,
            log: log
        )
        try await Self.serve(
            PipelineService(runner: runner, stop: stop),
            beside: [http, notifier, reload],
            log: log
        )
    }

    static func logger(_ settings: Settings, output: LogOutput) -> Logger {
        var log = Logger(label: "walrelay") { label in
            LineLogHandler(label: label, output: output)
        }
        log[metadataKey: "task"] = "\(settings.task)"
        return log
    }

    private static func httpService(
        _ http: Settings.HTTP,
        board: StatusBoard,
        log: Logger
    ) throws -> HealthService {
        let address = ListenAddress(http)
        // A port that is taken is a fault of the settings: say so before anything is touched.
        try address?.probe()
        return HealthService(
            listen: address,
            access: try HTTPAssembly.access(http, log: log),
            board: board,
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
        try await ServiceGroup(configuration: configuration).run()
    }
}

/// The pipeline as a service: it blocks a thread of its own, and a shutdown asks it to stop.
struct PipelineService: Service {
    let runner: TaskRunner
    let stop: StopSignal

    func run() async throws {
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await onOwnThread(named: "pipeline") { [runner] in try runner.run() }
        } onCancelOrGracefulShutdown: {
            stop.request()
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
