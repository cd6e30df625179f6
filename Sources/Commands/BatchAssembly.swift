// SPDX-License-Identifier: Apache-2.0
//
// From a job document to its two ends; the one place that knows all plug-ins.

import BatchJobs
import ChangeModel
import Glibc
import Settings

/// A job's source and target, and the servers behind them.
struct BatchAssembly {
    /// Where datasources are looked for when no file is named, the first that exists.
    static let defaultPaths = ["config/datasources.yaml", "/etc/walrelay/datasources.yaml"]

    /// How both ends are opened.
    let ends: JobEnds
    /// Sentences for the operator about the datasources.
    let warnings: [String]

    /// Reads the datasources where the job names one; connects to nothing.
    ///
    /// Blocks on the file system. Throws `datasources.…` and `job.unknown_datasource`, exit 78.
    init(
        _ job: Job,
        datasources path: String?,
        environment: [String: String]
    ) throws(WalrelayError) {
        var datasources: Datasources?
        if job.namesDatasource,
            let path = path ?? Self.defaultPaths.first(where: { access($0, F_OK) == 0 })
        {
            datasources = try Datasources.load(path: path, environment: environment)
        }
        warnings = datasources?.warnings ?? []
        let reader: @Sendable (Int, JobContext) throws -> any RecordSource
        switch job.reader {
        case .stream(let step):
            reader = { channels, _ in GeneratedSource(step, channels: channels) }
        case .postgresql(let step):
            let connection = try job.connection(of: step.server, in: datasources)
            reader = { channels, context in
                try PostgresSource(
                    step,
                    server: connection.parameters(),
                    channels: channels,
                    context: context
                )
            }
        }
        let writer: @Sendable (RecordShape, JobContext) throws -> any RecordTarget
        switch job.writer {
        case .stream(let step):
            writer = { _, context in try PrintingTarget(step, context: context) }
        case .postgresql(let step):
            let connection = try job.connection(of: step.server, in: datasources)
            writer = { shape, context in
                try PostgresTarget(
                    step,
                    server: connection.parameters(),
                    shape: shape,
                    context: context
                )
            }
        }
        ends = JobEnds(source: reader, target: writer)
    }
}

extension Job {
    fileprivate var namesDatasource: Bool {
        func isNamed(_ server: Server) -> Bool {
            if case .datasource = server { true } else { false }
        }
        if case .postgresql(let step) = reader, isNamed(step.server) { return true }
        if case .postgresql(let step) = writer, isNamed(step.server) { return true }
        return false
    }
}
