// SPDX-License-Identifier: Apache-2.0
//
// Where the channels' time goes. A clock read twice a record would cost more than many a record, so
// a channel only says what it is at, and a thread looks every few milliseconds.

import LibPQ
import Synchronization

/// What one channel is at; set by its thread, read by the one that looks.
final class ChannelActivity: Sendable {
    enum Kind: UInt8 {
        case none, reading, writing, throttled
    }

    private let kind = Atomic<UInt8>(Kind.none.rawValue)

    /// Says what the channel is at from now on.
    @inline(__always)
    func enter(_ new: Kind) { kind.store(new.rawValue, ordering: .relaxed) }

    var now: Kind { Kind(rawValue: kind.load(ordering: .relaxed)) ?? .none }
}

/// The channels' times, added up.
final class ChannelTimes: Sendable {
    /// Nanoseconds that channels spent on getting records.
    let reading = Atomic<Int>(0)
    /// Nanoseconds that channels spent on handing them on.
    let writing = Atomic<Int>(0)
    private static let interval = Duration.milliseconds(20)

    /// Looks at the channels until `ended` is requested; blocks.
    func observe(_ channels: [ChannelActivity], until ended: StopSignal) {
        var last = ContinuousClock.now
        while !ended.sleep(for: Self.interval) {
            let now = ContinuousClock.now
            let passed = (now - last).nanoseconds
            last = now
            for channel in channels {
                switch channel.now {
                case .reading: reading.add(passed, ordering: .relaxed)
                case .writing: writing.add(passed, ordering: .relaxed)
                case .none, .throttled: break
                }
            }
        }
    }
}

extension Duration {
    /// Whole nanoseconds; the largest number where they are more.
    var nanoseconds: Int {
        let (seconds, attoseconds) = components
        guard seconds.magnitude < 9_000_000_000 else { return .max }
        return Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
    }
}
