// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong on the way to a job's server, whichever end of the job it is.

import ChangeModel
import LibPQ

/// Errors of a connection, before the server has read a statement or in its place.
enum ConnectionFault {
    /// The error for the operator; nil for what a server says of a statement.
    ///
    /// `action` says what was attempted and on what, `end` is the step: `reader` or `writer`.
    static func error(
        _ error: PostgresError,
        while action: String,
        at end: String
    ) -> WalrelayError? {
        if let fault = error.fileFault(while: action) { return fault }
        let message = "\(action): \(error)"
        if error.refusesLogin || error.kind == .tls {
            return WalrelayError(
                error.refusesLogin ? "job.login_refused" : "job.tls",
                exit: .prerequisite,
                message,
                hint: error.advice(at: .datasource(end))
            )
        }
        switch error.kind {
        case .interrupted:
            return WalrelayError("job.killed", exit: .killed, "\(action): stopped on request")
        case .parameters:
            return WalrelayError(
                "job.parameters",
                exit: .settings,
                message,
                hint: error.hint.isEmpty ? "mend the \(end)'s datasource" : error.hint
            )
        case .connect where !error.isTransient:
            return refused(message, at: end)
        case .connect, .connectionLost, .timeout:
            return WalrelayError(
                "job.unreachable",
                exit: .unreachable,
                message,
                hint: error.sqlState == "53300"
                    ? "take fewer channels (setting.speed.concurrent), or raise max_connections"
                    : "check host and port of the \(end)'s datasource, and whether the server runs",
                isTransient: true
            )
        case .server, .tls: return nil
        }
    }

    /// The error for what nobody can say more of than the server.
    static func refused(_ message: String, at end: String) -> WalrelayError {
        WalrelayError(
            "job.refused",
            exit: .prerequisite,
            message,
            hint: "look into the log of the \(end)'s server"
        )
    }
}

extension Connection {
    /// What a job's operator should know of how a connection is protected and was logged in to.
    func protectionWarnings(at end: String) -> [String] {
        let login = [loginFinding(at: .datasource(end))].compactMap { $0 }
        return (login + encryption.findings(setting: "datasource")).filter { $0.level != .ok }
            .map { "the \(end)'s \($0.subject): \($0.found)" }
    }
}
