// SPDX-License-Identifier: Apache-2.0
//
// What the lanes of a running snapshot have copied (walrelay.copied): a row a chunk, committed with
// the chunk, so that after a crash of either side there are both or neither. The rows belong to the
// checkpoint that was there when they came; the next one that is committed holds what they say, and
// takes them away in its transaction.
//
// A lane that outlives its daemon for a moment must not add to another checkpoint than its own. So
// its transaction holds the checkpoint's row, shared, and looks whether that is at the position at
// which the lane was made; whoever reads what is copied waits for those that hold it.

import ChangeModel
import LibPQ

extension CheckpointTable {
    /// The task's checkpoint with what was copied since it was committed, and how many rows said
    /// that.
    ///
    /// Waits for lanes of a daemon that died, for as long as a server takes to commit. Throws
    /// `PostgresError`, and `WalrelayError` `sink.checkpoint_malformed`.
    func loadCopied(
        on connection: borrowing Connection
    ) throws -> (checkpoint: Checkpoint, chunks: Int)? {
        guard var checkpoint = try Self.read(task: task, on: connection) else { return nil }
        guard checkpoint.snapshot == .running, try isCopiedThere(on: connection) else {
            return (checkpoint, 0)
        }
        try connection.query("BEGIN")
        if let locked = try Self.read(task: task, locking: true, on: connection) {
            checkpoint = locked
        }
        let chunks = try copied(at: checkpoint.position, on: connection)
        for copy in chunks {
            var sum = checkpoint.copy(of: copy.oid)
            sum.add(copy)
            checkpoint.set(sum)
        }
        try connection.query("COMMIT")
        return (checkpoint, chunks.count)
    }

    /// Whether the table is there: an earlier version has not made it.
    func isCopiedThere(on connection: borrowing Connection) throws(PostgresError) -> Bool {
        try connection.query("SELECT pg_catalog.to_regclass('walrelay.copied') IS NOT NULL")
            .flag(0, 0)
    }

    private func copied(
        at point: LSN,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [TableCopy] {
        let rows = try connection.query(
            """
            SELECT relation, key_column, lower, upper, rows, bytes FROM walrelay.copied \
            WHERE task = \(taskLiteral)
            """,
            within: .seconds(120)
        )
        return (0..<rows.count).map { row in
            let range = KeyRange(rows.integer(row, 2), rows.integer(row, 3))
            return TableCopy(
                oid: UInt32(clamping: rows.integer(row, 0) ?? 0),
                point: point,
                progress: rows.value(row, 1).map { .keys(column: $0, KeyRanges([range])) }
                    ?? .whole,
                rows: rows.integer(row, 4) ?? 0,
                bytes: rows.integer(row, 5) ?? 0
            )
        }
    }

    /// The statement of a lane's transaction that notes what it has copied, if it has, and finds
    /// out whether the checkpoint is the lane's own: then it gives a row.
    func noting(_ copied: TableCopy, at position: LSN) -> String {
        let own = """
            SELECT task FROM walrelay.checkpoint WHERE task = \(taskLiteral) \
            AND position = '\(position)' AND snapshot = 'running' FOR SHARE
            """
        let part: [String]
        switch copied.progress {
        case .nothing: return own
        case .whole: part = ["NULL", "NULL", "NULL"]
        case .keys(let column, let keys):
            let range = keys.ranges.first ?? .everything
            part = [
                SQL.literal(column), range.lower.map { "'\($0)'" } ?? "NULL",
                range.upper.map { "'\($0)'" } ?? "NULL",
            ]
        }
        return """
            WITH own AS (\(own)) INSERT INTO walrelay.copied \
            (task, relation, key_column, lower, upper, rows, bytes) \
            SELECT task, \(copied.oid), \(part[0])::text, \(part[1])::bigint, \
            \(part[2])::bigint, \(copied.rows), \(copied.bytes) FROM own RETURNING task
            """
    }

    /// Takes away, in the open transaction, what the checkpoint to be committed holds itself.
    ///
    /// Throws `sink.checkpoint_moved` where that were not `chunks` rows: a lane of a daemon that died
    /// has committed since they were read. `nil` does not ask.
    func removeCopied(
        expecting chunks: Int?,
        on connection: borrowing Connection
    ) throws {
        let removed = try connection.query(copiedRemoval, within: .seconds(120)).affectedRows
        guard let chunks, chunks != removed else { return }
        throw WalrelayError(
            "sink.checkpoint_moved",
            exit: .checkpointMismatch,
            "\(removed) chunks of the snapshot of task \(task) are on the target, and \(chunks) were "
                + "there when it was read",
            hint: "see that no second walrelay runs this task; "
                + "this one goes on from what the target says",
            isTransient: true
        )
    }

    /// The statement that takes away what the checkpoint to be committed holds itself.
    var copiedRemoval: String { "DELETE FROM walrelay.copied WHERE task = \(taskLiteral)" }

    // MARK: - Copies beside the stream

    /// The statement that ends whatever copy was under way beside the stream, and begins another.
    ///
    /// Waits for lanes that are about to commit.
    func beginningCopy(_ token: Int64) -> String {
        "\(copiedRemoval); INSERT INTO walrelay.copied (task, relation, lower, rows, bytes) "
            + "VALUES (\(taskLiteral), 0, \(token), 0, 0)"
    }

    /// Gives a row, held until the transaction ends, while that copy is the last one.
    func holdingCopy(_ token: Int64) -> String {
        "SELECT task FROM walrelay.copied WHERE task = \(taskLiteral) AND relation = 0 "
            + "AND lower = \(token) FOR SHARE"
    }
}
