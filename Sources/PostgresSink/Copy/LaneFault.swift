// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong on the target while a snapshot is copied, as the operator is told it.

import ChangeModel
import LibPQ

enum LaneFault {
    /// A row was refused, or the target went away.
    static func copying(
        _ table: TargetTable,
        _ destination: String,
        _ error: PostgresError
    ) -> WalrelayError {
        let name = "\(table.schema).\(table.name)"
        guard error.blamesRow else {
            return TargetErrors.error(error, while: "copying into \(name) of \(destination)")
        }
        let place = error.context.split(separator: "\n").first.map { " at \($0)" } ?? ""
        return WalrelayError(
            "sink.row_refused",
            exit: .refused,
            "The target \(destination) refused a row of the snapshot of \(name)\(place): "
                + error.briefly,
            hint: "make the target's table take what the source's holds, or mend the row at the "
                + "source, then start again: the snapshot goes on with what it lacks"
        )
    }

    /// The task's checkpoint is not where it was when the lane was made.
    static func checkpointMoved(_ record: LaneRecord, _ destination: String) -> WalrelayError {
        WalrelayError(
            "sink.checkpoint_moved",
            exit: .checkpointMismatch,
            "The checkpoint of task \(record.checkpoints.task) on \(destination) is not where this "
                + "copying has left it any more",
            hint: "see that no second walrelay runs this task; "
                + "this one goes on from what the target says",
            isTransient: true
        )
    }

    /// The target ended a COPY well and has fewer rows of it than it was given.
    static func missing(
        _ table: TargetTable,
        _ destination: String,
        given: Int,
        taken: Int
    ) -> WalrelayError {
        WalrelayError(
            "sink.rows_missing",
            exit: .refused,
            "\(table.schema).\(table.name) of \(destination) took \(taken) of \(given) rows: "
                + "a trigger or a rule of the table keeps rows back",
            hint: "ALTER TABLE \(table.qualifiedName) DISABLE TRIGGER … for each that is enabled "
                + "(\\d \(table.schema).\(table.name) in psql lists them), then start again"
        )
    }
}
