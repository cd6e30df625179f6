// SPDX-License-Identifier: Apache-2.0
//
// What the target refuses, as the operator is told it: what passes by itself is told apart from
// what somebody has to mend.

import ChangeModel
import LibPQ

/// Errors of the target's server.
enum TargetErrors {
    /// Whether the same attempt may succeed later, on this server or on the one that takes over.
    static func isTransient(_ error: PostgresError) -> Bool {
        // 25006: a primary that has become a standby while we were connected.
        error.isTransient || error.sqlState == "25006"
    }

    /// An error of the connection or of a statement that has nothing to do with a single row.
    ///
    /// `action` says what was attempted and on what.
    static func error(_ error: PostgresError, while action: String) -> WalrelayError {
        let message = "\(action): \(error)"
        if isTransient(error) {
            let isAway = error.kind != .server
            return WalrelayError(
                "sink.unreachable",
                exit: .unreachable,
                message,
                hint: isAway
                    ? "check sink.postgresql.host and port, and whether the target runs" : "",
                isTransient: true
            )
        }
        switch error.kind {
        case .interrupted:
            return WalrelayError("stopped", exit: .success, message)
        case .parameters:
            return WalrelayError("sink.parameters", exit: .settings, message)
        case .tls:
            return WalrelayError(
                "sink.tls",
                exit: .prerequisite,
                message,
                hint: "check sink.postgresql.tls.mode and the files beside it, "
                    + "and ssl in the target's postgresql.conf"
            )
        default: break
        }
        if error.refusesLogin {
            return WalrelayError(
                "sink.login_refused",
                exit: .prerequisite,
                message,
                hint: "check sink.postgresql.user, the password, sink.postgresql.database "
                    + "and the target's pg_hba.conf"
            )
        }
        return WalrelayError("sink.refused", exit: .prerequisite, message)
    }
}
