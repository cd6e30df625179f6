// SPDX-License-Identifier: Apache-2.0
//
// What the target's errors mean. Three kinds: those that time mends (the server restarts, another
// transaction was in the way, a failover made it read-only), those that one row is to blame for,
// and those that somebody has to mend on the target, whatever the row.

import ChangeModel
import LibPQ

extension PostgresError {
    /// Whether the same work may succeed on the target later without anybody's help.
    var isTransientOnTarget: Bool {
        // A cancelled statement is somebody's statement_timeout or pg_cancel_backend; a server
        // that only reads has become a standby, or is kept from writing until its disk has room.
        isTransient || (kind == .server && ["57014", "25006"].contains(sqlState))
    }

    /// Whether a row is to blame: the table as such could be written.
    var blamesRow: Bool {
        guard kind == .server else { return false }
        switch sqlState.prefix(2) {
        // Data, integrity constraints, ON CONFLICT twice, views' checks, RAISE in a trigger.
        case "22", "23", "21", "44", "P0": return true
        // A limit of the server, such as the size of an index's row; not one of its resources.
        default: return sqlState == "54000"
        }
    }

    /// Message, SQLSTATE and detail without the hint, bounded: a detail may quote a whole row.
    var briefly: String {
        var text = message.cut(to: 500)
        if !sqlState.isEmpty { text += " (SQLSTATE \(sqlState))" }
        if !detail.isEmpty { text += "; \(detail.cut(to: 500))" }
        return text
    }
}

extension WalrelayError {
    /// An error of the target as the operator is told it.
    ///
    /// `action` says what was attempted and on what, such as `connecting to the target db:5432`.
    init(target error: PostgresError, while action: String, hint: String = "") {
        let message = "\(action): \(error.briefly)"
        func make(
            _ code: String,
            _ exit: ExitCode,
            advice: String = "",
            isTransient: Bool = false
        ) -> WalrelayError {
            let fallback = error.hint.isEmpty ? advice : error.hint
            return WalrelayError(
                code,
                exit: exit,
                message,
                hint: hint.isEmpty ? fallback : hint,
                isTransient: isTransient
            )
        }
        if error.kind == .interrupted {
            self.init("stopped", exit: .success, message)
        } else if error.refusesLogin {
            self = make(
                "sink.login_refused",
                .prerequisite,
                advice: "check user, password and database in sink.postgresql, and the target's "
                    + "pg_hba.conf"
            )
        } else if error.kind == .tls {
            self = make(
                "sink.tls",
                .prerequisite,
                advice: "check sink.postgresql.tls and the files beside it, and ssl in the "
                    + "target's postgresql.conf"
            )
        } else if error.kind == .parameters {
            self = make("sink.parameters", .settings)
        } else if error.sqlState == "25006" {
            self = make(
                "sink.read_only",
                .unreachable,
                advice: "the target takes no writes: name the primary in sink.postgresql.host, or "
                    + "all servers with commas",
                isTransient: true
            )
        } else if error.isTransientOnTarget {
            let advice = "check host and port in sink.postgresql, and whether the server runs"
            self = make(
                "sink.unreachable",
                .unreachable,
                advice: error.kind == .server ? "" : advice,
                isTransient: true
            )
        } else if error.sqlState == "42501" {
            self = make(
                "sink.permission_denied",
                .prerequisite,
                advice: "grant the role of sink.postgresql.user what is missing; "
                    + "`walrelay check` names it"
            )
        } else {
            self = make("sink.refused", .prerequisite)
        }
    }
}

extension String {
    /// At most `limit` characters of it; three dots say that there was more.
    func cut(to limit: Int) -> String {
        count > limit ? prefix(limit) + "…" : self
    }
}
