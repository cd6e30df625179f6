// SPDX-License-Identifier: Apache-2.0
//
// What the tests of copying share: looking tables up, exporting a snapshot, keeping the rows.

import ChangeModel
import LibPQ
import Replication
import Snapshot
import Support
import Synchronization
import Testing

/// A transaction that exports its snapshot and can be asked what it sees.
struct Exporter: ~Copyable {
    let connection: Connection
    let snapshot: String

    init(_ cluster: PostgresCluster, database: String = "postgres") throws {
        let connection = try Connection.open(cluster.parameters(database: database))
        try connection.query("SET search_path = public")
        try connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = try connection.query("SELECT pg_export_snapshot()").text(0, 0)
        self.connection = connection
    }

    /// All rows that the snapshot shows, as the server prints them, sorted.
    func rows(_ query: String) throws -> [String] {
        let result = try connection.query(query)
        return (0..<result.count).map { row in
            line((0..<result.columnCount).map { result.value(row, $0) })
        }.sorted()
    }
}

/// One row as a text in which NULL differs from everything else.
func line(_ values: [String?]) -> String {
    values.map { $0.map { "<\($0)>" } ?? "NULL" }.joined(separator: ",")
}

extension PostgresCluster {
    func parameters(
        database: String = "postgres",
        user: String = "postgres"
    ) -> ConnectionParameters {
        ConnectionParameters(keywords: [
            "host": socketDirectory, "port": "\(port)", "dbname": database, "user": user,
            "application_name": "copying",
        ])
    }

    /// Looks tables up as the product does before it takes a snapshot.
    func tables(
        _ names: [String],
        filter: String? = nil
    ) throws -> [SnapshotTable] {
        let connection = try Connection.open(parameters())
        try connection.query("SET search_path = public")
        return try names.enumerated().map { index, name in
            let source = try Self.describe(name, filter: filter, connection)
            return SnapshotTable(
                source,
                as: RelationVersion(
                    relation: source.relation,
                    types: TypeCatalog().types(of: source.relation),
                    version: UInt64(index)
                )
            )
        }
    }

    private static func describe(
        _ name: String,
        filter: String?,
        _ connection: borrowing Connection
    ) throws -> SourceTable {
        let head = try connection.query(
            """
            SELECT c.oid, n.nspname, c.relname, c.relkind = 'p'
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid = \(SQL.literal(name))::regclass
            """
        )
        let oid = try #require(UInt32(head.text(0, 0)))
        let key = try connection.query(
            """
            SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
            AND a.attnum = ANY (i.indkey) WHERE i.indrelid = \(oid) AND i.indisprimary
            ORDER BY array_position(i.indkey::int2[], a.attnum)
            """
        )
        let primaryKey = (0..<key.count).map { key.text($0, 0) }
        let columns = try connection.query(
            """
            SELECT attname, atttypid, atttypmod FROM pg_attribute
            WHERE attrelid = \(oid) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
            """
        )
        let leaves = try connection.query(
            """
            WITH RECURSIVE tree (oid) AS (SELECT \(oid)::oid UNION ALL
                SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
                WHERE \(head.flag(0, 3)))
            SELECT c.oid, n.nspname, c.relname, c.reltuples, pg_relation_size(c.oid)
            FROM tree JOIN pg_class c ON c.oid = tree.oid
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'
            """
        )
        return SourceTable(
            relation: Relation(
                oid: oid,
                schema: head.text(0, 1),
                name: head.text(0, 2),
                replicaIdentity: .default,
                columns: (0..<columns.count).map { row in
                    Column(
                        name: columns.text(row, 0),
                        typeOID: UInt32(columns.text(row, 1)) ?? 0,
                        typeModifier: Int32(columns.text(row, 2)) ?? -1,
                        isKey: primaryKey.contains(columns.text(row, 0))
                    )
                },
                primaryKey: primaryKey
            ),
            isPartitioned: head.flag(0, 3),
            storage: (0..<leaves.count).map { row in
                SourceTable.Storage(
                    oid: UInt32(leaves.text(row, 0)) ?? 0,
                    schema: leaves.text(row, 1),
                    name: leaves.text(row, 2),
                    estimatedRows: Double(leaves.text(row, 3)) ?? -1,
                    bytes: leaves.integer(row, 4) ?? 0
                )
            },
            filter: filter
        )
    }

    /// Sessions of the product that are in a transaction.
    func openTransactions() throws -> Int {
        let count = try psql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'copying' "
                + "AND xact_start IS NOT NULL"
        )
        return Int(count) ?? -1
    }
}

