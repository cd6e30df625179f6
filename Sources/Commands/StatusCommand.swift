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
            neither the source nor the sink and needs no password. Exits with 75 when the task \
            is not running.

            EXAMPLES
              walrelay status --config /etc/walrelay/orders.yaml
              walrelay status --url http://127.0.0.1:8085 --watch
              walrelay status --config orders.yaml --json | jq .source.retainedBytes
            """
    )

    @Option(
        name: .long,
        help: ArgumentHelp("The settings file of the task (YAML).", valueName: "file")
    )
    var config: String?

    @Option(name: .long, help: "Where the task answers, such as http://127.0.0.1:8085.")
    var url: String?

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
        let address = try address()
        try await show(address, clears: false)
        while watch {
            try await Task.sleep(for: .seconds(2))
            do {
                try await show(address, clears: true)
            } catch let error as WalrelayError {
                // Restarts pass: whoever watches wants to see the task come back.
                FileHandle.standardError.write(Data(TerminalText.error(error).utf8))
            }
        }
    }

    private func address() throws -> StatusAddress {
        if let url { return try StatusAddress(url: url) }
        let path = config ?? ""
        return try StatusAddress(
            settings: try .load(path: path, environment: ProcessInfo.processInfo.environment),
            path: path
        )
    }

    private func show(_ address: StatusAddress, clears: Bool) async throws {
        let answer = try await address.ask()
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
