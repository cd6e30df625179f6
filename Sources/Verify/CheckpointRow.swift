// SPDX-License-Identifier: Apache-2.0
//
// The task's row in walrelay.checkpoint on the target: where the task has come to, as part of
// whatever transaction reads it.

import ChangeModel
import Foundation
import LibPQ

/// What the target says of a task.
struct CheckpointRow: Sendable {
    /// Everything committed before it on the source, and nothing else, is on the target.
    var position: LSN
    /// The whole checkpoint.
    var checkpoint: Checkpoint

    /// Reads the row; blocks.
    ///
    /// Throws `WalrelayError` where there is none, or it is of an unfinished snapshot.
    static func read(task: String, on session: Session) throws(WalrelayError) -> CheckpointRow {
        try read(task: task, suffix: "", on: session)
    }

    /// Reads the row and locks it until the transaction ends: the task waits before its next one.
    static func lock(task: String, on session: Session) throws(WalrelayError) -> CheckpointRow {
        try read(task: task, suffix: " FOR UPDATE", on: session)
    }

    private static func read(
        task: String,
        suffix: String,
        on session: Session
    ) throws(WalrelayError) -> CheckpointRow {
        let rows: QueryResult
        do throws(PostgresError) {
            rows = try session.connection.query(
                "SELECT position, document FROM walrelay.checkpoint "
                    + "WHERE task = \(SQL.literal(task))\(suffix)",
                within: .seconds(120)
            )
        } catch  where ["42P01", "3F000"].contains(error.sqlState) {
            throw missing(task)
        } catch {
            throw session.side.error(error, while: "reading the checkpoint of task \(task)")
        }
        guard rows.count == 1, let position = LSN(rows.text(0, 0)) else { throw missing(task) }
        let document = Data(rows.text(0, 1).utf8)
        guard let checkpoint = try? JSONDecoder().decode(Checkpoint.self, from: document) else {
            throw WalrelayError(
                "checkpoint.unreadable",
                exit: .checkpointMismatch,
                "The checkpoint of task \(task) on the target cannot be read",
                hint: "was it written by a newer walrelay, or by hand?"
            )
        }
        guard checkpoint.snapshot == .complete else {
            throw WalrelayError(
                "verify.snapshot_unfinished",
                exit: .prerequisite,
                "The snapshot of task \(task) is not complete on the target",
                hint: "let walrelay run finish it; walrelay status shows how far it is"
            )
        }
        return CheckpointRow(position: position, checkpoint: checkpoint)
    }

    private static func missing(_ task: String) -> WalrelayError {
        WalrelayError(
            "verify.no_checkpoint",
            exit: .checkpointMismatch,
            "The target holds no checkpoint of task \(task)",
            hint: "run the task first: walrelay run --config FILE --until now"
        )
    }
}
