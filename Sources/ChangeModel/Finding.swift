// SPDX-License-Identifier: Apache-2.0
//
// One line of `check`: what was looked at, what was found, and what mends it. The source and every
// sink speak of their prerequisites in this form. The ids are stable: scripts match them, and a run
// that a finding stops exits with its id as the error's code.

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
    /// `subject: found`, then the mending on a line of its own.
    package var sentence: String {
        mend.isEmpty ? "\(subject): \(found)" : "\(subject): \(found)\n    mend: \(mend)"
    }

    /// Throws one error, exit 77, that lists what failed, the first fifty of many; returns where
    /// nothing did.
    ///
    /// `message` is what the list explains, without a colon.
    package static func refuse(
        _ findings: [Finding],
        as code: String,
        _ message: String,
        hint: String
    ) throws(WalrelayError) {
        let failures = findings.filter { $0.level == .failed }
        guard !failures.isEmpty else { return }
        let lines = failures.prefix(50).map { "\n  \($0.sentence) [\($0.id)]" }.joined()
        let more = failures.count > 50 ? "\n  and \(failures.count - 50) more" : ""
        throw WalrelayError(code, exit: .prerequisite, "\(message):\(lines)\(more)", hint: hint)
    }
}
