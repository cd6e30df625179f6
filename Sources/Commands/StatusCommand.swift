// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ChangeModel
import Foundation
import Glibc
import Pipeline
import Settings

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what a running task does: phase, tables, lag, slot, last error.",
        discussion: """
            Asks the task itself, over HTTP, at http.listen of its settings or at --url. Touches \
            neither the source nor the sink and needs no password. Where the task asks for a \
            token it is that of the settings, of --token-file, or of WALRELAY_HTTP_TOKEN in the \
            environment. Exits with 75 when the task is not running, with 77 when the token is \
            refused.

            EXAMPLES
              walrelay status --config /etc/walrelay/orders.yaml
              walrelay status --url http://127.0.0.1:8085 --watch
              walrelay status --config orders.yaml --json | jq .source.retainedBytes
            """
    )

    @Option(
        name: .long,
        help: ArgumentHelp("The settings file of the task (YAML).", valueName: "file"),
        completion: .yamlFile
    )
    var config: String?

    @Option(name: .long, help: "Where the task answers, such as http://127.0.0.1:8085.")
    var url: String?

    @Option(
        name: .long,
        help: ArgumentHelp("A file with the token that the task asks for.", valueName: "file"),
        completion: .file()
    )
    var tokenFile: String?

    @Flag(name: .long, help: "Print the answer's JSON as it is.") var json = false

    @Flag(name: .long, help: "Ask again every two seconds, until interrupted.") var watch = false

    func validate() throws {
        guard (config == nil) != (url == nil) else {
            throw ValidationError("Name the task by either --config FILE or --url URL.")
        }
    }

    func run() async throws {
        // A task is asked directly; a proxy from the environment would answer in its place.
        setenv("no_proxy", "*", 1)
        let (address, http) = try target()
        let first = try await address.ask(token: try token(http))
        let environment = ProcessInfo.processInfo.environment
        if watch, !json, let screen = TerminalScreen(environment: environment) {
            try await watch(address, http, on: screen, from: first)
        }
        // As on a screen: to be asked to stop is the end that watching has.
        if watch { for number in [SIGINT, SIGTERM] { signal(number) { _ in _exit(0) } } }
        try show(first)
        while watch {
            try await Task.sleep(for: .seconds(2))
            let answer: StatusAddress.Answer
            do {
                answer = try await address.ask(token: try token(http))
            } catch let error as WalrelayError {
                // Restarts pass: whoever watches wants to see the task come back.
                try? FileHandle.standardError.write(
                    contentsOf: Data(TerminalText.error(error).utf8)
                )
                continue
            }
            try show(answer, after: "\n")
        }
    }

    private func target() throws -> (address: StatusAddress, http: Settings.HTTP?) {
        if let url { return (try StatusAddress(url: url), nil) }
        let path = config ?? ""
        let (task, http) = try Settings.loadAddress(
            path: path,
            environment: ProcessInfo.processInfo.environment
        )
        return (try StatusAddress(of: task, http, path: path), http)
    }

    /// The token as it is now; what is named on the command line goes first.
    private func token(_ http: Settings.HTTP?) throws -> Secret? {
        let environment = ProcessInfo.processInfo.environment
        if let tokenFile {
            let source = SecretSource.file(tokenFile)
            return Secret(try source.read(environment: environment, noun: "token"))
        }
        if let token = environment["WALRELAY_HTTP_TOKEN"], !token.isEmpty { return Secret(token) }
        return try http?.readToken(environment: environment).map { Secret($0) }
    }

    /// Prints the answer in one piece, below a blank line where one for people was there before.
    private func show(_ answer: StatusAddress.Answer, after separator: String = "") throws {
        if json {
            let end: [UInt8] = answer.body.last == UInt8(ascii: "\n") ? [] : [UInt8(ascii: "\n")]
            return try StandardOutput.write(Array(answer.body) + end)
        }
        let isColoured = TerminalScreen.isColoured(
            STDOUT_FILENO,
            ProcessInfo.processInfo.environment
        )
        let lines = StatusReport(status: answer.status).lines.map {
            $0.rendered(isColoured: isColoured) + "\n"
        }
        try StandardOutput.write(separator + lines.joined())
    }

    /// Draws the status every two seconds, and at once when the window changes, until interrupted.
    private func watch(
        _ address: StatusAddress,
        _ http: Settings.HTTP?,
        on screen: TerminalScreen,
        from first: StatusAddress.Answer
    ) async throws -> Never {
        screen.enter()
        var status = first.status
        var answered = UTCTimestamp.now
        var trouble: [StyledText] = []
        while true {
            var size = TerminalScreen.Size(rows: 0, columns: 0)
            let next = ContinuousClock.now + .seconds(2)
            while ContinuousClock.now < next {
                if TerminalScreen.size() != size {
                    size = TerminalScreen.size()
                    screen.draw(trouble + StatusReport(status: status).lines, in: size)
                }
                try await Task.sleep(for: .milliseconds(100))
            }
            do {
                status = try await address.ask(token: try token(http)).status
                (answered, trouble) = (UTCTimestamp.now, [])
            } catch let error as WalrelayError {
                let time = answered.description.dropFirst(11).prefix(8)
                trouble = [
                    StyledText("no answer since \(time) UTC: ", .bad) + StyledText(error.message),
                    StyledText("try: \(error.hint)"), "",
                ]
            }
        }
    }
}
