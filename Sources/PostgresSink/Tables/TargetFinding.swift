// SPDX-License-Identifier: Apache-2.0
//
// What a look at the target found, one thing each. `check` prints them; a run that one of them
// stops lists all that failed.

public import ChangeModel

/// What was found of one thing on the target.
public struct TargetFinding: Sendable, Equatable {
    /// How it stands.
    public enum Level: String, Sendable {
        /// As it has to be.
        case ok
        /// Works, and may cause trouble.
        case warning
        /// The task cannot write there.
        case failed
    }

    /// A stable dotted name, such as `target.column_missing`.
    public var id: String
    /// How it stands.
    public var level: Level
    /// What was looked at: the server, a role, a table, a column.
    public var subject: String
    /// What was found there.
    public var found: String
    /// The statement that mends it; empty where nothing is to mend.
    public var mend: String

    /// Creates a finding.
    public init(_ id: String, _ level: Level, subject: String, found: String, mend: String = "") {
        self.id = id
        self.level = level
        self.subject = subject
        self.found = found
        self.mend = mend
    }

    /// Throws `sink.tables_unfit` with everything that failed; returns where nothing did.
    public static func refuse(_ findings: [TargetFinding]) throws(WalrelayError) {
        let failures = findings.filter { $0.level == .failed }
        guard !failures.isEmpty else { return }
        let lines = failures.map { failure in
            "\n  \(failure.subject): \(failure.found) [\(failure.id)]"
                + (failure.mend.isEmpty ? "" : "\n    mend: \(failure.mend)")
        }
        throw WalrelayError(
            "sink.tables_unfit",
            exit: .prerequisite,
            "the target cannot take the tables as they are:\(lines.joined())",
            hint: "mend them on the target from the top down and start again; "
                + "`walrelay check` tells what is left"
        )
    }
}

/// How lists of names are put into sentences.
enum Prose {
    /// Names with commas; of many only the first five and how many more.
    static func list(_ names: [String]) -> String {
        let shown = names.prefix(5).joined(separator: ", ")
        return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
    }
}
