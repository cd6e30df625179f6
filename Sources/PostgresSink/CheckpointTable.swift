// SPDX-License-Identifier: Apache-2.0
//
// walrelay's own tables on the target, in the schema walrelay:
//
//   checkpoint    one row a task; committed in the same transaction as the data
//   copied        what a running snapshot has copied since; committed with its chunk (CopiedChunks)
//   claim         which task writes which table, so that no two write one
//   dead_letter   rows that the target refused, where the settings ask for that
//
// A transaction begins by locking the task's checkpoint row: whoever else holds that lock (a
// repair) stops the daemon between two transactions, and a daemon that was thought dead and still
// commits is found out by the position that its successor knows.

public import ChangeModel
import Foundation
public import LibPQ

/// The state of one task on the target.
public struct CheckpointTable: Sendable {
    /// The schema of walrelay's own tables.
    static let schema = "walrelay"

    let task: String

    var taskLiteral: String { SQL.literal(task) }

    /// Whether walrelay's tables are there; then what they say of the task.
    ///
    /// Throws `sink.tables_unfit` where the role may not use them.
    func load(
        on connection: borrowing Connection
    ) throws -> (checkpoint: Checkpoint, chunks: Int)? {
        do {
            let found = try connection.query(
                "SELECT pg_catalog.to_regclass('walrelay.checkpoint') IS NOT NULL"
            )
            guard found.flag(0, 0) else { return nil }
            return try loadCopied(on: connection)
        } catch let error as PostgresError where error.sqlState == "42501" {
            try TargetErrors.refuse(OwnTables.findings(on: connection))
            throw error
        }
    }

    /// The checkpoint of a task's row, as the connection's transaction sees it; `nil` where there
    /// is none.
    ///
    /// Blocks. With `locking` the row is held until the transaction ends, and the task waits before
    /// its next one. Throws `PostgresError`, of SQLSTATE 42P01 where there are no tables of
    /// walrelay's, and `WalrelayError` `sink.checkpoint_malformed`.
    public static func read(
        task: String,
        locking: Bool = false,
        on connection: borrowing Connection
    ) throws -> Checkpoint? {
        let rows = try connection.query(
            "SELECT position, snapshot, document FROM walrelay.checkpoint "
                + "WHERE task = \(SQL.literal(task))\(locking ? " FOR UPDATE" : "")",
            within: .seconds(120)
        )
        guard rows.count == 1 else { return nil }
        guard let position = LSN(rows.text(0, 0)),
            let snapshot = Checkpoint.SnapshotState(rawValue: rows.text(0, 1)),
            var checkpoint = try? JSONDecoder().decode(
                Checkpoint.self,
                from: Data(rows.text(0, 2).utf8)
            )
        else {
            throw WalrelayError(
                "sink.checkpoint_malformed",
                exit: .checkpointMismatch,
                "The row of task \(task) in walrelay.checkpoint on the target cannot be read",
                hint: "was it written by a newer walrelay, or by hand? Restore the row from a "
                    + "backup of the target, or take a new task name"
            )
        }
        checkpoint.position = position
        checkpoint.snapshot = snapshot
        return checkpoint
    }

    /// Makes what is missing of walrelay's tables; does nothing where all is there.
    static func make(on connection: borrowing Connection) throws(PostgresError) {
        let found = try connection.query(
            "SELECT pg_catalog.to_regclass('walrelay.copied') IS NOT NULL"
        )
        guard !found.flag(0, 0) else { return }
        // Two tasks may begin at the same moment, and IF NOT EXISTS does not wait for the other.
        try connection.query(
            "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(\(Self.makingLock))"
        )
        try TableMaker.makeSchemas([ExactText(schema)], on: connection)
        try connection.query("\(definitions) COMMIT")
    }

    /// "walrelay" in ASCII, as a number.
    private static let makingLock: Int64 = 0x7761_6C72_656C_6179

