// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ChangeModel
import Foundation
import LibPQ
import Pipeline
import Replication
import Settings

/// `--config FILE`, which nearly every command takes.
struct ConfigOption: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("The settings file of the task (YAML).", valueName: "file"),
        completion: .yamlFile
    )
    var config: String

    /// Reads the settings file; blocks.
    func load() throws -> Settings {
        try Settings.load(path: config, environment: ProcessInfo.processInfo.environment)
    }
}

extension CompletionKind {
    /// Settings and datasources.
    static var yamlFile: CompletionKind { .file(extensions: ["yaml", "yml"]) }
}

extension Settings {
    /// How the source is reached, with the password as it is now.
    ///
    /// Blocks. With `live` later connections take what the settings say then.
    func sourceParameters(
        live: LiveSettings? = nil
    ) throws(WalrelayError) -> ConnectionParameters {
        try source.parameters(of: task, now: live?.source)
    }

    /// The task's options as the pipeline takes them.
    ///
    /// Blocks.
    func taskOptions(live: LiveSettings? = nil) throws -> TaskOptions {
        var options = TaskOptions(
            task: task,
            source: try sourceParameters(live: live),
            tables: tables
        )
        options.snapshot =
            switch snapshot.mode {
            case .initial: .initial
            case .never: .never
            case .only: .only
            }
        options.snapshotWorkers = snapshot.workers
        options.budget.warning = slot.retainWarning.map(Int64.init)
        options.budget.stop = slot.retainStop.map(Int64.init)
        options.failover = slot.failover
        options.policy.onTruncate =
            switch stream.onTruncate {
            case .stop: .stop
            case .ignore: .ignore
            case .apply: .apply
            }
        options.policy.acceptedDDL = Set(stream.acceptDDL)
        options.batchRows = batch.rows
        options.batchBytes = batch.bytes
        options.batchDelay = batch.delay
        options.retryFor = retry.limit
        return options
    }
}

extension Settings {
    /// The task's servers whose certificates are watched.
    ///
    /// Blocks.
    func watchedEnds(live: LiveSettings) throws(WalrelayError) -> [CertificateWatch.End] {
        let source = CertificateWatch.End(
            .source,
            setting: "source",
            parameters: try sourceParameters(live: live)
        )
        guard case .postgresql(let section) = sink else { return [source] }
        let target = CertificateWatch.End(
            .target,
            setting: "sink.postgresql",
            parameters: try section.connection.parameters(
                of: task,
                now: live.target(section.connection)
            )
        )
        return [source, target]
    }
}

extension Settings.Connection {
    /// How the server is reached, with the password as it is now; read again on each connection.
    ///
    /// `task` stands in the sessions' names; `now` gives the settings whose secrets a connection
    /// takes that is made later. Blocks.
    func parameters(
        of task: String? = nil,
        now: (@Sendable () -> Settings.Connection)? = nil
    ) throws(WalrelayError) -> ConnectionParameters {
        let environment = ProcessInfo.processInfo.environment
        var parameters = ConnectionParameters(
            keywords: try keywords(environment: environment),
            connectTimeout: connectTimeout,
            refresh: { [self] () throws(WalrelayError) in
                try (now?() ?? self).secrets(environment: environment)
            }
        )
        parameters.task = task
        return parameters
    }
}
