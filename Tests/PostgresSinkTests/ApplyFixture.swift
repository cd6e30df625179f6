// SPDX-License-Identifier: Apache-2.0
//
// A schema of its own on a real server for each test that applies changes, tables described as the
// server's catalog has them, and batches written by hand.

import ChangeModel
import LibPQ
import Logging
import Sink
import Support

@testable import PostgresSink

/// The server that the tests of applying share.
enum ApplyServer {
    static let cluster = Task { try await PostgresCluster.start(settings: ["fsync": "off"]) }

    /// Runs `body` on a thread of its own, against an empty schema.
    ///
    /// The schema is the first to be looked into; `definition` is run in it before. A `version` has
    /// a server of its own.
    static func run<Value: Sendable>(
        _ definition: String,
        onRowError: PostgresSinkOptions.RowError = .stop,
        version: PostgresVersion? = nil,
        _ body: @escaping @Sendable (borrowing ApplyTarget) throws -> Value
    ) async throws -> Value {
        let cluster =
            if let version {
                try await PostgresCluster.start(version: version, settings: ["fsync": "off"])
            } else {
                try await cluster.value
            }
        let parameters = ConnectionParameters(
            keywords: [
                "host": cluster.host, "port": "\(cluster.port)", "dbname": "postgres",
                "user": cluster.superuser,
            ]
        )
        return try await onThread {
            let connection = try Connection.open(parameters)
            let schema = "apply_\(connection.backendPID)"
            try connection.query("DROP SCHEMA IF EXISTS \(schema) CASCADE; CREATE SCHEMA \(schema)")
            try connection.query("SET search_path = \(schema), public")
            try connection.query(definition)
            let target = ApplyTarget(connection, schema: schema, onRowError: onRowError)
            let value = try body(target)
            try target.connection.query("DROP SCHEMA \(schema) CASCADE")
            return value
        }
    }

    static let deadLetterTable = """
        SELECT pg_advisory_xact_lock(1); CREATE SCHEMA IF NOT EXISTS walrelay; \
        CREATE TABLE IF NOT EXISTS walrelay.dead_letter (id bigint GENERATED ALWAYS AS IDENTITY, \
        task text, lsn pg_lsn, commit_lsn pg_lsn, ordinal bigint, xid bigint, schema_name text, \
        table_name text, op text, sqlstate text, reason text, event text, at timestamptz);
        """
}

/// A schema of the target and what applies changes to its tables.
struct ApplyTarget: ~Copyable {
    let connection: Connection
    let applier: Applier
    let schema: String
    let log = RecordedLog()

    init(
        _ connection: consuming Connection,
        schema: String,
        onRowError: PostgresSinkOptions.RowError
    ) {
        self.connection = connection
        self.schema = schema
        let log = log
        applier = Applier(
            task: "orders",
            onRowError: onRowError,
            encoder: ChangeJSONEncoder(
                task: "orders",
                database: "shop",
                version: "0.0.0",
                format: ValueFormat()
            ),
            logger: Logger(label: "test") { _ in log }
        )
    }

    /// A table as the catalog has it.
    func table(_ name: String, key: [String] = [], version: UInt64 = 1) throws -> TargetTable {
        let result = try connection.query(
            "SELECT a.attname, format_type(a.atttypid, -1), a.atttypid::bigint, c.oid::bigint"
                + " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
                + " WHERE c.oid = \(SQL.literal(SQL.identifier(schema, name)))::regclass"
                + " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        )
        var columns: [TargetTable.Column] = []
        for row in 0..<result.count {
            let name = result.text(row, 0)
            columns.append(
                TargetTable.Column(
                    name: name,
                    castType: result.text(row, 1),
                    typeOID: UInt32(result.integer(row, 2) ?? 0),
                    isKey: key.contains(name)
                )
            )
        }
        let oid = UInt32(result.integer(0, 3) ?? 0)
        let relation = Relation(
            oid: oid,
            schema: "shop",
            name: name,
            replicaIdentity: key.isEmpty ? .full : .default,
            columns: columns.map { Column(name: $0.name, typeOID: 25, isKey: $0.isKey) }
        )
        return TargetTable(
            relation: RelationVersion(
                relation: relation,
                types: columns.map { _ in .text },
                version: UInt64(oid) << 8 | version
            ),
            schema: schema,
            name: name,
            columns: columns,
            key: columns.indices.filter { columns[$0].isKey }
        )
    }

    /// Applies a history in a transaction of its own, which is rolled back on an error.
    func apply(_ history: History, _ range: Range<Int>? = nil) throws {
        try connection.query("BEGIN")
        do {
            let tables = history.tables
            try applier.apply(
                history.batch,
                range ?? history.batch.changes.indices,
                on: connection
            ) { version in
                guard let table = tables.first(where: { $0.relation === version }) else {
                    throw SupportError("no table of version \(version.version)")
                }
                return table
            }
            try connection.query("COMMIT")
        } catch {
            try connection.query("ROLLBACK")
            throw error
        }
    }

    /// The error that applying a history ends with.
    func failure(_ history: History) throws -> WalrelayError? {
        do {
            try apply(history)
            return nil
        } catch let error as WalrelayError {
            return error
        }
    }

    /// The rows of a query as text, columns apart by |, NULL is null.
    func rows(_ query: String) throws -> [String] {
        let result = try connection.query(query)
        return (0..<result.count).map { row in
            (0..<result.columnCount).map { result.value(row, $0) ?? "null" }
                .joined(separator: "|")
        }
    }
}

/// A batch of changes of several tables.
struct History {
    private(set) var batch = ChangeBatch()
    private(set) var tables: [TargetTable] = []

