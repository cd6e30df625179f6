// SPDX-License-Identifier: Apache-2.0
//
// From the findings of a check to the error of a run that they stop.

public import ChangeModel

extension Finding {
    /// What a run that this finding stops exits with.
    ///
    /// Changes that are lost for good are not a prerequisite that somebody can meet.
    fileprivate var exit: ExitCode {
        switch id {
        case "slot.wal_lost", "publication.missing", "publication.gap": .checkpointMismatch
        default: .prerequisite
        }
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
