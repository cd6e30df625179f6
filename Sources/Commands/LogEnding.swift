// SPDX-License-Identifier: Apache-2.0
//
// The last line of a daemon's log: why it ends, and with which exit code. For people the error
// itself follows, with its hint on lines of their own; a log for programs has all in the one line.

import ChangeModel
import Logging
import Operations

/// How a command that logs says its end.
enum LogEnding {
    /// An error of which the log has said everything: nothing is printed any more.
    struct Logged: Error {
        let exit: ChangeModel.ExitCode
    }

    /// Runs the command's work, and says how it ended once all that was held back is written.
    static func saying(
        to log: Logger,
        _ output: LogOutput,
        _ work: () async throws -> Void
    ) async throws {
        do {
            try await work()
            output.flush()
            say("done, or stopped on request", .success, to: log)
        } catch let error as WalrelayError where error.exit == .success {
            output.flush()
            say(error.message, .success, to: log)
            throw error
        } catch {
            output.flush()
            try end(
                with: (error as? WalrelayError) ?? WalrelayError(unforeseen: error),
                log,
                output
            )
        }
    }

    /// Says the error's exit code where people read the log, and all of it where programs do.
    private static func end(
        with error: WalrelayError,
        _ log: Logger,
        _ output: LogOutput
    ) throws -> Never {
        guard output.format == .json else {
            log.error(
                "ends with exit code \(error.exit.rawValue)",
                metadata: ["code": "\(error.code)", "exit": "\(error.exit.rawValue)"]
            )
            throw error
        }
        var metadata: Logger.Metadata = [
            "code": "\(error.code)", "exit": .stringConvertible(Int(error.exit.rawValue)),
        ]
        if !error.hint.isEmpty { metadata["try"] = "\(error.hint)" }
        log.error("\(error.message)", metadata: metadata)
        throw Logged(exit: error.exit)
    }

    private static func say(_ why: String, _ exit: ChangeModel.ExitCode, to log: Logger) {
        log.notice(
            "ends with exit code \(exit.rawValue): \(why)",
            metadata: ["exit": .stringConvertible(Int(exit.rawValue))]
        )
    }
}
