// SPDX-License-Identifier: Apache-2.0
//
// What the target's server refuses, as the operator of a job is told it. What one record is to
// blame for is not here: that is a dirty record.

import ChangeModel
import LibPQ

/// Errors of the job's target.
enum WriterFault {
    /// The error for what no single record is to blame for.
    ///
    /// `action` says what was attempted and on what; `statement` is the SQL that was sent.
    static func error(
        _ error: PostgresError,
        while action: String,
        statement: String = ""
    ) -> WalrelayError {
        if let fault = ConnectionFault.error(error, while: action, at: "writer") { return fault }
        let message = "\(action): \(error)"
        switch error.sqlState {
        case "25006":
            return WalrelayError(
                "job.read_only",
                exit: .prerequisite,
                message,
                hint: "the target only reads: name the primary in the datasource, or all servers "
                    + "with commas"
            )
        case "42501":
            return WalrelayError(
                "job.permission_denied",
                exit: .prerequisite,
                message,
                hint: "grant the role of the datasource what it lacks"
            )
        default: break
        }
        if error.isTransient || error.sqlState == "57014" { return away(error, message) }
        guard !statement.isEmpty else { return ConnectionFault.refused(message, at: "writer") }
        return WalrelayError(
            "job.sql",
            exit: error.blamesRow ? .refused : .settings,
            "\(message)\n\(place(in: statement, error.position))",
            hint: error.blamesRow
                ? "mend the statement, or the rows that it met"
                : "mend it in the job"
        )
    }

    /// The line of a statement in which a position lies with a caret below it, indented.
    ///
    /// Without a position the statement's first line.
    static func place(in statement: String, _ position: Int = 0) -> String {
        let excerpt = SQL.excerpt(of: statement, at: position)
        let first = statement.split { $0.isNewline }.first.map { String($0).cut(to: 120) } ?? ""
        return (excerpt.isEmpty ? first : excerpt).split(separator: "\n").map { "  \($0)" }
            .joined(separator: "\n")
    }

    /// A server that is there and cannot do it now.
    private static func away(_ error: PostgresError, _ message: String) -> WalrelayError {
        let isConflict = error.sqlState.hasPrefix("40")
        let hint =
            switch error.sqlState {
            case "57014": "look for a statement_timeout or somebody who cancelled the statement"
            case "55P03": "end the transaction that holds the lock (pg_locks), then start again"
            default: "start again once the server can do it"
            }
        return WalrelayError(
            isConflict ? "job.conflict" : "job.unreachable",
            exit: .unreachable,
            message,
            hint: hint,
            isTransient: true
        )
    }

    /// What a record with another number of values than the job has columns ends a batch with.
    static let malformed = PostgresError(kind: .parameters, message: "a malformed record")

    /// A record that does not have as many values as the job has columns: a defect of ours.
    static var inconsistency: WalrelayError {
        WalrelayError(
            "job.inconsistent_record",
            exit: .internalError,
            "a record has another number of values than the job has columns",
            hint: "report this as a defect with the job file"
        )
    }
}
