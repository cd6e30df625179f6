// SPDX-License-Identifier: Apache-2.0
//
// `speed`: all channels together keep to a rate of bytes and one of records. What passes is booked
// on a time line at its rate; a channel that has booked past the present waits until it has come.

import LibPQ
import Settings
import Synchronization

/// Holds channels to the job's rates; used from all their threads.
final class Throttle: Sendable {
    private struct Booked {
        /// Up to when the bytes that passed fill the time.
        var bytes: ContinuousClock.Instant
        /// Up to when the records do.
        var records: ContinuousClock.Instant
    }

    /// How much of the time in which too little came may be made up for afterwards.
    private static let credit = Duration.milliseconds(500)

    private let bytesPerSecond: Double?
    private let recordsPerSecond: Double?
    private let booked: Mutex<Booked>

    /// A throttle whose time begins now; nil where the job has no rate.
    init?(_ speed: Job.Speed) {
        guard speed.bytesPerSecond != nil || speed.recordsPerSecond != nil else { return nil }
        bytesPerSecond = speed.bytesPerSecond.map(Double.init)
        recordsPerSecond = speed.recordsPerSecond.map(Double.init)
        let now = ContinuousClock.now
        booked = Mutex(Booked(bytes: now, records: now))
    }

    /// How much a channel may pass before it asks: about a twentieth of a second's share.
    func portion(ofChannels count: Int) -> (records: Int, bytes: Int) {
        func part(_ rate: Double?) -> Int {
            rate.map { Int(max(1, min($0 / 20 / Double(count), 1e9))) } ?? .max
        }
        return (part(recordsPerSecond), part(bytesPerSecond))
    }

    /// Books what has passed, and waits until it may have; how long that took.
    ///
    /// Blocks. Returns early when a stop is requested.
    func spend(records: Int, bytes: Int, stop: StopSignal) -> Duration {
        let begin = ContinuousClock.now
        let free = booked.withLock { booked in
            let earliest = begin - Self.credit
            if let rate = bytesPerSecond {
                booked.bytes = max(booked.bytes, earliest) + .seconds(Double(bytes) / rate)
            }
            if let rate = recordsPerSecond {
                booked.records = max(booked.records, earliest) + .seconds(Double(records) / rate)
            }
            return max(booked.bytes, booked.records)
        }
        while free > .now, !stop.sleep(for: free - .now) {}
        return .now - begin
    }
}
