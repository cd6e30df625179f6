// SPDX-License-Identifier: Apache-2.0
//
// Two servers and a task whose checkpoint the tests write themselves: what `verify` reads of a
// sink, without one.

import ChangeModel
import Foundation
import LibPQ
import Logging
import Replication
import Support
import Synchronization
import Testing

@testable import Verify

/// A source with slot and publication, a target with a checkpoint, and the same SQL run on both.
final class Pair: Sendable {
    let source: PostgresCluster
    let target: PostgresCluster
    let task = "t"
    /// How often the task was asked to catch up.
    let catchUps = Atomic(0)

    /// Starts both servers and runs `sql` on them.
    init(
        _ sql: String,
        versions: (PostgresVersion, PostgresVersion) = (.v15, .v15),
        settings: [String: String] = [:]
    ) async throws {
        source = try await PostgresCluster.start(version: versions.0, settings: settings)
        target = try await PostgresCluster.start(version: versions.1, settings: settings)
        try both(sql)
    }

    func both(_ sql: String) throws {
        try source.psql(sql)
        try target.psql(sql)
    }

    /// Makes publication, slot and checkpoint for what is there now.
    func begin(_ selection: TableSelection = Pair.all) throws {
        let connection = try Connection.open(source.parameters)
        let tables = try SourceCatalog.tables(selection, on: connection)
        try Publication.ensure(task: task, tables: tables, on: connection)
        try source.psql(
            "SELECT pg_create_logical_replication_slot('di_slot_t', 'pgoutput') WHERE NOT EXISTS "
                + "(SELECT FROM pg_replication_slots WHERE slot_name = 'di_slot_t')"
        )
        let facts = try ServerFacts(on: connection)
        let slot = try SlotState.named("di_slot_t", on: connection)
        let checkpoint = Checkpoint(
            task: task,
            systemIdentifier: facts.systemIdentifier,
            database: facts.database,
            slot: "di_slot_t",
            position: slot?.confirmedFlushLSN ?? facts.walLSN,
            snapshot: .complete,
            snapshotLSN: nil,
            relations: tables.map(\.relation)
        )
        try write(checkpoint)
    }

    func write(_ checkpoint: Checkpoint) throws {
        let document = String(decoding: try JSONEncoder().encode(checkpoint), as: UTF8.self)
        try target.psql(
            """
            CREATE SCHEMA IF NOT EXISTS walrelay;
            CREATE TABLE IF NOT EXISTS walrelay.checkpoint (
                task text PRIMARY KEY, position pg_lsn, snapshot text, document text);
            DELETE FROM walrelay.checkpoint;
            INSERT INTO walrelay.checkpoint
            VALUES ('\(task)', '\(checkpoint.position)', '\(checkpoint.snapshot.rawValue)',
                \(SQL.literal(document)));
            """
        )
    }

    static let all = TableSelection(
        include: [TableRule(pattern: TablePattern(schema: .exact("public"), name: .glob("*")))]
    )

    /// Options of a run; a task that nobody runs catches up by its word alone.
    func options(_ selection: TableSelection = Pair.all, repairs: Bool = false) -> VerifyOptions {
        var options = VerifyOptions(
            task: task,
            source: source.parameters,
            target: target.parameters,
            selection: selection,
            catchUp: { [self] lsn in
                catchUps.add(1, ordering: .relaxed)
                try target.psql("UPDATE walrelay.checkpoint SET position = '\(lsn)'")
            }
        )
        options.workers = 2
        options.waitLimit = .seconds(60)
        options.repairs = repairs
        return options
    }

    /// Runs `verify` on a thread of its own.
    func verify(
        _ selection: TableSelection = Pair.all,
        repairs: Bool = false,
        change: @Sendable (inout VerifyOptions) -> Void = { _ in }
    ) async throws -> VerifyReport {
        var options = options(selection, repairs: repairs)
        change(&options)
        let verification = Verification(options, stop: StopSignal(), log: .quiet)
        return try await onOwnThread(named: "verify") { try verification.run() }
    }

    /// The rows of both sides, sorted, differ in nothing.
    func rowsAreEqual(_ table: String) throws -> Bool {
        let query = "SELECT r::text FROM \(table) r ORDER BY 1"
        return try source.psql(query) == target.psql(query)
    }
}

extension PostgresCluster {
    var parameters: ConnectionParameters {
        ConnectionParameters(keywords: [
            "host": socketDirectory, "port": "\(port)", "dbname": "postgres", "user": superuser,
        ])
    }
}

extension Logger {
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

extension VerifyReport {
    /// The report on a table of the schema public.
    func table(_ name: String) throws -> Table {
        try #require(tables.first { $0.table == "public.\(name)" })
    }
}
