// SPDX-License-Identifier: Apache-2.0
//
// A walsender sends each message by itself. A reader that takes each as it comes wakes up
// hundreds of thousands of times a second and makes the walsender pay for every wake-up, too. So
// a reader that is catching up pauses for a moment after it has emptied the socket, to find many
// messages the next time. The pause is as long as some tens of kilobytes take at the present
// rate: shorter than what fills the receive buffer, where the walsender would stand still, and
// none at all when little comes, so that the latency of a quiet stream is not touched.

import Glibc

struct ReceivePace {
    /// What a pause should gather.
    private static let gatherBytes = 32.0 * 1024
    private static let longestMicroseconds = 500.0
    /// Below this a sleep costs more than it gathers.
    private static let shortestMicroseconds = 40.0
    /// A drain of less than this is a trickle, not a backlog.
    private static let backlogBytes = 4096

    private var last = ContinuousClock.now
    private var bytesPerMicrosecond = 0.0

    /// Sleeps for a moment if the last drain shows that more is on its way.
    mutating func pause(afterDraining bytes: Int) {
        let now = ContinuousClock.now
        let (seconds, attoseconds) = (now - last).components
        let elapsed = Double(seconds) * 1e6 + Double(attoseconds) * 1e-12
        last = now
        guard bytes >= Self.backlogBytes, elapsed > 0 else { return }
        let rate = Double(bytes) / elapsed
        bytesPerMicrosecond =
            bytesPerMicrosecond == 0 ? rate : 0.8 * bytesPerMicrosecond + 0.2 * rate
        let wanted = min(Self.longestMicroseconds, Self.gatherBytes / bytesPerMicrosecond)
        guard wanted >= Self.shortestMicroseconds else { return }
        usleep(UInt32(wanted))
    }

    /// The reader waited for the server; what it measured before says nothing any more.
    mutating func woke() {
        last = ContinuousClock.now
    }
}
