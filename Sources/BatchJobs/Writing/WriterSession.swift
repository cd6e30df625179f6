// SPDX-License-Identifier: Apache-2.0
//
// What a writer has of its own: the connection, what it counts, and how it tells of bad records.

import ChangeModel
import LibPQ
import Logging
import Settings
import Synchronization

/// A writer's connection to the target.
final class WriterSession {
    /// How often a batch is repeated that others' transactions are in the way of.
    private static let conflictLimit = 6
    /// How many values are tried by themselves to name the column of a bad one.
    private static let probeLimit = 2_000

    let connection: Connection
    private let plan: WritePlan
    private let context: JobContext
    private let destination: String
    /// What `synchronous_commit` is to the session, where batches do without it.
    private var durability: String?
    private var isDurable = true
    private var keptBack = 0
    private var probes = 0
    private var rendering: BinaryRendering

    init(
        _ plan: WritePlan,
        server: ConnectionParameters,
        shape: RecordShape,
        context: JobContext
    ) throws {
        self.plan = plan
        self.context = context
        rendering = BinaryRendering(shape)
        destination = server.destination
        connection = try TargetConnection.open(server, stop: context.stop)
        do throws(PostgresError) {
            durability = try Self.deferDurability(connection)
        } catch {
            throw WriterFault.error(error, while: "setting up a session on \(destination)")
        }
    }

    /// Has commits of the session not wait for the disk, where `makeDurable` can make up for it.
    ///
    /// The server writes WAL in order: a later commit that does wait makes all before it durable.
    /// A crash before that ends the job, and a job that failed has to be repeated anyway.
    private static func deferDurability(
        _ connection: borrowing Connection
    ) throws(PostgresError) -> String? {
        let row = try connection.query(
            """
            SELECT pg_catalog.current_setting('synchronous_commit'), \
            pg_catalog.bool_and(pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) \
            FROM pg_catalog.pg_proc p WHERE p.proname = 'pg_logical_emit_message' \
            AND p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid
            """
        )
        guard row.text(0, 0) != "off", row.flag(0, 1) else { return nil }
        try connection.query("SET synchronous_commit = off")
        return row.text(0, 0)
    }

    /// Waits until all that was committed is as durable as the server's own setting has it.
    func makeDurable() throws(WalrelayError) {
        guard let durability, !isDurable else { return }
        do throws(PostgresError) {
            // A commit waits for the disk only if its transaction has written WAL.
            try connection.query(
                """
                BEGIN; SET LOCAL synchronous_commit = \(SQL.literal(durability)); \
                SELECT pg_catalog.pg_logical_emit_message(true, 'walrelay', ''); COMMIT
                """,
                within: batchLimit
            )
        } catch {
            throw WriterFault.error(
                error,
                while: "making what was written into \(plan.tableName) of \(destination) durable"
            )
        }
        isDurable = true
    }

    /// Counts a batch of which the server took some rows.
    func count(_ taken: Int, of given: Int) {
        isDurable = false
        switch plan.mode {
        case .insert, .copy:
            add(taken, to: context.counters.recordsWritten)
            keptBack += max(0, given - taken)
        case .upsert:
            // Of records with the same key only the last reaches the table.
            add(given, to: context.counters.recordsWritten)
        case .update:
            add(taken, to: context.counters.recordsWritten)
            add(max(0, given - taken), to: context.counters.unmatchedRecords)
        }
    }

    private func add(_ count: Int, to counter: borrowing Atomic<Int>) {
        counter.add(count, ordering: .relaxed)
    }

    /// Tells the operator of rows that the server took and did not keep.
    func reportKeptBack() {
        guard keptBack > 0 else { return }
        context.log.warning(
            """
            \(plan.tableName) of \(destination) kept \(Prose.count(keptBack, "record")) back: \
            a trigger or a rule of the table does that
            """
        )
        keptBack = 0
    }

    // MARK: What goes wrong

    /// Whether another transaction was in the way, and it is worth another attempt.
    func isPassing(_ error: PostgresError, _ conflicts: Int) -> Bool {
        error.kind == .server && ["40001", "40P01"].contains(error.sqlState)
            && conflicts < Self.conflictLimit
    }

    /// Waits before the next attempt, longer each time.
    func pause(_ conflicts: Int) throws(WalrelayError) {
        let most = 20 << min(conflicts, 6)
        guard !context.stop.sleep(for: .milliseconds(Int.random(in: (most / 2)...most))) else {
            throw fault(PostgresError(kind: .interrupted, message: "stopped"))
        }
    }

    /// The error for what no record is to blame for.
    func fault(_ error: PostgresError) -> WalrelayError {
        guard error != WriterFault.malformed else { return WriterFault.inconsistency }
        return WriterFault.error(
            error,
            while: "writing into \(plan.tableName) of \(destination)",
            statement: plan.statement
        )
    }

    /// Reports a record that the target refuses.
    func report(_ record: Record, _ error: PostgresError) throws {
        let values =
            plan.format == .text
            ? CopyText.values(of: record) : rendering.values(of: record, on: connection)
        var error = error
        if error.column.isEmpty { error.column = CopyContext(error).column ?? "" }
        if error.column.isEmpty, plan.mode != .copy { error.column = column(of: error, values) }
        try context.report(
            DirtyRecord(
                side: .writer,
                sqlState: error.sqlState,
                reason: DirtyReason.text(error),
                values: values
            )
        )
    }

    /// The column whose value a statement could not cast, which its error does not say; or empty.
    private func column(of error: PostgresError, _ values: [String?]) -> String {
        guard error.sqlState.hasPrefix("22"), values.count == plan.columns.count else { return "" }
        for (place, column) in plan.columns.enumerated() {
            guard let value = values[place], probes < Self.probeLimit else { continue }
            probes += 1
            let cast = "SELECT (\(plan.values[place]))::\(column.typeName)"
            do throws(PostgresError) {
                try connection.query(
                    "\(cast) FROM (SELECT $1::pg_catalog.text AS c\(place + 1)) AS u",
                    parameters: [value]
                )
            } catch {
                if error.sqlState.hasPrefix("22") { return column.name }
            }
        }
        return ""
    }

    /// Ends the server's work at what is open; the connection is of no use after that.
    func abandon(isBusy: Bool) {
        // The backend may wait for a lock, where it would not notice that its client has gone.
        if isBusy { connection.cancel() }
    }
}
