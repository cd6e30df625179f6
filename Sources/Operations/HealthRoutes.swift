// SPDX-License-Identifier: Apache-2.0
//
// Which path answers what, to whom. Knows nothing of sockets or bytes: request in, reply out.

import ChangeModel
import Foundation
import Pipeline

/// The endpoints of a running task.
struct HealthRoutes: Sendable {
    static let paths = probes + ["/", "/status", "/history", "/metrics"]
    /// Where tables are asked for once more; the one path that changes anything.
    static let snapshot = "/snapshot"
    /// What orchestrators ask, who have no token: they are told the code, and nothing else.
    static let probes = ["/healthz", "/readyz"]

    let board: StatusBoard
    var access = HTTPAccess()
    /// Takes the wish for tables to be copied once more, or says that too many wait already; must
    /// not wait for anything.
    var ask: (@Sendable ([TableName]) -> Bool)?
    var stallLimit: Duration = HealthReport.stallLimit

    /// Answers a request; the body of a reply to HEAD is for its length only.
    func reply(to request: HTTPRequest) -> HTTPReply {
        guard access.accepts(host: request.host) else {
            return .text(421, "ask by address or as localhost; http.behindProxy takes other names")
        }
        let login = access.login(request.authorization)
        switch login {
        case _ where Self.probes.contains(request.path): break
        case .granted: break
        case .refused:
            var reply = HTTPReply.text(401, "the token is asked for")
            reply.headers = ["Basic", "Bearer"].map {
                ("WWW-Authenticate", "\($0) realm=\"walrelay\"")
            }
            return reply
        case .unknown: return .text(503, "the token cannot be read; the log says why")
        }
        if request.path == Self.snapshot { return takeWish(request) }
        guard Self.paths.contains(request.path) else {
            return .text(404, "no such page; there are " + Self.paths.joined(separator: " "))
        }
        guard request.method == "GET" || request.method == "HEAD" else {
            var reply = HTTPReply.text(405, "only GET and HEAD are answered here")
            reply.headers = [("Allow", "GET, HEAD")]
            return reply
        }
        guard !request.hasBody else { return .text(413, "no request has a body here") }
        switch request.path {
        case "/healthz":
            let report = report
            return health(report.sickness, report.warning, tells: login == .granted)
        case "/readyz": return health(report.unreadiness, tells: login == .granted)
        case "/status": return statusDocument()
        case "/history":
            return HTTPReply(
                code: 200,
                contentType: "application/json",
                body: HistoryDocument(history: board.history).json
            )
        case "/metrics": return metrics()
        default: return page()
        }
    }

    /// Takes a wish, which is fulfilled later.
    ///
    /// The header keeps the pages of other sites out: a browser asks first whether they may send
    /// it, and is answered 405.
    private func takeWish(_ request: HTTPRequest) -> HTTPReply {
        guard request.method == "POST" else {
            var reply = HTTPReply.text(405, "only POST is answered here")
            reply.headers = [("Allow", "POST")]
            return reply
        }
        guard access.allowsWishes else {
            return .text(
                403,
                "only with a token (http.tokenFile), or on the loopback without a proxy"
            )
        }
        guard !request.hasBody else { return .text(413, "no request has a body here") }
        guard let names = request.tables.flatMap({ [TableName](header: $0) }) else {
            return .text(400, "the header Walrelay-Tables does not name tables")
        }
        guard let ask, board.status.phase == .streaming else {
            return .text(503, "the task does not stream now")
        }
        guard ask(names) else {
            return .text(503, "too many tables are asked for and not noted yet")
        }
        return .text(202, "asked for")
    }

    private var status: TaskStatus { board.status.withoutPaths }

    private var report: HealthReport {
        var report = HealthReport(board: board, stallLimit: stallLimit)
        report.sickness = report.sickness?.withoutPaths
        report.warning = report.warning?.withoutPaths
        return report
    }

    private func health(
        _ reason: String?,
        _ warning: String? = nil,
        tells: Bool
    ) -> HTTPReply {
        guard let reason else {
            guard tells, let warning else { return .text(200, "ok") }
            return .text(200, "ok; warning: \(warning)")
        }
        return .text(503, tells ? reason : "not ok; the reason is told to those who have the token")
    }

    private func statusDocument() -> HTTPReply {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(status) else {
            // Only a non-finite number could fail, and the rate is never one.
            return .text(500, "the status cannot be encoded")
        }
        return HTTPReply(
            code: 200,
            contentType: "application/json",
            body: String(decoding: data, as: UTF8.self).shownJSON + "\n"
        )
    }

    private func metrics() -> HTTPReply {
        let silences = StatusBoard.Part.allCases.compactMap { part in
            board.silence(of: part).map { (part: part, seconds: $0 / .seconds(1)) }
        }
        let metrics = Metrics(
            status: status,
            counters: board.counters,
            blocked: board.sourceBlocked,
            silences: silences,
            isStalled: !board.stalledParts(after: stallLimit).isEmpty,
            process: ProcessFacts.current()
        )
        return HTTPReply(
            code: 200,
            contentType: "text/plain; version=0.0.4; charset=utf-8",
            body: metrics.text
        )
    }

    private func page() -> HTTPReply {
        let nonce = String(UInt64.random(in: .min ... .max), radix: 16)
        let page = StatusPage(
            status: status,
            history: board.history,
            sickness: report.sickness,
            nonce: nonce,
            unixMilliseconds: UTCTimestamp.now.unixMilliseconds
        )
        let policy =
            "default-src 'none'; style-src 'nonce-\(nonce)'; script-src 'nonce-\(nonce)'; "
            + "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return HTTPReply(
            code: 200,
            contentType: "text/html; charset=utf-8",
            body: page.html,
            headers: [("Content-Security-Policy", policy)]
        )
    }
}
