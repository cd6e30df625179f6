// SPDX-License-Identifier: Apache-2.0
//
// Which path answers what. Knows nothing of sockets or of the HTTP library: method and path in,
// reply out.

import ChangeModel
import Foundation
import Pipeline

/// What is sent back for a request.
struct HealthReply: Sendable {
    var code: Int
    var contentType: String
    var body: String
    var headers: [(name: String, value: String)] = []

    static func text(_ code: Int, _ line: String) -> HealthReply {
        // A reason may quote the server; it stays one line whatever it holds.
        HealthReply(
            code: code,
            contentType: "text/plain; charset=utf-8",
            body: line.shown + "\n"
        )
    }
}

/// The endpoints of a running task.
struct HealthRoutes: Sendable {
    static let paths = ["/", "/healthz", "/readyz", "/status", "/metrics"]

    let board: StatusBoard
    var stallLimit: Duration = HealthReport.stallLimit

    /// Answers a request; the body of a reply to HEAD is for its length only.
    func reply(method: String, path: String) -> HealthReply {
        guard Self.paths.contains(path) else {
            return .text(404, "no such page; there are " + Self.paths.joined(separator: " "))
        }
        guard method == "GET" || method == "HEAD" else {
            var reply = HealthReply.text(405, "only GET and HEAD are answered here")
            reply.headers = [("Allow", "GET, HEAD")]
            return reply
        }
        switch path {
        case "/healthz": return health(HealthReport(board: board, stallLimit: stallLimit).sickness)
        case "/readyz":
            return health(HealthReport(board: board, stallLimit: stallLimit).unreadiness)
        case "/status": return status()
        case "/metrics": return metrics()
        default: return page()
        }
    }

    private func health(_ reason: String?) -> HealthReply {
        guard let reason else { return .text(200, "ok") }
        return .text(503, reason)
    }

    private func status() -> HealthReply {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(board.status) else {
            // Only a non-finite number could fail, and the rate is never one.
            return .text(500, "the status cannot be encoded")
        }
        return HealthReply(
            code: 200,
            contentType: "application/json",
            body: String(decoding: data, as: UTF8.self).shownJSON + "\n"
        )
    }

    private func metrics() -> HealthReply {
        let silences = StatusBoard.Part.allCases.compactMap { part in
            board.silence(of: part).map { (part: part, seconds: $0 / .seconds(1)) }
        }
        let metrics = Metrics(
            status: board.status,
            counters: board.counters,
            silences: silences,
            isStalled: !board.stalledParts(after: stallLimit).isEmpty,
            process: ProcessFacts.current()
        )
        return HealthReply(
            code: 200,
            contentType: "text/plain; version=0.0.4; charset=utf-8",
            body: metrics.text
        )
    }

    private func page() -> HealthReply {
        let nonce = String(UInt64.random(in: .min ... .max), radix: 16)
        let page = StatusPage(
            status: board.status,
            sickness: HealthReport(board: board, stallLimit: stallLimit).sickness,
            nonce: nonce
        )
        let policy =
            "default-src 'none'; style-src 'nonce-\(nonce)'; script-src 'nonce-\(nonce)'; "
            + "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return HealthReply(
            code: 200,
            contentType: "text/html; charset=utf-8",
            body: page.html,
            headers: [("Content-Security-Policy", policy)]
        )
    }
}
