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
        try await show(address, http, clears: false)
        while watch {
            try await Task.sleep(for: .seconds(2))
            do {
                try await show(address, http, clears: true)
            } catch let error as WalrelayError {
                // Restarts pass: whoever watches wants to see the task come back.
                FileHandle.standardError.write(Data(TerminalText.error(error).utf8))
            }
        }
    }

    private func target() throws -> (address: StatusAddress, http: Settings.HTTP?) {
        if let url { return (try StatusAddress(url: url), nil) }
        let path = config ?? ""
        let settings = try Settings.load(
            path: path,
            environment: ProcessInfo.processInfo.environment
        )
        return (try StatusAddress(settings: settings, path: path), settings.http)
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

    private func show(_ address: StatusAddress, _ http: Settings.HTTP?, clears: Bool) async throws {
        let answer = try await address.ask(token: try token(http))
        let isTerminal = isatty(STDOUT_FILENO) == 1
        if json {
            FileHandle.standardOutput.write(answer.body)
            if answer.body.last != UInt8(ascii: "\n") {
                FileHandle.standardOutput.write(Data("\n".utf8))
            }
            return
        }
        let text = StatusReport.text(answer.status)
        let screen = watch && isTerminal ? "\u{1B}[H\u{1B}[2J" : clears ? "\n" : ""
        FileHandle.standardOutput.write(Data((screen + text).utf8))
    }
}
