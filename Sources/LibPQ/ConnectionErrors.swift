// SPDX-License-Identifier: Apache-2.0
//
// From libpq's texts and fields to `PostgresError`.

import CLibPQ

extension Connection {
    /// The error of a login that failed.
    ///
    /// libpq 15 gives the SQLSTATE of a refused login in the verbose text only:
    /// `… FATAL:  28P01: password authentication failed for user "x"`.
    func connectError(_ watch: LoginWatch) -> PostgresError {
        let lines = String(cString: PQerrorMessage(handle)).split(separator: "\n")
            .map { watch.completed(String($0.drop(while: \.isWhitespace))) }
        var error = PostgresError(kind: .connect, message: "")
        // LOCATION tells the server's source file, which helps nobody here.
        var kept = lines.filter { !$0.hasPrefix("LOCATION:") }
        for index in kept.indices {
            guard let (state, range) = Self.sqlState(in: kept[index]) else { continue }
            kept[index].removeSubrange(range)
            // Of several hosts' answers the one that says why a login is refused is the one to
            // mend; the last one otherwise.
            if !error.sqlState.hasPrefix("28") && error.sqlState != "3D000" {
                error.sqlState = state
            }
        }
        // Of several hosts one that is only away may come back with TLS.
        let attempts = kept.filter { $0.hasPrefix("connection to server") }
        let refusals = attempts.isEmpty ? kept : attempts
        if error.sqlState.isEmpty, !refusals.isEmpty, refusals.allSatisfy(Self.refusesTLS) {
            error.kind = .tls
        }
        error.message = kept.joined(separator: "; ")
        // libpq gives up by itself where the server wants a password and there is none, and where
        // it cannot do what the server asks for.
        if error.sqlState.isEmpty, PQconnectionNeedsPassword(handle) == 1 {
            error.sqlState = "28P01"
        } else if error.sqlState.isEmpty, watch.isBeyondUs || Self.distrustsAnswer(error.message) {
            error.sqlState = "28000"
        }
        if error.message.isEmpty { error.message = "libpq gave no reason" }
        error.mend = lackingRight(error)
        return error
    }

    /// The statement for a role and a password that are right and may not come in; empty otherwise.
    private func lackingRight(_ error: PostgresError) -> String {
        guard error.sqlState == "42501", let user = PQuser(handle), let database = PQdb(handle)
        else { return "" }
        let role = SQL.identifier(String(cString: user))
        return error.message.contains("walsender")
            ? "ALTER ROLE \(role) WITH REPLICATION;"
            : "GRANT CONNECT ON DATABASE \(SQL.identifier(String(cString: database))) TO \(role);"
    }

    /// The error of a connection that did not even begin: for a wrong parameter no retry helps.
    func startError() -> PostgresError {
        var error = connectError(LoginWatch())
        // libpq has no code for it; its words are not translated without setlocale(3).
        if ["invalid ", "could not match "].contains(where: error.message.hasPrefix) {
            error.kind = .parameters
        }
        return error
    }

    /// Whether libpq gave up for TLS; it says so in its text only, which is never translated here.
    private static func refusesTLS(_ line: String) -> Bool {
        if ["does not support SSL", "certificate", "private key", "channel binding required"]
            .contains(where: { line.contains($0) })
        {
            return true
        }
        // What OpenSSL says of the two sides' terms: alerts, protocols, ciphers. A connection that
        // only broke off is worth another try.
        return line.contains("SSL error: ") && !line.contains("unexpected eof")
    }

    /// Whether the server's part of a login by SCRAM is not what one who knows the password says.
    private static func distrustsAnswer(_ message: String) -> Bool {
        ["SASL", "SCRAM", "server signature"].contains { message.contains($0) }
    }

    /// The error of a connection that is lost or that libpq gave up.
    func lostError() -> PostgresError {
        // A line that begins with a tab goes on with the sentence.
        let text = String(cString: PQerrorMessage(handle)).replacing("\n\t", with: " ")
        let lines = text.split(separator: "\n").map(String.init)
        let message = lines.isEmpty ? "the connection was lost" : lines.joined(separator: "; ")
        return PostgresError(kind: .connectionLost, message: message)
    }

    /// The error that a result carries.
    func error(of result: OpaquePointer) -> PostgresError {
        func field(_ letter: Character) -> String {
            guard let code = letter.asciiValue,
                let text = PQresultErrorField(result, Int32(code))
            else { return "" }
            return String(cString: text)
        }
        guard !field("C").isEmpty else { return lostError() }
        var error = PostgresError(
            kind: .server,
            sqlState: field("C"),
            message: field("M"),
            detail: field("D"),
            hint: field("H")
        )
        (error.table, error.column) = (field("t"), field("c"))
        (error.constraint, error.context) = (field("n"), field("W"))
        error.position = Int(field("P")) ?? 0
        return error
    }

    /// Finds `:  XXXXX: ` in a verbose message; the range is what to take out for people.
    private static func sqlState(in line: String) -> (String, Range<String.Index>)? {
        guard let match = line.firstMatch(of: #/:  ([0-9A-Z]{5}): /#) else { return nil }
        let start = line.index(match.range.lowerBound, offsetBy: 3)
        return (String(match.output.1), start..<match.range.upperBound)
    }
}
