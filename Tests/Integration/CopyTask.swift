// SPDX-License-Identifier: Apache-2.0
//
// One task that keeps a copy in another server: its settings, its daemons, and what both servers
// say of it. `differences` is the judge: ordered dumps of both sides, byte for byte.
import Foundation
import Support

/// A task from the source to the target of a pair of servers.
struct CopyTask: Sendable {
    let servers: TwinServers
    /// The database of the source.
    let database: String
    /// The database of the target.
    let targetDatabase: String
    /// Settings, status and daemons, as of any task.
    let relay: RelayTask

    /// Writes the settings.
    ///
    /// `target` holds further entries of `sink.postgresql` as YAML, such as `schema: copy`;
    /// `more` further lines of the whole document.
    init(
        _ servers: TwinServers,
        name: String = "copy",
        database: String = "postgres",
        tables: [String] = ["public.*"],
        target: [String] = [],
        targetDatabase: String? = nil,
        more: String = ""
    ) throws {
        self.servers = servers
        self.database = database
        self.targetDatabase = targetDatabase ?? database
        let server = servers.target
        let entries =
            [
                "host: \(server.host)", "port: \(server.port)", "database: \(self.targetDatabase)",
            ] + (target.contains { $0.hasPrefix("user:") } ? [] : ["user: \(server.superuser)"])
            + target
        relay = try RelayTask(
            servers.source,
            name: name,
            database: database,
            tables: tables,
            sink: "{ kind: postgresql, postgresql: { \(entries.joined(separator: ", ")) } }",
            more: more
        )
    }

    /// Starts `walrelay run`.
    func start(_ options: [String] = [], failpoint: String? = nil) throws -> DaemonProcess {
        try relay.start(options, failpoint: failpoint)
    }

    /// Runs until all that is committed now is in the target; throws unless that ends well.
    @discardableResult
    func runUntilNow(_ limit: Duration = .seconds(180)) async throws -> DaemonProcess {
        try await relay.runUntilNow(limit)
    }

    /// Runs until now in expectation of an end with this code, and gives what was logged.
    func runRefused(
        _ code: Int32,
        options: [String] = ["--until", "now"]
    ) async throws -> String {
        let daemon = try start(options)
        let status = try await daemon.wait()
        guard status == .code(code) else {
            throw SupportError("\(status), not exit \(code)\n\(daemon.stderr.suffix(4_000))")
        }
        return daemon.stderr
    }

    /// Runs `walrelay verify` to its end and gives how that was.
    func verify(_ options: [String] = []) async throws -> ExitStatus {
        let arguments = ["verify", "--config", relay.settingsPath] + options
        return try await DaemonProcess(arguments).wait(.seconds(300))
    }

    // MARK: Both sides

    /// Runs SQL on the source; each statement commits on its own.
    @discardableResult
    func source(_ sql: String) async throws -> String {
        try await onThread { try servers.source.psql(sql, database: database) }
    }

    /// Runs SQL on the target.
    @discardableResult
    func target(_ sql: String) async throws -> String {
        try await onThread { try servers.target.psql(sql, database: targetDatabase) }
    }

    /// A column of the task's checkpoint as text; nil where there is none yet.
    func checkpoint(_ column: String) async throws -> String? {
        let isThere = try await target("SELECT to_regclass('walrelay.checkpoint') IS NOT NULL")
        guard isThere == "t" else { return nil }
        let text = try await target(
            "SELECT \(column) FROM walrelay.checkpoint WHERE task = '\(relay.name)'"
        )
        return text.isEmpty ? nil : text
    }

    /// What differs between both sides in these schemas; empty when the copy is exact.
    func differences(_ schemas: [String] = ["public"]) async throws -> [String] {
        try await onThread {
            try servers.differences(
                inSchemas: schemas,
                database: database,
                targetDatabase: targetDatabase
            )
        }
    }

    /// The same for tables that have other names on the target.
    func differences(of pairs: [TablePair]) async throws -> [String] {
        try await onThread {
            try servers.differences(of: pairs, database: database, targetDatabase: targetDatabase)
        }
    }
}

extension CopyTask: KillableTask {
    func start(pause: String?) throws -> DaemonProcess { try relay.start([], pause: pause) }

    func waitForPhase(
        _ phase: String,
        of daemon: DaemonProcess,
        timeout: Duration
    ) async throws {
        try await relay.waitForPhase(phase, of: daemon, timeout: timeout)
    }

    func snapshotState() async throws -> String? { try await checkpoint("snapshot") }

    func crashServer() async throws { try await servers.target.restart(.immediate) }
}

extension CopyTask {
    /// A database on each of two servers that many tests share; `sql` fills the source's.
    ///
    /// Further settings can be written by making another task of the same name and servers.
    static func sharing(
        _ name: String,
        sql: String,
        targetSQL: String = "SELECT 1",
        target: [String] = [],
        more: String = ""
    ) async throws -> CopyTask {
        let servers = TwinServers(
            source: try await VersionClusters.all.cluster(),
            target: try await VersionClusters.all.cluster(
                PostgresVersion.v17.isAvailable ? .v17 : .v15
            )
        )
        try await onThread {
            try servers.source.createDatabase(name)
            try servers.source.psql(sql, database: name)
            try servers.target.createDatabase("\(name)_target")
            try servers.target.psql(targetSQL, database: "\(name)_target")
        }
        return try CopyTask(
            servers,
            name: name,
            database: name,
            target: target,
            targetDatabase: "\(name)_target",
            more: more
        )
    }

    /// The same task under other settings.
    func with(
        target: [String] = [],
        tables: [String] = ["public.*"],
        more: String = ""
    ) throws
        -> CopyTask
    {
        try CopyTask(
            servers,
            name: relay.name,
            database: database,
            tables: tables,
            target: target,
            targetDatabase: targetDatabase,
            more: more
        )
    }

    /// Drops the slot and both databases, which shared servers would otherwise collect.
    func end() async throws {
        try await eventually("the slot is free") {
            try await source(
                """
                SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                WHERE database = '\(database)'
                """
            )
            return true
        }
        try await onThread {
            try servers.source.psql("DROP DATABASE \(sqlName(database))")
            try servers.target.psql("DROP DATABASE \(sqlName(targetDatabase))")
        }
    }
}