/// Keeps what the copier delivers.
final class Collector: Sendable {
    private struct State {
        var rows: [String: [String]] = [:]
        var faults: [String] = []
        var begun = 0
        var batches = 0
        var spare: [ChangeBatch] = []
        var progress: [String: SnapshotProgress] = [:]
        var imports = 0
        var copies: [UInt32: [TableCopy]] = [:]
        var ended: ContinuousClock.Instant?
    }

    private let state = Mutex(State())
    private let lsn: LSN
    private let beforeBatch: @Sendable (Int) throws -> Void

    init(lsn: LSN, beforeBatch: @escaping @Sendable (Int) throws -> Void = { _ in }) {
        self.lsn = lsn
        self.beforeBatch = beforeBatch
    }

    /// The delivered rows of a table, sorted.
    func rows(_ table: String) -> [String] { state.withLock { $0.rows[table] ?? [] }.sorted() }
    /// What was wrong about batches.
    var faults: [String] { state.withLock { $0.faults } }
    /// What the batches of a table have said of it, added up.
    func copied(_ oid: UInt32) -> TableCopy {
        state.withLock { state in
            (state.copies[oid] ?? []).reduce(into: TableCopy(oid: oid, point: lsn)) { $0.add($1) }
        }
    }
    var batches: Int { state.withLock { $0.batches } }
    var imports: Int { state.withLock { $0.imports } }
    var ended: ContinuousClock.Instant? { state.withLock { $0.ended } }
    func noteEnd() { state.withLock { $0.ended = .now } }
    func progress(_ table: String) -> SnapshotProgress? { state.withLock { $0.progress[table] } }

    var outlet: SnapshotOutlet {
        SnapshotOutlet(
            deliver: { batch in
                // A number of its own for each, though workers deliver at the same time.
                let number = self.state.withLock { state in
                    defer { state.begun += 1 }
                    return state.begun
                }
                try self.beforeBatch(number)
                self.take(batch)
            },
            recycled: { self.state.withLock { $0.spare.popLast() ?? ChangeBatch() } },
            imported: { self.state.withLock { $0.imports += 1 } },
            progress: { progress in
                self.state.withLock { state in
                    if let last = state.progress[progress.table],
                        progress.rowsCopied < last.rowsCopied || last.state == .done
                    {
                        state.faults.append("progress of \(progress.table) goes back")
                    }
                    state.progress[progress.table] = progress
                }
            }
        )
    }

    private func take(_ batch: consuming ChangeBatch) {
        var faults: [String] = []
        if let copied = batch.copied {
            state.withLock { $0.copies[copied.oid, default: []].append(copied) }
        }
        guard !batch.changes.isEmpty else {
            if batch.copied == nil { state.withLock { $0.faults.append("nothing to say") } }
            return
        }
        if batch.committedCount != batch.changes.count || batch.checkpoint != nil {
            faults.append("committed")
        }
        if batch.relations.count != 1 || batch.transactions.count != 1 { faults.append("heads") }
        if batch.transactions.first?.commitLSN != lsn || batch.transactions.first?.xid != 0 {
            faults.append("transaction")
        }
        let relation = batch.relations[0].relation
        var rows: [String] = []
        for change in batch.changes {
            if change.kind != .read || change.old != .none || change.lsn != lsn
                || change.ordinal != 0 || change.relation != 0 || change.transaction != 0
            {
                faults.append("change")
            }
            let first = Int(change.newCells)
            let cells = batch.cells[first..<(first + relation.columns.count)]
            rows.append(line(cells.map { batch.text($0) }))
        }
        // What the sink's side would do: the memory goes round.
        batch.removeAll()
        let spare = batch
        state.withLock { state in
            state.rows[relation.qualifiedName, default: []] += rows
            state.faults += faults
            state.batches += 1
            state.spare.append(spare)
        }
    }
}

/// Copies with a collector; returns once everything was delivered.
func copy(
    _ tables: [SnapshotTable],
    snapshot: String,
    of cluster: PostgresCluster,
    into collector: Collector,
    lsn: LSN,
    user: String = "postgres",
    stop: StopSignal = StopSignal(),
    adjust: (inout SnapshotRequest) -> Void = { _ in }
) async throws {
    var request = SnapshotRequest(
        snapshot: snapshot,
        lsn: lsn,
        time: PostgresTime(microseconds: 1),
        tables: tables,
        workers: 4
    )
    adjust(&request)
    let copier = SnapshotCopier(
        parameters: cluster.parameters(user: user),
        request: request,
        outlet: collector.outlet
    )
    try await onOwnThread(named: "snapshot") {
        // Noted here: who awaits the end may have to wait for a thread to go on with.
        defer { collector.noteEnd() }
        try copier.run(stop: stop)
    }
}