    init(_ tables: TargetTable...) {
        self.tables = tables
        batch.relations = tables.map(\.relation)
        begin()
    }

    /// Ends the transaction; later changes belong to another one.
    mutating func begin() {
        let number = UInt64(batch.transactions.count + 1)
        batch.transactions.append(
            Transaction(
                xid: 700 + UInt32(number),
                commitLSN: LSN(0x1000 * number),
                commitTime: PostgresTime(microseconds: 0)
            )
        )
    }

    mutating func insert(_ new: [Held], into table: Int32 = 0, kind: ChangeKind = .insert) {
        add(kind, table, new: new, .none, [])
    }

    mutating func update(_ new: [Held], in table: Int32 = 0) {
        add(.update, table, new: new, .none, [])
    }

    /// `former` has the old key, the other columns absent.
    mutating func update(_ new: [Held], key former: [Held], in table: Int32 = 0) {
        add(.update, table, new: new, .key, former)
    }

    mutating func update(_ new: [Held], full former: [Held], in table: Int32 = 0) {
        add(.update, table, new: new, .full, former)
    }

    mutating func delete(key: [Held], from table: Int32 = 0) {
        add(.delete, table, new: [], .key, key)
    }

    mutating func delete(full: [Held], from table: Int32 = 0) {
        add(.delete, table, new: [], .full, full)
    }

    mutating func truncate(_ relations: Int32...) {
        let lsn = LSN(UInt64(0x100 + batch.changes.count))
        for table in relations { add(.truncate, table, new: [], .none, [], lsn: lsn) }
    }

    private mutating func add(
        _ kind: ChangeKind,
        _ table: Int32,
        new: [Held],
        _ old: OldTuple,
        _ former: [Held],
        lsn: LSN? = nil
    ) {
        let oldCells = add(former)
        let newCells = add(new)
        batch.changes.append(
            Change(
                kind: kind,
                old: old,
                relation: table,
                transaction: Int32(batch.transactions.count - 1),
                newCells: newCells,
                oldCells: oldCells,
                lsn: lsn ?? LSN(UInt64(0x100 + batch.changes.count)),
                ordinal: UInt64(batch.changes.count + 1),
                relationOrdinal: 1
            )
        )
    }

    private mutating func add(_ tuple: [Held]) -> UInt32 {
        let first = UInt32(batch.cells.count)
        for held in tuple {
            switch held {
            case .text(let value):
                let offset = UInt32(batch.bytes.count)
                batch.bytes += value.utf8
                batch.cells.append(Cell(offset: offset, length: Int32(value.utf8.count)))
            case .null: batch.cells.append(.null)
            case .unchanged: batch.cells.append(.unchanged)
            case .absent: batch.cells.append(.absent)
            }
        }
        return first
    }
}

/// Keeps what was logged.
final class RecordedLog: LogHandler, @unchecked Sendable {
    // One thread of one test writes and reads it.
    var lines: [String] = []
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        lines.append("\(event.level): \(event.message) \(event.metadata ?? [:])")
    }
}

extension Held: ExpressibleByStringInterpolation {}
