// SPDX-License-Identifier: Apache-2.0
//
// From the settings to a sink; the one place that knows all kinds.

import ChangeModel
import Logging
import NDJSONSink
import PostgresSink
import Settings
import Sink

enum SinkAssembly {
    /// How the task's sink is made; throws for a kind that this build does not have.
    static func sink(
        _ settings: Settings,
        live: LiveSettings? = nil,
        database: String,
        log: Logger
    ) throws(WalrelayError) -> @Sendable (any SinkSupervisor) throws -> any Sink {
        let format = settings.format
        let (task, database) = (settings.task, database)
        switch settings.sink {
        case .ndjson(let section):
            let options = NDJSONSink.Options(
                directory: section.directory,
                rotateBytes: Int64(section.rotate),
                format: format,
                task: task,
                database: database,
                version: walrelayVersion
            )
            return { supervisor in NDJSONSink(options, supervisor: supervisor, logger: log) }
        case .stream:
            return { supervisor in
                StreamSink(
                    task: task,
                    database: database,
                    version: walrelayVersion,
                    format: format,
                    supervisor: supervisor
                )
            }
        case .postgresql(let section):
            let options = try postgresOptions(
                section,
                settings,
                live: live,
                database: database
            )
            return { supervisor in PostgresSink(options, supervisor: supervisor, logger: log) }
        case .kafka(let section):
            return try KafkaAssembly.sink(section, settings, database: database, log: log)
        }
    }

    /// The postgresql sink's options; blocks on password files.
    static func postgresOptions(
        _ section: Settings.Sink.PostgreSQL,
        _ settings: Settings,
        live: LiveSettings? = nil,
        database: String
    ) throws(WalrelayError) -> PostgresSinkOptions {
        var options = PostgresSinkOptions(
            task: settings.task,
            version: walrelayVersion,
            database: database,
            source: try settings.sourceParameters(live: live),
            target: try section.connection.parameters(
                of: settings.task,
                now: live?.target(section.connection)
            ),
            selection: settings.tables
        )
        options.schema =
            switch section.schema {
            case .same: .same
            case .named(let name): .named(name)
            }
        options.createTables = section.createTables
        options.copiesIndexes = section.indexes == .afterSnapshot
        options.ifNotEmpty =
            switch section.ifNotEmpty {
            case .refuse: .refuse
            case .truncate: .truncate
            case .merge: .merge
            }
        options.onRowError = section.onRowError == .stop ? .stop : .deadLetter
        options.format = settings.format
        options.takesSnapshot = settings.snapshot.mode != .never
        return options
    }
}

extension Settings {
    /// The options of a postgresql sink; `nil` where the task has another.
    func postgresTarget(database: String) throws(WalrelayError) -> PostgresSinkOptions? {
        guard case .postgresql(let section) = sink else { return nil }
        return try SinkAssembly.postgresOptions(section, self, database: database)
    }
}

extension Settings.Sink {
    /// The directory of a sink that has one.
    var directory: String? {
        if case .ndjson(let section) = self { section.directory } else { nil }
    }
}
