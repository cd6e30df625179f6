// SPDX-License-Identifier: Apache-2.0
//
// The small pure instruments behind StatusBoard: a sliding rate, a lag that neither freezes nor
// jumps, and the clocks they read. All times are nanoseconds of the monotonic clock.

import Glibc

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's timestamps begin.
let postgresEpochMicroseconds: Int64 = 946_684_800_000_000

private let nanosecondsPerSecond: UInt64 = 1_000_000_000

/// The two clocks of a board; a test passes its own.
struct BoardClock: Sendable {
    var monotonic: @Sendable () -> UInt64
    var unixMicroseconds: @Sendable () -> Int64

    static let system = BoardClock(
        monotonic: { nanoseconds(of: CLOCK_MONOTONIC) },
        unixMicroseconds: { Int64(clamping: nanoseconds(of: CLOCK_REALTIME) / 1000) }
    )

    /// The present moment as the status writes it.
    var timestamp: String {
        UTCTimestamp(unixMilliseconds: unixMicroseconds() / 1000).description
    }
}

private func nanoseconds(of clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * nanosecondsPerSecond + UInt64(time.tv_nsec)
}

/// Counts events in buckets of a second, and gives their rate over the last ten, or however many.
struct RateWindow: Sendable {
    /// One bucket more than the window, so that the second under way has one of its own.
    private var buckets: [Int]
    private var newest: UInt64?
    private var began: UInt64?

    init(seconds: Int = 10) {
        buckets = [Int](repeating: 0, count: seconds + 1)
    }

    /// How long ago the first event came; zero before it.
    func age(at now: UInt64) -> Duration {
        guard let began, now > began else { return .zero }
        return .nanoseconds(Int64(clamping: now - began))
    }

    mutating func add(_ count: Int, at now: UInt64) {
        let second = advance(to: now)
        if began == nil { began = now }
        buckets[Int(second % UInt64(buckets.count))] += count
    }

    /// Events a second, to one decimal; zero once nothing has come for the window's
    /// length.
    mutating func perSecond(at now: UInt64) -> Double {
        guard let began else { return 0 }
        _ = advance(to: now)
        let intoSecond = Double(now % nanosecondsPerSecond) / Double(nanosecondsPerSecond)
        let window = Double(buckets.count - 1) + intoSecond
        let age = Double(now > began ? now - began : 0) / Double(nanosecondsPerSecond)
        let rate = Double(buckets.reduce(0, +)) / min(window, max(age, 1))
        return (rate * 10).rounded() / 10
    }

    private mutating func advance(to now: UInt64) -> UInt64 {
        let second = now / nanosecondsPerSecond
        guard let newest else {
            self.newest = second
            return second
        }
        guard second > newest else { return newest }
        for passed in 0..<min(second - newest, UInt64(buckets.count)) {
            buckets[Int((second - passed) % UInt64(buckets.count))] = 0
        }
        self.newest = second
        return second
    }
}

/// The time from commit to durable.
///
/// Measured whenever a batch becomes durable. In between it grows while something received is not
/// durable yet, so that a blocked sink shows; and it falls to zero when nothing is pending and
/// nothing has come for ten seconds, so that an idle stream does not show an old backlog for ever.
struct LagGauge: Sendable {
    private static let quietTime: UInt64 = 10 * nanosecondsPerSecond

    private var lastMeasured: (milliseconds: Int, at: UInt64)?
    private var pendingSince: UInt64?

    mutating func observe(pending: Bool, at now: UInt64) {
        if !pending {
            pendingSince = nil
        } else if pendingSince == nil {
            pendingSince = now
        }
    }

    /// Takes a measurement; one that overflowed is ignored, a negative one (clocks differ) is zero.
    mutating func measured(
        microseconds: (partialValue: Int64, overflow: Bool),
        at now: UInt64
    ) {
        guard !microseconds.overflow else { return }
        lastMeasured = (Int(max(0, microseconds.partialValue) / 1000), now)
    }

    func milliseconds(at now: UInt64) -> Int? {
        if let pendingSince {
            let since = max(pendingSince, lastMeasured?.at ?? 0)
            let waiting = Int(clamping: (now > since ? now - since : 0) / 1_000_000)
            guard let lastMeasured, lastMeasured.at + Self.quietTime >= pendingSince else {
                return waiting
            }
            return lastMeasured.milliseconds + waiting
        }
        guard let lastMeasured else { return nil }
        return now > lastMeasured.at + Self.quietTime ? 0 : lastMeasured.milliseconds
    }
}
