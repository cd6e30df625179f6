// SPDX-License-Identifier: Apache-2.0
//
// What libpq or the server refused, with the SQLSTATE where there is one. Appendix A of the
// PostgreSQL documentation lists the codes.

public import ChangeModel

/// An error of a connection or of a statement.
public struct PostgresError: Error, Sendable, Equatable {
    /// Where the error arose.
    public enum Kind: Sendable, Equatable {
        /// libpq cannot make a connection from what it was given.
        case parameters
        /// No connection could be made.
        case connect
        /// The two sides cannot agree on TLS, or one does not trust the other's certificate.
        case tls
        /// The connection was lost, or libpq cannot go on with it.
        case connectionLost
        /// The server refused a statement.
        case server
        /// A time limit of our own passed.
        case timeout
        /// The task was asked to stop while it waited.
        case interrupted
    }

    /// Where the error arose.
    public var kind: Kind
    /// The five characters of the SQLSTATE; empty where the server said none.
    public var sqlState: String
    /// The primary message, one line.
    public var message: String
    /// The server's detail, or empty.
    public var detail: String
    /// The server's hint, or empty.
    public var hint: String
    /// The table that a statement fell over, unquoted, or empty; COPY's errors have none.
    public var table = ""
    /// The column, or empty.
    public var column = ""
    /// The constraint or the unique index, or empty.
    public var constraint = ""
    /// The server's context, such as `COPY t, line 5, column c: "x"`, or empty.
    public var context = ""
    /// What is wrong with a file that the connection needs; it is told in this error's own words.
    public var cause: WalrelayError?
    /// Where in the statement the error lies, in characters from 1; 0 where the server did not say.
    public var position = 0
    /// The statement that lets a login in whose role only lacks a right; empty otherwise.
    public var mend = ""

    /// Creates an error.
    public init(
        kind: Kind,
        sqlState: String = "",
        message: String,
        detail: String = "",
        hint: String = ""
    ) {
        self.kind = kind
        self.sqlState = sqlState
        self.message = message
        self.detail = detail
        self.hint = hint
    }

    /// A connection that cannot be made for what is wrong with one of its files.
    init(cause: WalrelayError) {
        self.init(kind: .parameters, message: cause.message, hint: cause.hint)
        self.cause = cause
    }

    /// The error of a file as the operator is told it; nil for all others.
    ///
    /// `action` says what was attempted and on what, such as `connecting to the source db:5432`.
    public func fileFault(while action: String) -> WalrelayError? {
        guard var cause else { return nil }
        cause.message = "\(action): \(cause.message)"
        return cause
    }

    /// Whether the same attempt may succeed later without anybody's help.
    public var isTransient: Bool {
        if let cause { return cause.isTransient }
        return switch kind {
        case .interrupted, .parameters, .tls: false
        case .connectionLost, .timeout: true
        case .connect: sqlState.isEmpty || Self.isTransient(sqlState)
        case .server: Self.isTransient(sqlState)
        }
    }

    /// Whether the server refused the login: wrong password, no such role or database, pg_hba.conf.
    public var refusesLogin: Bool {
        kind == .connect
            && (sqlState.hasPrefix("28") || sqlState == "3D000" || sqlState == "42501")
    }

    /// Whether the server refused a row, and would take another one.
    public var blamesRow: Bool {
        guard kind == .server else { return false }
        switch sqlState.prefix(2) {
        // Data, constraints, one key twice in ON CONFLICT, checks of views, RAISE in a trigger.
        case "22", "23", "21", "44", "P0": return true
        // A limit such as the size of an index's row.
        default: return sqlState == "54000"
        }
    }

    /// libpq's own words on it quote the text, and with it perhaps the password.
    static let malformedConninfo = PostgresError(
        kind: .parameters,
        message: "the connection string is malformed",
        hint: "a URI takes special characters percent-encoded (@ as %40, / as %2F), keyword=value "
            + "takes them in '', and a host holds no @"
    )

    private static func isTransient(_ sqlState: String) -> Bool {
        switch sqlState.prefix(2) {
        case "08", "40", "53", "57", "58": sqlState != "57014"
        default: sqlState == "55006" || sqlState == "55P03"
        }
    }
}

extension PostgresError: CustomStringConvertible {
    /// Message, SQLSTATE, detail and hint in one line.
    public var description: String {
        var text = message
        if !sqlState.isEmpty { text += " (SQLSTATE \(sqlState))" }
        if !detail.isEmpty { text += "; \(detail)" }
        if !hint.isEmpty { text += "; hint: \(hint)" }
        return text
    }
}

extension PostgresError {
    /// Message, SQLSTATE and detail without the hint, bounded: a detail may quote a whole row.
    public var briefly: String {
        var text = message.cut(to: 500)
        if !sqlState.isEmpty { text += " (SQLSTATE \(sqlState))" }
        if !detail.isEmpty { text += "; \(detail.cut(to: 500))" }
        return text
    }
}

extension WalrelayError {
    /// An error of PostgreSQL as the operator is told it.
    ///
    /// `action` says what was attempted and on what, such as `connecting to the source db:5432`.
    public init(_ error: PostgresError, while action: String, hint: String = "") {
        let message = "\(action): \(error)"
        if let fault = error.fileFault(while: action) {
            self = fault
        } else if error.refusesLogin || error.kind == .tls {
            self.init(
                error.refusesLogin ? "source.login_refused" : "source.tls",
                exit: .prerequisite,
                message,
                hint: hint.isEmpty ? error.advice(at: .source) : hint
            )
        } else if error.isTransient {
            let advice = "check source.host and source.port, and whether the server runs"
            let isAdvised = hint.isEmpty && error.kind != .server
            self.init(
                "source.unreachable",
                exit: .unreachable,
                message,
                hint: isAdvised ? advice : hint,
                isTransient: true
            )
        } else if error.kind == .parameters {
            self.init("source.parameters", exit: .settings, message, hint: hint)
        } else if error.kind == .interrupted {
            self.init("stopped", exit: .success, message)
        } else {
            self.init("source.refused", exit: .prerequisite, message, hint: hint)
        }
    }
}
