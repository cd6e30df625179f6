// SPDX-License-Identifier: Apache-2.0
//
// The one error that reaches an operator. A room may have a narrower error of its own (a libpq
// error, a decoding error); what leaves the room towards Commands is this one.

/// The process exit codes of the contract, after sysexits(3).
public enum ExitCode: Int32, Sendable {
    /// Done, or stopped on request.
    case success = 0
    /// Wrong usage of the command line.
    case usage = 64
    /// A source change or a record that is refused: unsupported DDL, TRUNCATE, dirty records.
    case refused = 65
    /// A defect of walrelay itself.
    case internalError = 70
    /// The checkpoint and the slot do not fit: a gap, a lost slot, another system.
    case checkpointMismatch = 74
    /// Temporarily unreachable, and the retries are exhausted.
    case unreachable = 75
    /// A prerequisite is not met, or the server refuses the login.
    case prerequisite = 77
    /// The settings are wrong.
    case settings = 78
    /// A batch job that was killed.
    case killed = 143
}

/// What went wrong, on what object, and what to do next.
///
/// Never holds a secret: what is put in is printed, logged and served on /status.
public struct WalrelayError: Error, Sendable, Equatable {
    /// A stable dotted name that scripts and alerts can match, such as `slot.wal_lost`.
    public var code: String
    /// What the process exits with when nothing mends the error.
    public var exit: ExitCode
    /// What failed, on what object, at which LSN or line: one sentence or two.
    public var message: String
    /// The command, statement or setting to try next; empty where there is none.
    public var hint: String
    /// Whether the same attempt may succeed later without anybody's help.
    public var isTransient: Bool

    /// Creates an error; by default one that no retry mends.
    public init(
        _ code: String,
        exit: ExitCode,
        _ message: String,
        hint: String = "",
        isTransient: Bool = false
    ) {
        self.code = code
        self.exit = exit
        self.message = message
        self.hint = hint
        self.isTransient = isTransient
    }
}

extension WalrelayError {
    /// An error that no room has given a name: a defect of walrelay.
    public init(unforeseen error: any Error) {
        self.init("internal", exit: .internalError, "\(error)")
    }
}

extension WalrelayError: CustomStringConvertible {
    /// `message (code)`, then the hint on a line of its own.
    public var description: String {
        hint.isEmpty ? "\(message) [\(code)]" : "\(message) [\(code)]\n  try: \(hint)"
    }
}
