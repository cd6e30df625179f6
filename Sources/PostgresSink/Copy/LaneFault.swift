// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong on the target while a snapshot is copied, as the operator is told it.

import ChangeModel
import LibPQ

enum LaneFault {
    /// The target does not take rows into a table at all.
    static func beginning(
        _ table: TargetTable,
        _ destination: String,
        _ error: PostgresError
    ) -> WalrelayError {
        let action = "beginning to copy into \(table.schema).\(table.name) of \(destination)"
        guard error.kind == .server, error.sqlState == "42501" else {
            return TargetErrors.error(error, while: action)
        }
        return WalrelayError(
            "sink.permission_denied",
            exit: .prerequisite,
            "\(action): \(error)",
            hint: "GRANT INSERT ON \(table.qualifiedName) and USAGE on its schema "
                + "to the sink's user"
        )
    }

    /// A row was refused, or the target went away.
    static func copying(
        _ table: TargetTable,
        _ destination: String,
        _ error: PostgresError
    ) -> WalrelayError {
        let name = "\(table.schema).\(table.name)"
        guard error.kind == .server, isOfData(error.sqlState) else {
            return TargetErrors.error(error, while: "copying into \(name) of \(destination)")
        }
        let place = error.context.split(separator: "\n").first.map { " at \($0)" } ?? ""
        return WalrelayError(
            "sink.row_refused",
            exit: .refused,
            "The target \(destination) refused a row of the snapshot of \(name)\(place): \(error)",
            hint: "make the target's table take what the source's holds, or mend the row at the "
                + "source, then start again: the snapshot is taken anew"
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

    /// Classes: 22 data, 23 constraints, 42 types and expressions, 44 views, 54 limits, P0 what
    /// triggers raise.
    private static func isOfData(_ sqlState: String) -> Bool {
        ["22", "23", "42", "44", "54", "P0"].contains(sqlState.prefix(2))
    }
}