    /// fillfactor: the checkpoint's row is updated all the time and should stay on its page.
    private static let definitions = """
        CREATE TABLE IF NOT EXISTS walrelay.checkpoint (
            task text PRIMARY KEY,
            system_identifier text NOT NULL,
            database text NOT NULL,
            slot text NOT NULL,
            position pg_lsn NOT NULL,
            snapshot text NOT NULL,
            document text NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
        ) WITH (fillfactor = 10);
        CREATE TABLE IF NOT EXISTS walrelay.claim (
            schema_name text,
            table_name text,
            task text NOT NULL,
            made boolean NOT NULL,
            PRIMARY KEY (schema_name, table_name)
        );
        CREATE TABLE IF NOT EXISTS walrelay.copied (
            task text NOT NULL,
            relation bigint NOT NULL,
            key_column text,
            lower bigint,
            upper bigint,
            rows bigint NOT NULL,
            bytes bigint NOT NULL
        );
        CREATE TABLE IF NOT EXISTS walrelay.dead_letter (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            task text NOT NULL,
            lsn pg_lsn NOT NULL,
            commit_lsn pg_lsn NOT NULL,
            ordinal bigint NOT NULL,
            xid bigint NOT NULL,
            schema_name text NOT NULL,
            table_name text NOT NULL,
            op text NOT NULL,
            sqlstate text NOT NULL,
            reason text NOT NULL,
            event text NOT NULL,
            at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
        );
        """

    /// Begins a transaction with the task's row locked; returns the row's position.
    ///
    /// `nil` where the row is gone. Blocks for as long as somebody else holds the lock.
    func begin(on connection: borrowing Connection) throws(PostgresError) -> LSN? {
        try lock(on: connection, after: "BEGIN; ")
    }

    /// The same in a transaction that is open.
    func lock(
        on connection: borrowing Connection,
        after prefix: String = ""
    ) throws(PostgresError) -> LSN? {
        let rows = try connection.query(
            "\(prefix)SELECT position FROM walrelay.checkpoint WHERE task = \(taskLiteral) "
                + "FOR UPDATE",
            within: Self.lockLimit
        )
        return LSN(rows.text(0, 0))
    }

    /// A repair holds the row for a minute at most; a limit is there for whoever else does.
    private static let lockLimit: Duration = .seconds(600)

    /// The statement that moves the position, and rewrites the rest where that has changed.
    func update(to checkpoint: Checkpoint, from former: Checkpoint?) throws -> String {
        var assignments = [
            "position = '\(checkpoint.position)'", "updated_at = pg_catalog.clock_timestamp()",
        ]
        var unmoved = former
        unmoved?.position = checkpoint.position
        if unmoved != checkpoint {
            assignments.append("snapshot = \(SQL.literal(checkpoint.snapshot.rawValue))")
            assignments.append("document = \(SQL.literal(try document(checkpoint)))")
        }
        return "UPDATE walrelay.checkpoint SET \(assignments.joined(separator: ", ")) "
            + "WHERE task = \(taskLiteral)"
    }

    /// The statement that puts a task's first checkpoint, or that of a snapshot taken anew.
    func insertion(of checkpoint: Checkpoint) throws -> String {
        """
        INSERT INTO walrelay.checkpoint \
        (task, system_identifier, database, slot, position, snapshot, document) VALUES (\
        \(taskLiteral), \(SQL.literal(checkpoint.systemIdentifier)), \
        \(SQL.literal(checkpoint.database)), \(SQL.literal(checkpoint.slot)), \
        '\(checkpoint.position)', \(SQL.literal(checkpoint.snapshot.rawValue)), \
        \(SQL.literal(try document(checkpoint)))) \
        ON CONFLICT (task) DO UPDATE SET system_identifier = EXCLUDED.system_identifier, \
        database = EXCLUDED.database, slot = EXCLUDED.slot, position = EXCLUDED.position, \
        snapshot = EXCLUDED.snapshot, document = EXCLUDED.document, \
        updated_at = pg_catalog.clock_timestamp()
        """
    }

    /// The statements that end the task on the target; the data and the dead letters stay.
    func removal(copiedIsThere: Bool) -> String {
        """
        BEGIN; DELETE FROM walrelay.claim WHERE task = \(taskLiteral);
        \(copiedIsThere ? "DELETE FROM walrelay.copied WHERE task = \(taskLiteral);" : "")
        DELETE FROM walrelay.checkpoint WHERE task = \(taskLiteral); COMMIT
        """
    }

    private func document(_ checkpoint: Checkpoint) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(checkpoint), as: UTF8.self)
    }
}
