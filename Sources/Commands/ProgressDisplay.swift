// SPDX-License-Identifier: Apache-2.0
//
// The progress of a long work on standard error: a bar that moves on a terminal, a line every ten
// seconds elsewhere. On a thread of its own, so that it moves whatever the work waits for.

import ChangeModel
import Glibc
import LibPQ
import Synchronization

/// What a display shows; asked on the display's thread alone, a few times a second.
protocol ProgressText: Sendable {
    /// How far the work is, on one line; what the window has no room for is cut off.
    mutating func bar(at now: ContinuousClock.Instant) -> String
    /// The line that is given every ten seconds where there is no terminal.
    mutating func report(at now: ContinuousClock.Instant) -> String
}

/// Shows the progress until it is ended.
final class ProgressDisplay: Sendable {
    private let ended = StopSignal()
    private let cleared = Wakeup()
    private let isDone = Atomic(false)

    /// Shows `text`, and elsewhere than on a terminal gives its reports to `take`.
    init(
        _ text: some ProgressText,
        isTerminal: Bool = isatty(STDERR_FILENO) == 1,
        report take: @escaping @Sendable (String) -> Void
    ) {
        let (ended, cleared) = (ended, cleared)
        startThread(named: "progress") {
            var text = text
            var nextReport = ContinuousClock.now + .seconds(10)
            while !ended.sleep(for: .milliseconds(isTerminal ? 200 : 500)) {
                let now = ContinuousClock.now
                let bar = text.bar(at: now)
                if isTerminal {
                    let columns = TerminalScreen.size(of: STDERR_FILENO).columns
                    Self.write("\r\u{1B}[K" + bar.shown.cut(toColumns: columns - 1))
                } else if now >= nextReport {
                    nextReport = now + .seconds(10)
                    take(text.report(at: now))
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

    /// Writes to standard error, as far as it takes it.
    static func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in _ = Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }
}

extension TerminalText {
    /// ` [####................] 20 %`.
    static func bar(_ share: Double) -> String {
        let share = max(0, min(1, share))
        let filled = Int(share * 20)
        return " [" + String(repeating: "#", count: filled)
            + String(repeating: ".", count: 20 - filled) + "] \(Int(share * 100)) %"
    }
}

extension Duration {
    /// In seconds.
    var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
