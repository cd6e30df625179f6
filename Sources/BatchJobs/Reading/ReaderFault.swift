// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong with a job's source, as the operator is told it.

import ChangeModel
import LibPQ

/// Errors of the reading side.
enum ReaderFault {
    /// The error for what libpq or the server said.
    ///
    /// `action` says what was attempted and on what. Where the statement that was sent is given,
    /// the place of an error in it is shown.
    static func error(
        _ error: PostgresError,
        while action: String,
        in statement: ComposedStatement? = nil
    ) -> WalrelayError {
        ConnectionFault.error(error, while: action, at: "reader")
            ?? refusal(error, "\(action): \(error)", in: statement)
    }

    private static func refusal(
        _ error: PostgresError,
        _ message: String,
        in statement: ComposedStatement?
    ) -> WalrelayError {
        switch error.sqlState {
        case "42501": return permission(error, message)
        case "22P05" where error.message.contains("encoding \"UTF8\" has no equivalent"):
            return WalrelayError(
                "job.sql",
                exit: .settings,
                message,
                hint: "the reader's SQL holds a character that the database's encoding lacks"
            )
        case "22021", "22P05": return encoding(message)
        case "55P03":
            return WalrelayError(
                "job.table_locked",
                exit: .unreachable,
                message,
                hint: "end the statement that locks the table, or waits to "
                    + "(pg_locks, pg_stat_activity), then start again",
                isTransient: true
            )
        case "25006":
            return WalrelayError(
                "job.sql",
                exit: .settings,
                message + excerpt(error, statement),
                hint: "a reader only reads: its statements cannot write, nor call what writes"
            )
        case "57014":
            return WalrelayError(
                "job.cancelled",
                exit: .unreachable,
                message,
                hint: "somebody cancelled the statement; start again",
                isTransient: true
            )
        default: break
        }
        if error.isTransient {
            let standby =
                "on a standby: raise max_standby_streaming_delay, or set "
                + "hot_standby_feedback = on, or read from the primary"
            return WalrelayError(
                "job.unreachable",
                exit: .unreachable,
                message,
                hint: error.message.contains("conflict with recovery")
                    ? standby : "start again once the server can do it",
                isTransient: true
            )
        }
        return statementFault(error, message + excerpt(error, statement))
            ?? ConnectionFault.refused(message, at: "reader")
    }

    /// What is wrong with the job's SQL, or with the rows that it meets; nil for anything else.
    private static func statementFault(
        _ error: PostgresError,
        _ message: String
    ) -> WalrelayError? {
        let group = error.sqlState.prefix(2)
        // A constant that is no value of its type has a place in the statement, a value that a row
        // holds has none.
        let isOfDocument = group == "22" && error.position > 0
        if isOfDocument || ["42", "0A", "3F"].contains(group) {
            return WalrelayError(
                error.sqlState == "42703" ? "job.column_missing" : "job.sql",
                exit: .settings,
                message,
                hint: "mend it in the job; --dry-run tries it without writing anything"
            )
        }
        if ["22", "21", "23", "P0"].contains(group) {
            return WalrelayError(
                "job.sql",
                exit: .refused,
                message,
                hint: "a value that is there cannot be read so: mend the expression or the row"
            )
        }
        return nil
    }

    private static func permission(_ error: PostgresError, _ message: String) -> WalrelayError {
        WalrelayError(
            "job.permission_denied",
            exit: .prerequisite,
            message,
            hint: "GRANT SELECT on it, and USAGE on its schema, to the role of the reader's "
                + "datasource"
        )
    }

    private static func encoding(_ message: String) -> WalrelayError {
        WalrelayError(
            "job.encoding",
            exit: .refused,
            message,
            hint: "a stored text does not follow the database's encoding, or has no UTF-8 form: "
                + "mend the row, leave it out by where, or read the column as "
                + "convert_to(column, getdatabaseencoding())"
        )
    }

    private static func excerpt(_ error: PostgresError, _ statement: ComposedStatement?) -> String {
        guard let place = statement?.place(of: error) else { return "" }
        let lines = place.excerpt.split(separator: "\n").map { "\n  \($0)" }.joined()
        return "\nin \(place.origin):\(lines)"
    }

    /// A name that the server does not know.
    static func missing(_ code: String, _ what: String, nearest: [String]) -> WalrelayError {
        let names = nearest.map { "\"\($0)\"" }.joined(separator: " or ")
        return WalrelayError(
            code,
            exit: .settings,
            what,
            hint: nearest.isEmpty
                ? "name it as psql shows it; a table outside of the search path as schema.table"
                : "did you mean \(names)?"
        )
    }
}

extension Connection {
    /// Runs a statement; what the server refuses is thrown as the operator is told it.
    @discardableResult
    func ask(
        _ statement: ComposedStatement,
        while action: String,
        within limit: Duration = .seconds(60)
    ) throws(WalrelayError) -> QueryResult {
        do throws(PostgresError) {
            return try query(statement.text, within: limit)
        } catch {
            throw ReaderFault.error(error, while: action, in: statement)
        }
    }

    /// The same for a statement without words of the job.
    @discardableResult
    func ask(
        _ statement: String,
        while action: String,
        within limit: Duration = .seconds(60)
    ) throws(WalrelayError) -> QueryResult {
        try ask(ComposedStatement(statement), while: action, within: limit)
    }
}
