// SPDX-License-Identifier: Apache-2.0
//
// A snapshot that goes through lanes from one real server to another.

import ChangeModel
import LibPQ
import Replication
import Sink
import Snapshot
import Support
import Synchronization
import Testing

@testable import PostgresSink

/// Two servers; the target is asked for its columns as the product's tables would be.
struct LaneFixture {
    let source: PostgresCluster
    let target: PostgresCluster

    /// Starts both and runs the same SQL on them.
    static func start(
        _ versions: VersionPair,
        _ definitions: String
    ) async throws -> LaneFixture {
        let fixture = LaneFixture(
            source: try await .start(version: versions.source),
            target: try await .start(version: versions.target)
        )
        try fixture.source.psql(definitions)
        try fixture.target.psql(definitions)
        try fixture.makeCheckpoint()
        return fixture
    }

    /// The checkpoint that lanes belong to.
    static let position = LSN(0x1000)
    let checkpoints = CheckpointTable(task: "t")

    private func makeCheckpoint() throws {
        let connection = try Connection.open(target.laneParameters())
        try CheckpointTable.make(on: connection)
        let checkpoint = Checkpoint(
            task: "t",
            systemIdentifier: "1",
            database: "postgres",
            slot: "di_slot_t",
            position: Self.position,
            snapshot: .running,
            snapshotLSN: Self.position,
            relations: []
        )
        try connection.query(checkpoints.insertion(of: checkpoint))
    }

    /// The same, both of 15.
    static func start(_ definitions: String) async throws -> LaneFixture {
        try await start(VersionPair(.v15, .v15), definitions)
    }

    func lanes(user: String = "postgres") -> PostgresLanes {
        PostgresLanes(
            parameters: target.laneParameters(user: user),
            record: .chunks(checkpoints, position: Self.position),
            table: { [target] in try target.table(for: $0) }
        )
    }

    /// The source's tables of schema public, or those that a rule names.
    func tables(_ rules: [TableRule] = []) throws -> [SnapshotTable] {
        let connection = try Connection.open(source.laneParameters())
        let all = TableRule(pattern: TablePattern(schema: .exact("public"), name: .glob("*")))
        let selection = TableSelection(include: rules.isEmpty ? [all] : rules)
        let tables = try SourceCatalog.tables(selection, on: connection)
        var types = TypeCatalog()
        while true {
            let missing = Set(tables.flatMap { types.unknown(in: $0.relation) })
            guard !missing.isEmpty else { break }
            for entry in try SourceCatalog.types(missing, on: connection) { types.add(entry) }
        }
        return tables.enumerated().map { index, table in
            SnapshotTable(
                table,
                as: RelationVersion(
                    relation: table.relation,
                    types: types.types(of: table.relation),
                    version: UInt64(index)
                )
            )
        }
    }

    /// Copies tables through lanes; returns what was said of it once all is there.
    @discardableResult
    func copy(
        _ tables: [SnapshotTable],
        lanes: (any CopyLanes)? = nil,
        user: String = "postgres",
        workers: Int = 3,
        stop: StopSignal = StopSignal(),
        passed: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> LaneReport {
        let report = LaneReport()
        let exporter = try Connection.open(source.laneParameters())
        try exporter.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        let request = SnapshotRequest(
            snapshot: try exporter.query("SELECT pg_catalog.pg_export_snapshot()").text(0, 0),
            lsn: Self.position,
            time: PostgresTime(microseconds: 1),
            tables: tables,
            workers: workers
        )
        let copier = SnapshotCopier(
            parameters: source.laneParameters(),
            request: request,
            outlet: SnapshotOutlet(
                lanes: lanes ?? self.lanes(user: user),
                deliver: { _ in Issue.record("a row came as a batch") },
                progress: { progress in
                    report.progress.withLock { $0[progress.table] = progress }
                },
                passed: { rows in
                    report.passed.add(rows, ordering: .relaxed)
                    passed(rows)
                }
            )
        )
        try await onOwnThread(named: "snapshot") {
            defer { report.ended.withLock { $0 = .now } }
            try copier.run(stop: stop)
        }
        return report
    }

    /// The error that copying everything ends with.
    func failure(
        user: String = "postgres",
        workers: Int = 3,
        stop: StopSignal = StopSignal(),
        passed: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> WalrelayError {
        let error = await #expect(throws: WalrelayError.self) {
            try await copy(tables(), user: user, workers: workers, stop: stop, passed: passed)
        }
        return try #require(error)
    }

    /// Expects that both servers print the same rows for a query; returns how many.
    @discardableResult
    func expectSame(
        _ query: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Int {
        let all = "SELECT row_number() OVER (), q::text FROM (\(query)) q"
        let wanted = try source.psql(all)
        let found = try target.psql(all)
        #expect(found == wanted, "\(query)", sourceLocation: sourceLocation)
        return Int(try source.psql("SELECT count(*) FROM (\(query)) q")) ?? -1
    }

    /// Waits until no session of a lane is left on the target.
    func expectNoSessions() async throws {
        try await eventually("the target has no session of a lane") {
            try target.psql(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lane'"
            ) == "0"
        }
    }
}

/// What a copier said while it worked.
final class LaneReport: Sendable {
    let progress = Mutex<[String: SnapshotProgress]>([:])
    let passed = Atomic(0)
    let ended = Mutex<ContinuousClock.Instant?>(nil)

    func progress(_ table: String) -> SnapshotProgress? { progress.withLock { $0[table] } }
    var rowsPassed: Int { passed.load(ordering: .relaxed) }
}

/// The versions of source and target.
struct VersionPair: Sendable, CustomTestStringConvertible {
    let source: PostgresVersion
    let target: PostgresVersion

    init(_ source: PostgresVersion, _ target: PostgresVersion) {
        (self.source, self.target) = (source, target)
    }

    /// Pairs whose programs are on this machine.
    static let available = [
        VersionPair(.v15, .v15), VersionPair(.v14, .v17), VersionPair(.v18, .v15),
    ].filter { $0.source.isAvailable && $0.target.isAvailable }

    var testDescription: String { "\(source.rawValue) to \(target.rawValue)" }
}

extension PostgresCluster {
    func laneParameters(user: String = "postgres") -> ConnectionParameters {
        ConnectionParameters(keywords: [
            "host": socketDirectory, "port": "\(port)", "dbname": "postgres", "user": user,
            "application_name": "lane",
        ])
    }

    /// The table of the same name, with the relation's columns as this server has them.
    func table(for relation: RelationVersion) throws -> TargetTable {
        let (schema, name) = (relation.relation.schema, relation.relation.name)
        let connection = try Connection.open(laneParameters())
        let rows = try connection.query(
            """
            SELECT attname, pg_catalog.format_type(atttypid, -1), atttypid
            FROM pg_catalog.pg_attribute WHERE attrelid =
            \(SQL.literal(SQL.identifier(schema, name)))::regclass AND attnum > 0
            """
        )
        var found: [String: TargetTable.Column] = [:]
        for row in 0..<rows.count {
            found[rows.text(row, 0)] = TargetTable.Column(
                name: rows.text(row, 0),
                castType: rows.text(row, 1),
                typeOID: UInt32(rows.text(row, 2)) ?? 0,
                isKey: false
            )
        }
        return TargetTable(
            relation: relation,
            schema: schema,
            name: name,
            columns: try relation.relation.columns.map { try #require(found[$0.name]) },
            key: []
        )
    }
}
