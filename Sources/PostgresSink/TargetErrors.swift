// SPDX-License-Identifier: Apache-2.0
//
// What the target refuses, as the operator is told it. Three kinds: what passes by itself (the
// server restarts, another transaction was in the way, a failover), what one row is to blame for,
// and what somebody has to mend on the target whatever the row.

public import ChangeModel
public import LibPQ

/// Errors of the target's server.
public enum TargetErrors {
    /// Whether the same attempt may succeed later, on this server or on the one that takes over.
    static func isTransient(_ error: PostgresError) -> Bool {
        // 25006: a primary that has become a standby while we were connected. 57014: somebody's
        // statement_timeout or pg_cancel_backend.
        error.isTransient || (error.kind == .server && ["25006", "57014"].contains(error.sqlState))
    }

    /// An error of the connection or of a statement that has nothing to do with a single row.
    ///
    /// `action` says what was attempted and on what.
    public static func error(_ error: PostgresError, while action: String) -> WalrelayError {
        if let fault = error.fileFault(while: action) { return fault }
        let message = "\(action): \(error)"
        if isTransient(error) { return away(error, message) }
        switch error.kind {
        case .interrupted:
            return WalrelayError("stopped", exit: .success, message)
        case .parameters:
            return WalrelayError("sink.parameters", exit: .settings, message)
        default: break
        }
        if error.refusesLogin || error.kind == .tls {
            return WalrelayError(
                error.refusesLogin ? "sink.login_refused" : "sink.tls",
                exit: .prerequisite,
                message,
                hint: error.advice(at: .target)
            )
        }
        if error.sqlState == "42501" {
            return WalrelayError(
                "sink.permission_denied",
                exit: .prerequisite,
                message,
                hint: "grant the role of sink.postgresql.user what it lacks on the target"
            )
        }
        return WalrelayError("sink.refused", exit: .prerequisite, message)
    }

    /// Throws `sink.tables_unfit` with everything that failed; returns where nothing did.
    static func refuse(_ findings: [Finding]) throws(WalrelayError) {
        try Finding.refuse(
            findings,
            as: "sink.tables_unfit",
            "the target cannot take the tables as they are",
            hint: "mend them on the target from the top down and start again; "
                + "`walrelay check` tells what is left"
        )
    }

    /// The code of a lock that was not to be had in time.
    static let locked = "sink.table_locked"

    private static func away(_ error: PostgresError, _ message: String) -> WalrelayError {
        let hint =
            switch (error.kind, error.sqlState) {
            case (.server, "25006"):
                "the target only reads: name the primary in sink.postgresql.host, or all servers "
                    + "with commas"
            case (.server, "57014"):
                "look for a statement_timeout of the role or the database on the target"
            case (.server, "55P03"):
                "end the statement that holds the lock (pg_locks, pg_stat_activity)"
            case (.server, _): ""
            default: "check sink.postgresql.host and port, and whether the target runs"
            }
        // A deadlock or a serialization failure: the server is there, and somebody else works on it.
        let isConflict = error.kind == .server && error.sqlState.hasPrefix("40")
        let isLocked = error.kind == .server && error.sqlState == "55P03"
        return WalrelayError(
            isLocked ? locked : isConflict ? "sink.conflict" : "sink.unreachable",
            exit: .unreachable,
            message,
            hint: hint,
            isTransient: true
        )
    }
}
