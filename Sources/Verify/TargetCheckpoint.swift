// SPDX-License-Identifier: Apache-2.0
//
// Where the task has come to on the target, as part of whatever transaction reads it: everything
// committed before the checkpoint's position on the source, and nothing else, is there.

import ChangeModel
import LibPQ
import PostgresSink

enum TargetCheckpoint {
    /// Reads the task's checkpoint; blocks.
    ///
    /// Throws `WalrelayError` where there is none, or it is of an unfinished snapshot. With
    /// `locking` the task waits before its next transaction until this one ends.
    static func read(
        task: String,
        locking: Bool = false,
        on session: Session
    ) throws -> Checkpoint {
        let found: Checkpoint?
        do {
            found = try CheckpointTable.read(
                task: task,
                locking: locking,
                on: session.connection
            )
        } catch let error as PostgresError {
            guard ["42P01", "3F000"].contains(error.sqlState) else {
                throw session.side.error(error, while: "reading the checkpoint of task \(task)")
            }
            throw missing(task)
        }
        guard let checkpoint = found else { throw missing(task) }
        guard checkpoint.snapshot == .complete else {
            throw WalrelayError(
                "verify.snapshot_unfinished",
                exit: .prerequisite,
                "The snapshot of task \(task) is not complete on the target",
                hint: "let walrelay run finish it; walrelay status shows how far it is"
            )
        }
        return checkpoint
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
