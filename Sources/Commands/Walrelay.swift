// SPDX-License-Identifier: Apache-2.0
//
// The command tree; one file a command. A command throws `WalrelayError`, and only here that
// becomes text on standard error and an exit code.

public import ArgumentParser
import ChangeModel
import Foundation
import Glibc
import Operations
import Settings

/// The version that --version, events and the status give.
public let walrelayVersion = "0.1.0"

/// The root of the command tree.
public struct Walrelay: AsyncParsableCommand {
    /// Name, summary and subcommands.
    public static let configuration = CommandConfiguration(
        commandName: "walrelay",
        abstract: "Copies PostgreSQL tables consistently, then streams every committed change.",
        discussion: """
            A task is one settings file. Check it until nothing fails, run it, look at it while it \
            runs, and tear it down when it is no longer wanted:

              walrelay check    --config orders.yaml
              walrelay run      --config orders.yaml
              walrelay status   --config orders.yaml
              walrelay teardown --config orders.yaml

            A batch job copies once, from a reader to a writer, and ends:

              walrelay batch orders.json

            EXIT CODES
              0   done, or stopped on request
              64  wrong usage
              65  a source change is refused (DDL that cannot be followed, TRUNCATE), or
                  verify has found a difference, or a batch job has more dirty
                  records than it allows
              70  a defect of walrelay
              74  the checkpoint and the slot do not fit
              75  unreachable, and the retries are exhausted
              77  a prerequisite is not met, or the server refuses the login
              78  wrong settings, or a wrong job
              143 a batch job that was killed
            """,
        version: walrelayVersion,
        subcommands: [
            CheckCommand.self, RunCommand.self, StatusCommand.self, SlotsCommand.self,
            SnapshotCommand.self, TeardownCommand.self, VerifyCommand.self, BatchCommand.self,
        ]
    )

    /// Creates the command; the parser fills it.
    public init() {}

    /// Parses the process's arguments, runs the command and exits with a code of the contract.
    public static func start() async -> Never {
        // A pipe that a reader closed is an error of the write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        keepMemoryOutOfCrashReports()
        do {
            try refuseUnknownCommand(CommandLine.arguments.dropFirst().first)
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            Glibc.exit(ExitCode.success.rawValue)
        } catch {
            Glibc.exit(report(error))
        }
    }

    /// Leaves a crash to the kernel: the report of Swift's runtime shows registers and the memory
    /// that they point to, which may be a row or a password.
    ///
    /// Whoever sets SWIFT_BACKTRACE has asked for it.
    private static func keepMemoryOutOfCrashReports() {
        guard getenv("SWIFT_BACKTRACE") == nil else { return }
        for crash in [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGQUIT] {
            signal(crash, SIG_DFL)
        }
    }

    /// What the parser would say of a mistyped command is about its first option.
    private static func refuseUnknownCommand(_ word: String?) throws {
        guard let word else {
            writeError(helpMessage() + "\n")
            Glibc.exit(ExitCode.usage.rawValue)
        }
        let names = configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"]
        guard !word.hasPrefix("-"), !names.contains(word) else { return }
        let nearest = nearestName(to: word, among: names)
        throw WalrelayError(
            "usage.command",
            exit: .usage,
            "\"\(word.withoutPasswords)\" is no command"
                + (nearest.map { " (did you mean \"\($0)\"?)" } ?? ""),
            hint: "walrelay --help"
        )
    }

    /// Says what went wrong and returns the exit code.
    private static func report(_ error: any Error) -> Int32 {
        let environment = ProcessInfo.processInfo.environment
        if let error = error as? WalrelayError {
            guard error.exit != .success else { return ExitCode.success.rawValue }
            writeError(LogOutput.marked(TerminalText.error(error), in: environment))
            return error.exit.rawValue
        }
        if let ended = error as? LogEnding.Logged { return ended.exit.rawValue }
        let code = exitCode(for: error)
        // Neither ours nor the parser's, which has codes of its own.
        guard code != .failure else {
            var unforeseen = WalrelayError(unforeseen: error)
            unforeseen.message = unforeseen.message.withoutPasswords
            return report(unforeseen)
        }
        let message = Self.onOneLine(CommandLine.arguments, in: fullMessage(for: error))
            .withoutPasswords.shownInLines
        if code.isSuccess {
            print(message)
            return ExitCode.success.rawValue
        }
        if !message.isEmpty { writeError(message + "\n") }
        return code == .validationFailure ? ExitCode.usage.rawValue : code.rawValue
    }

    /// A message of the parser, in which no word of the command line ends a line.
    private static func onOneLine(_ words: [String], in message: String) -> String {
        let values = words.compactMap {
            $0.split(separator: "=", maxSplits: 1).last.map(String.init)
        }
        return (words + values).reduce(message) { message, word in
            word.unicodeScalars.contains("\n") ? message.replacing(word, with: word.shown) : message
        }
    }

    private static func writeError(_ text: String) {
        var text = text
        text.withUTF8 { bytes in _ = write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }
}

/// The exit code of walrelay, where ArgumentParser's own name is in the way.
typealias ExitCode = ChangeModel.ExitCode
