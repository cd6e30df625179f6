// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong on the target while a snapshot is copied, as the operator is told it.

import ChangeModel
import LibPQ

enum LaneFault {
    /// No session, or none that could be set up.
    static func connecting(to destination: String, _ error: PostgresError) -> WalrelayError {
        other(error, while: "connecting to the target \(destination)")
    }

    /// The target does not take rows into a table at all.
    static func beginning(
        _ table: TargetTable,
        _ destination: String,
        _ error: PostgresError
    ) -> WalrelayError {
        let action = "beginning to copy into \(table.schema).\(table.name) of \(destination)"
        guard error.kind == .server, error.sqlState == "42501" else {
            return other(error, while: action)
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
        guard error.kind == .server, !error.isTransient, isOfData(error.sqlState) else {
            return other(error, while: "copying into \(name) of \(destination)")
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

    /// Class 22 is data, 23 constraints, 42 types and expressions, 44 views, 54 limits, P0 triggers.
    private static func isOfData(_ sqlState: String) -> Bool {
        ["22", "23", "42", "44", "54", "P0"].contains(sqlState.prefix(2))
    }

    private static func other(_ error: PostgresError, while action: String) -> WalrelayError {
        let message = "\(action): \(error)"
        if error.kind == .interrupted { return WalrelayError("stopped", exit: .success, message) }
        if error.refusesLogin {
            return WalrelayError(
                "sink.login_refused",
                exit: .prerequisite,
                message,
                hint: "check user, password and database of sink.postgresql, and the server's "
                    + "pg_hba.conf"
            )
        }
        if error.kind == .tls || error.kind == .parameters {
            return WalrelayError(
                "sink.connection",
                exit: .settings,
                message,
                hint: "check sink.postgresql"
            )
        }
        // 25006: a standby, which a failover may have put in the primary's place for a while.
        if error.isTransient || error.sqlState == "25006" {
            return WalrelayError(
                "sink.unreachable",
                exit: .unreachable,
                message,
                hint: error.kind == .server
                    ? "" : "check host and port of sink.postgresql, and whether the server runs",
                isTransient: true
            )
        }
        return WalrelayError("sink.refused", exit: .refused, message)
    }
}
