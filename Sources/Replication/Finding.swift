// SPDX-License-Identifier: Apache-2.0
//
// One line of `check`: what was looked at, what was found, and what mends it. The ids are stable:
// scripts match them, and a run that a finding stops exits with its id as the error's code.

public import ChangeModel

/// What the check of one prerequisite found.
public struct Finding: Sendable, Equatable, Codable {
    /// How it stands.
    public enum Level: String, Sendable, Codable {
        /// As it has to be.
        case ok
        /// Works, and may cause trouble.
        case warning
        /// `run` would fail, lose changes, or break the application's writes.
        case failed
    }

    /// A stable dotted name, such as `server.wal_level` or `table.identity_missing`.
    public var id: String
    /// How it stands.
    public var level: Level
    /// What was looked at: a setting, a role, a table, a slot.
    public var subject: String
    /// What was found there.
    public var found: String
    /// The statement or setting that mends it, for this provider; empty where nothing is to mend.
    public var mend: String

    /// Creates a finding.
    public init(_ id: String, _ level: Level, subject: String, found: String, mend: String = "") {
        self.id = id
        self.level = level
        self.subject = subject
        self.found = found
        self.mend = mend
    }
}

extension Finding {
    /// What a run that this finding stops exits with.
    ///
    /// Changes that are lost for good are not a prerequisite that somebody can meet.
    var exit: ExitCode {
        switch id {
        case "slot.wal_lost", "publication.missing", "publication.gap": .checkpointMismatch
        default: .prerequisite
        }
    }

    /// `subject: found`, then the mending on a line of its own.
    var sentence: String {
        mend.isEmpty ? "\(subject): \(found)" : "\(subject): \(found)\n    mend: \(mend)"
    }
}

extension Prerequisites {
    /// The error of a run whose check failed; `nil` where nothing failed.
    ///
    /// Its code and exit are those of the first failure; its message lists all of them.
    public static func firstFailure(_ findings: [Finding]) -> WalrelayError? {
        let failures = findings.filter { $0.level == .failed }
        guard let first = failures.first else { return nil }
        guard failures.count > 1 else {
            return WalrelayError(
                first.id,
                exit: first.exit,
                "\(first.subject): \(first.found)",
                hint: first.mend
            )
        }
        let lines = failures.map { "\n  \($0.sentence) [\($0.id)]" }.joined()
        return WalrelayError(
            first.id,
            exit: first.exit,
            "\(failures.count) prerequisites are not met:\(lines)",
            hint: "mend them from the top down; `walrelay check` tells what is left"
        )
    }
}
