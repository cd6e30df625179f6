// SPDX-License-Identifier: Apache-2.0
//
// Where a running task answers, and asking it. What answers there may be another task or another
// program altogether: that is told apart from a task that is not running.

import ChangeModel
import Foundation
import FoundationNetworking
import Pipeline
import Settings

/// The place of a task's /status.
struct StatusAddress: Sendable {
    /// A task's answer: the bytes as they came, and what they say.
    struct Answer: Sendable {
        var body: Data
        var status: TaskStatus
    }

    /// The whole URL, path included.
    let url: URL
    /// The task that is to answer; nil takes any.
    let task: String?
    private let hint: String

    private static let answerByteLimit = 16 << 20

    /// The address that the settings let the task listen on.
    ///
    /// Throws, exit 78, where HTTP is switched off or the system chooses the port.
    init(of task: String, _ http: Settings.HTTP, path: String) throws(WalrelayError) {
        guard var listen = http.listen, listen.port != 0 else {
            throw WalrelayError(
                "http.off",
                exit: .settings,
                "\(path) gives the task no fixed address to answer at",
                hint: "set http.listen, such as 127.0.0.1:8085, and restart the task"
            )
        }
        // Every address includes this machine's own.
        if listen.host == "0.0.0.0" { listen.host = "127.0.0.1" }
        if listen.host == "::" { listen.host = "::1" }
        guard let url = URL(string: "http://\(listen)/status") else {
            throw Self.invalid("\(listen)")
        }
        self.url = url
        self.task = task
        hint =
            "systemctl status walrelay@\(task), or start it: "
            + "walrelay run --config \(path)"
    }

    /// The address that was given; its path may be left out.
    init(url text: String) throws(WalrelayError) {
        guard var parts = URLComponents(string: text), ["http", "https"].contains(parts.scheme),
            !(parts.host ?? "").isEmpty
        else { throw Self.invalid(text) }
        if ["", "/"].contains(parts.path) { parts.path = "/status" }
        guard let url = parts.url else { throw Self.invalid(text) }
        self.url = url
        task = nil
        hint = "look at http.listen of the task's settings, and whether the task is running"
    }

    private static func invalid(_ text: String) -> WalrelayError {
        WalrelayError(
            "status.url_invalid",
            exit: .usage,
            "\"\(text.withoutPasswords)\" is no address that a task answers at",
            hint: "write it like http://127.0.0.1:8085"
        )
    }

    /// Asks, with the token where there is one; waits at most five seconds.
    ///
    /// Throws, exit 75, where the task does not answer, and exit 77 where it refuses the token.
    func ask(token: Secret? = nil) async throws -> Answer {
        var request = URLRequest(url: url)
        if let token {
            request.setValue("Bearer \(token.reveal())", forHTTPHeaderField: "Authorization")
        }
        let (code, body) = try await reply(to: request)
        if code == 401 {
            throw WalrelayError(
                "status.token_refused",
                exit: .prerequisite,
                token == nil
                    ? "What answers at \(shown) asks for a token"
                    : "What answers at \(shown) refuses the token",
                hint: "give the task's http.token by --token-file FILE or WALRELAY_HTTP_TOKEN"
            )
        }
        guard code == 200, body.count <= Self.answerByteLimit,
            let status = try? JSONDecoder().decode(TaskStatus.self, from: body)
        else {
            throw failure(
                "status.foreign",
                "What answers at \(shown) is no task of this version of walrelay (HTTP \(code))"
                    + Self.reason(code, body)
            )
        }
        if let task, status.task != task {
            throw failure(
                "task.not_running",
                "Task \(task) is not running: at \(shown) task \(status.task) answers"
            )
        }
        return Answer(body: body, status: status)
    }

    /// Waits for an answer of any kind, for five seconds at most.
    ///
    /// Throws, exit 75, where there is none.
    func reply(to request: URLRequest) async throws(WalrelayError) -> StatusExchange.Reply {
        do {
            return try await StatusExchange.reply(to: request, within: 5)
        } catch {
            throw silence(error)
        }
    }

    private func silence(_ error: any Error) -> WalrelayError {
        let name = task.map { "Task \($0)" } ?? "The task"
        switch (error as? URLError)?.code {
        case .cannotConnectToHost:
            return failure(
                "task.not_running",
                "\(name) is not running: nothing listens at \(shown)"
            )
        case .timedOut:
            return failure("task.silent", "\(name) does not answer at \(shown) within 5 s")
        default:
            return failure(
                "task.unreachable",
                "\(name) cannot be asked at \(shown): \(error.localizedDescription)"
            )
        }
    }

    /// What a task that is there says where it does not answer.
    private static func reason(_ code: Int, _ body: Data) -> String {
        guard [421, 500, 503].contains(code) else { return "" }
        let line = String(decoding: body.prefix(200), as: UTF8.self).split(separator: "\n").first
        return line.map { ", or it has a reason: \(String($0).shown)" } ?? ""
    }

    private func failure(_ code: String, _ message: String) -> WalrelayError {
        WalrelayError(code, exit: .unreachable, message, hint: hint)
    }

    /// The address without what may be a password in it.
    private var shown: String {
        "\(url.scheme ?? "http")://\(url.host ?? "")\(url.port.map { ":\($0)" } ?? "")"
    }
}
