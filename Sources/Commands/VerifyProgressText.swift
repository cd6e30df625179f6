// SPDX-License-Identifier: Apache-2.0

import Verify

/// The progress of a comparison: its step, how far that is, and how many rows a second it reads.
struct VerifyProgressText: ProgressText {
    private let progress: VerifyProgress
    private var step = ""
    private var begin = ContinuousClock.now

    init(_ progress: VerifyProgress) {
        self.progress = progress
    }

    mutating func bar(at now: ContinuousClock.Instant) -> String {
        let state = progress.now
        if state.step != step { (step, begin) = (state.step, now) }
        return Self.line(state, after: now - begin)
    }

    mutating func report(at now: ContinuousClock.Instant) -> String {
        bar(at: now)
    }

    /// One line, some time after the step began.
    static func line(_ state: VerifyProgress.State, after elapsed: Duration) -> String {
        var text = state.step
        if state.bytesInAll > 0 {
            text += TerminalText.bar(Double(state.bytes) / Double(state.bytesInAll))
        }
        guard state.rows > 0 else { return text }
        text += ", \(TerminalText.grouped(Int(clamping: state.rows))) rows"
        if elapsed >= .seconds(1) {
            let rate = Double(state.rows) / elapsed.inSeconds
            text += ", \(TerminalText.grouped(Int(rate))) rows/s"
        }
        return text
    }
}
