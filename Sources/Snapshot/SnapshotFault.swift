// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong with a snapshot, as the operator is told it. What another snapshot mends is
// transient: the pipeline takes one, and copies what of the former one does not count (decisions
// 0012, 0016 and 0017).

import ChangeModel
import LibPQ

/// What was being done when the server refused; the same SQLSTATE means different things.
enum SnapshotStep {
    case connecting(ConnectionParameters)
    case importing(String)
    case locking(String)
    case checking
    case copying(String)
}

enum SnapshotFault {
    /// The error for what libpq or the server said.
    static func error(_ error: PostgresError, while step: SnapshotStep) -> WalrelayError {
        let action = action(step)
        guard error.kind == .server else { return WalrelayError(error, while: action) }
        let message = "\(action): \(error)"
        switch (error.sqlState, step) {
        case ("22023", .importing), ("42704", .importing), ("55000", .importing):
            return lost(message)
        case ("72000", _):
            return lost(message)
        case ("42P01", _), ("42703", _), ("3F000", _), ("42809", .locking):
            return changed(message)
        case ("55P03", .locking(let table)):
            return locked(table, by: nil)
        case ("53200", .locking):
            return WalrelayError(
                "snapshot.too_many_locks",
                exit: .prerequisite,
                message,
                hint: "raise max_locks_per_transaction on the source, or take fewer tables "
                    + "or fewer snapshot.workers: each worker locks each table"
            )
        case ("42501", _) where error.message.contains("row-level security"):
            return WalrelayError(
                "snapshot.row_security",
                exit: .prerequisite,
                message,
                hint: "a policy would hide rows: ALTER ROLE … BYPASSRLS for source.user, "
                    + "or exclude the table"
            )
        case ("42501", _):
            return WalrelayError(
                "snapshot.permission_denied",
                exit: .prerequisite,
                message,
                hint: "GRANT USAGE on the schema and SELECT on the table, and on each of its "
                    + "partitions, to source.user"
            )
        default:
            return WalrelayError(error, while: action)
        }
    }

    /// The snapshot is not there any more.
    static func lost(_ message: String) -> WalrelayError {
        WalrelayError(
            "snapshot.lost",
            exit: .unreachable,
            message,
            hint: "start again: the snapshot is taken anew",
            isTransient: true
        )
    }

    /// A table is not what it was when the tables were looked up.
    static func changed(_ message: String) -> WalrelayError {
        WalrelayError(
            "snapshot.table_changed",
            exit: .unreachable,
            message,
            hint: "start again: the tables are looked up and the snapshot is taken anew",
            isTransient: true
        )
    }

    /// A table's rows were moved into another file, which an older snapshot sees as empty.
    static func rewritten(_ table: String) -> WalrelayError {
        WalrelayError(
            "snapshot.table_rewritten",
            exit: .unreachable,
            "\(table) was truncated or rewritten after the snapshot was taken; the snapshot "
                + "would show it empty",
            hint: "start again: the snapshot is taken anew",
            isTransient: true
        )
    }

    /// A part of a table is copied by ranges of a column that is its key no more.
    static func keyChanged(_ table: String, from column: String) -> WalrelayError {
        WalrelayError(
            "snapshot.key_changed",
            exit: .refused,
            "\(table) was copied in part, by ranges of its key \"\(column)\", which is "
                + "not its key any more: the rest of it cannot be told apart",
            hint: "make it the key again, or begin anew: walrelay teardown, an empty sink, and run"
        )
    }

    /// Somebody holds a table exclusively, or waits to.
    static func locked(_ table: String, by holder: String?) -> WalrelayError {
        WalrelayError(
            "snapshot.table_locked",
            exit: .unreachable,
            "\(table) could not be locked for reading in time"
                + (holder.map { "; \($0)" } ?? ""),
            hint: "end the statement that locks the table (pg_locks, pg_stat_activity), "
                + "then start again",
            isTransient: true
        )
    }

    private static func action(_ step: SnapshotStep) -> String {
        switch step {
        case .connecting(let parameters): "connecting to the source \(parameters.destination)"
        case .importing(let name): "importing the snapshot \(name)"
        case .locking(let table): "locking \(table) for reading"
        case .checking: "checking the tables under the snapshot"
        case .copying(let table): "copying \(table)"
        }
    }
}

extension Connection {
    /// Runs a statement; what the server refuses is thrown as the operator is told it.
    @discardableResult
    func query(
        _ statement: String,
        while step: SnapshotStep,
        within limit: Duration = .seconds(60)
    ) throws(WalrelayError) -> QueryResult {
        do throws(PostgresError) {
            return try query(statement, within: limit)
        } catch {
            throw SnapshotFault.error(error, while: step)
        }
    }
}
