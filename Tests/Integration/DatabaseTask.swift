// SPDX-License-Identifier: Apache-2.0
//
// One task on a database of a cluster that many tests share, so that a case costs a database and
// not a server. Its settings can be written again between two runs, as an operator decides.
import Foundation
import Support

/// Clusters that live as long as the test process, one a version.
actor VersionClusters {
    static let all = VersionClusters()
    private var clusters: [PostgresVersion: Task<PostgresCluster, any Error>] = [:]

    /// The version's cluster, started at the first call.
    func cluster(_ version: PostgresVersion = .v15) async throws -> PostgresCluster {
        let settings = [
            "max_replication_slots": "200", "fsync": "off", "max_slot_wal_keep_size": "-1",
        ].filter { $0.key != "max_slot_wal_keep_size" || version >= .v13 }
        let started =
            clusters[version]
            ?? Task { try await PostgresCluster.start(version: version, settings: settings) }
        clusters[version] = started
        return try await started.value
    }
}

/// A task with a database, settings and event files of its own.
struct DatabaseTask: Sendable {
    let cluster: PostgresCluster
    /// The name of the database and of the task.
    let name: String
    /// The settings file.
    let settingsPath: String
    private let files: TemporaryDirectory

    /// Makes the database.
    init(_ name: String, on cluster: PostgresCluster) async throws {
        self.cluster = cluster
        self.name = name
        files = try TemporaryDirectory()
        settingsPath = files.file("task.yaml")
        try await onThread { _ = try cluster.createDatabase(name) }
    }

    /// The directory of the ndjson sink.
    var directory: String { files.file("events") }

    /// The events up to the checkpoint.
    var reader: NDJSONReader { NDJSONReader(directory) }

    /// Writes the settings; `tables` is the YAML of that section, `more` further lines.
    func write(tables: String = #"{ include: ["public.*"] }"#, more: String = "") throws {
        let text = """
            task: \(name)
            source:
              conninfo: "\(cluster.conninfo(database: name))"
            tables: \(tables)
            sink:
              kind: ndjson
              ndjson: { directory: "\(directory)" }
            http: { listen: "off" }
            \(more)

            """
        try text.write(toFile: settingsPath, atomically: true, encoding: .utf8)
    }

    /// Runs SQL in the database; each statement commits on its own.
    @discardableResult
    func sql(_ text: String) async throws -> String {
        try await onThread { try cluster.psql(text, database: name) }
    }

    /// Starts `walrelay run`.
    func start(_ arguments: [String] = []) throws -> DaemonProcess {
        try DaemonProcess(["run", "--config", settingsPath] + arguments)
    }

    /// Runs to the present and throws unless that ends with exit 0; gives what it logged.
    @discardableResult
    func runToNow() async throws -> String {
        let daemon = try start(["--until", "now"])
        let status = try await daemon.wait()
        guard status == .code(0) else {
            throw SupportError("\(name): \(status)\n\(daemon.stderr)")
        }
        return daemon.stderr
    }

    /// Starts the daemon and waits until its snapshot is in the sink.
    func startStreaming() async throws -> DaemonProcess {
        let daemon = try start()
        try await daemon.until(.seconds(60), "the snapshot") {
            try reader.checkpoint()?["snapshot"] as? String == "complete"
        }
        return daemon
    }

    /// What a consumer has who applied all events, held against the source's tables.
    ///
    /// `keys` has the key columns of each table by `schema.table`; `renamed` the former name of a
    /// table by its present one, under which the consumer goes on.
    func differences(
        keys: [String: [String]],
        renamed: [String: String] = [:]
    ) async throws -> [String] {
        try await onThread {
            let rebuilt = try tables(keys: keys, renamed: renamed)
            return try keys.keys.sorted().flatMap { table in
                let present = renamed.first { $0.value == table }?.key ?? table
                let quoted = present.split(separator: ".").map { "\"\($0)\"" }
                    .joined(separator: ".")
                let rows = try cluster.rows(of: quoted, database: name)
                guard let own = rebuilt.tables[table] else {
                    return rows.isEmpty ? [] : ["\(table): no event"]
                }
                return own.differences(from: rows).map { "\(table): \($0)" }
            }
        }
    }

    /// The tables that a consumer has; throws when an event did not fit.
    func tables(
        keys: [String: [String]],
        renamed: [String: String] = [:]
    ) throws -> RebuiltTables {
        var rebuilt = RebuiltTables(keys: keys)
        try reader.read { event in
            var event = event
            if let former = renamed[event.table]?.split(separator: "."), former.count == 2 {
                event.source["schema"] = .string(String(former[0]))
                event.source["table"] = .string(String(former[1]))
            }
            rebuilt.apply(event)
        }
        guard rebuilt.faults.isEmpty else {
            throw SupportError("\(name): \(rebuilt.faults.joined(separator: "\n"))")
        }
        return rebuilt
    }

    /// Drops slot and database, which a shared cluster would otherwise collect.
    func end() async throws {
        try await eventually("the slot is free") {
            try await sql(
                """
                SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                WHERE database = '\(name)'
                """
            )
            return true
        }
        try await onThread {
            _ = try cluster.psql(#"DROP DATABASE "\#(name)""#)
        }
    }
}
