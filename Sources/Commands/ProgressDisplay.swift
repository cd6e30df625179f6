// SPDX-License-Identifier: Apache-2.0
//
// The progress of a comparison on standard error: a bar that moves on a terminal, a line every ten
// seconds elsewhere. On a thread of its own, so that it moves whatever the work waits for.

import Glibc
import LibPQ
import Synchronization
import Verify

/// Shows the progress until it is ended.
final class ProgressDisplay: Sendable {
    private let ended = StopSignal()
    private let cleared = Wakeup()
    private let isDone = Atomic(false)

    init(_ progress: VerifyProgress, isTerminal: Bool = isatty(STDERR_FILENO) == 1) {
        let (ended, cleared) = (ended, cleared)
        startThread(named: "progress") {
            let begin = ContinuousClock.now
            var last = (state: progress.now, time: begin)
            var nextLine = begin + .seconds(10)
            while !ended.sleep(for: .milliseconds(isTerminal ? 200 : 500)) {
                let (state, now) = (progress.now, ContinuousClock.now)
                if state.step != last.state.step { last = (state, now) }
                if isTerminal {
                    Self.write("\r\u{1B}[K" + Self.line(state, since: last.time, now: now))
                } else if now >= nextLine {
                    nextLine = now + .seconds(10)
                    Self.write("verify: " + Self.line(state, since: last.time, now: now) + "\n")
                }
            }
            if isTerminal { Self.write("\r\u{1B}[K") }
            cleared.ring()
        }
    }

    /// Takes the bar off the terminal; blocks for a moment.
    ///
    /// To be called before anything is printed; without effect the second time.
    func end() {
        guard !isDone.exchange(true, ordering: .relaxed) else { return }
        ended.request()
        cleared.wait(for: .seconds(2))
    }

    /// One line: the step, how far it is, and how many rows a second it reads.
    static func line(
        _ state: VerifyProgress.State,
        since begin: ContinuousClock.Instant,
        now: ContinuousClock.Instant
    ) -> String {
        var text = state.step
        if state.bytesInAll > 0 {
            let share = min(1, Double(state.bytes) / Double(state.bytesInAll))
            let filled = Int(share * 20)
            text +=
                " [" + String(repeating: "#", count: filled)
                + String(repeating: ".", count: 20 - filled) + "] \(Int(share * 100)) %"
        }
        guard state.rows > 0 else { return text }
        text += ", \(TerminalText.grouped(Int(clamping: state.rows))) rows"
        let (seconds, attoseconds) = (now - begin).components
        let elapsed = Double(seconds) + Double(attoseconds) / 1e18
        if elapsed >= 1 {
            text += ", \(TerminalText.grouped(Int(Double(state.rows) / elapsed))) rows/s"
        }
        return text
    }

    private static func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in _ = Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }
}
