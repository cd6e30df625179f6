// SPDX-License-Identifier: Apache-2.0
//
// The findings of `check` for people and for programs: aligned lines with a sum at the end, or a
// JSON array.

import ChangeModel

/// How findings are printed.
enum FindingsReport {
    /// A line a finding, what mends it on a line of its own below, and the sum.
    ///
    /// `colors` is for terminals. Ends in a line feed.
    static func text(_ findings: [Finding], colors: Bool) -> String {
        // A single long name does not push all the others to the right.
        let width = findings.map { $0.subject.shown.count }.filter { $0 <= 40 }.max() ?? 0
        let indent = TerminalText.padded("", to: 8)
        var text = ""
        for finding in findings {
            let level = TerminalText.padded(finding.level.rawValue, to: 8)
            text += colors ? "\(color(finding.level))\(level)\u{1B}[0m" : level
            text += TerminalText.padded(finding.subject.shown, to: width) + "  "
            text += finding.found.shown + "\n"
            if !finding.mend.isEmpty {
                // Names in a statement have no line ends; a row filter of the operator's may.
                let mend = finding.mend.shownInLines.replacing("\n", with: "\n\(indent)")
                text += "\(indent)mend: \(mend)\n"
            }
        }
        return text + sum(findings) + "\n"
    }

    /// A JSON array of `{id, level, subject, found, mend}` in the order of the check.
    static func json(_ findings: [Finding]) throws -> String {
        try TerminalText.json(findings)
    }

    private static func sum(_ findings: [Finding]) -> String {
        func count(_ level: Finding.Level) -> Int { findings.count { $0.level == level } }
        let warnings = count(.warning)
        return "\(count(.ok)) ok, \(warnings) warning\(warnings == 1 ? "" : "s"), "
            + "\(count(.failed)) failed"
    }

    private static func color(_ level: Finding.Level) -> String {
        switch level {
        case .ok: "\u{1B}[32m"
        case .warning: "\u{1B}[33m"
        case .failed: "\u{1B}[31m"
        }
    }
}
