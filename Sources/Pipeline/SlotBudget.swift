// SPDX-License-Identifier: Apache-2.0
//
// How much WAL a slot may hold back, and what a look at it means: pure, all times are passed in as
// nanoseconds of the monotonic clock. What is held back grows by the source's writing and falls in
// steps, when the server moves the slot's restart position (every 15 s or so of what was written);
// so rates are taken over minutes, and a bound has to be passed for longer than such a step.

import ChangeModel

/// How much WAL a task's slot may hold back in the source.
public struct SlotBudget: Sendable, Equatable {
    /// Bytes from which on it is warned of; `nil` never warns of an amount.
    public var warning: Int64? = 5 << 30
    /// Bytes from which on the slot is dropped and the task ends; `nil` never does.
    public var stop: Int64?
    /// How long more than `stop` has to be held back, without getting less, before that happens.
    public var patience: Duration = .seconds(30)

    /// The defaults of the settings.
    public init() {}
}

/// The WAL that the source has written of late, and how much more the slot holds back by it.
struct WALGauge: Sendable {
    /// Over how long rates are taken.
    static let window: UInt64 = 300_000_000_000
    /// How far apart samples are that are kept, so that there are about thirty.
    static let spacing: UInt64 = 10_000_000_000
    /// Before so long was seen, growth is one burst or one step of the slot, and no tendency.
    static let settling: UInt64 = 60_000_000_000

    private struct Sample: Sendable {
        var time: UInt64
        var wal: UInt64
        var retained: Int64
    }

    private var samples: [Sample] = []

    mutating func note(wal: UInt64, retained: Int64, at time: UInt64) {
        // Another server, or the same one set back: nothing before is of this WAL.
        if let last = samples.last, wal < last.wal || time < last.time { samples.removeAll() }
        samples.removeAll { $0.time + Self.window < time }
        if samples.count > 1, time - samples[samples.count - 2].time < Self.spacing {
            samples.removeLast()
        }
        samples.append(Sample(time: time, wal: wal, retained: retained))
    }

    /// Bytes of WAL a second; `nil` before ten seconds were seen.
    var walPerSecond: Double? { perSecond(after: Self.spacing) { Double($1.wal - $0.wal) } }

    /// Bytes a second by which what is held back grows, negative where it falls; `nil` before a
    /// minute was seen.
    var growthPerSecond: Double? {
        perSecond(after: Self.settling) { Double($1.retained) - Double($0.retained) }
    }

    private func perSecond(
        after least: UInt64,
        _ difference: (Sample, Sample) -> Double
    ) -> Double? {
        guard let first = samples.first, let last = samples.last, last.time - first.time >= least
        else { return nil }
        return difference(first, last) / (Double(last.time - first.time) / 1e9)
    }
}

/// What one look at a slot has shown.
struct SlotReading: Sendable {
    var slot: String
    /// The end of the server's WAL.
    var wal: UInt64
    /// Bytes that the server keeps for the slot.
    var retained: Int64
    /// Bytes that may still be written before it is lost; from 13 on, `nil` without a limit.
    var safe: Int64?
    /// From 13 on.
    var walStatus: String?
}

/// From looks to a warning, a forecast and, where the settings ask for it, the end.
struct RetentionJudge: Sendable {
    /// A bound that is reached sooner than in this time is warned of, once a tenth of the way to it
    /// is gone: before that there is time to see whether it goes on so.
    static let horizon: Double = 3600

    let budget: SlotBudget
    private var gauge = WALGauge()
    private var isWarning = false
    private var pastStop: (since: UInt64, retained: Int64)?
    private var lastLook: UInt64 = 0

    /// A look longer ago than this says nothing of the time between: nobody saw whether what is held
    /// back became less.
    static let longestGap: UInt64 = 10_000_000_000

    init(_ budget: SlotBudget) { self.budget = budget }

    /// Gives what is past the stop its time anew.
    mutating func giveTime() { pastStop = nil }

    /// What the status shows, and whether `SlotBudget.stop` has been passed for long enough.
    mutating func judge(
        _ reading: SlotReading,
        at time: UInt64
    ) -> (status: TaskStatus.Retention, isOver: Bool) {
        gauge.note(wal: reading.wal, retained: reading.retained, at: time)
        if time &- lastLook > Self.longestGap { giveTime() }
        lastLook = time
        var status = TaskStatus.Retention()
        status.warningBytes = warningLevel(reading).map { Int(clamping: $0.bytes) }
        status.stopBytes = budget.stop.map { Int(clamping: $0) }
        status.limitBytes = limit(reading).map { Int(clamping: $0) }
        status.safeBytes = reading.safe.map { Int(clamping: $0) }
        status.walBytesPerSecond = gauge.walPerSecond.map { Int($0) }
        if let next = forecast(reading) {
            status.forecastSeconds = Int(min(next.seconds, 1e9))
            status.forecastLimit = next.limit
        }
        let isOver = isOver(reading, at: time)
        let reasons = reasons(reading)
        isWarning = !reasons.isEmpty
        if isWarning {
            status.warning =
                "The slot \(reading.slot) holds back \(Quantity.bytes(reading.retained)) of WAL: "
                + reasons.joined(separator: "; ")
        }
        return (status, isOver)
    }

    /// The server's limit in bytes, for as long as it has one and the slot is not lost.
    private func limit(_ reading: SlotReading) -> Int64? {
        reading.safe.map { reading.retained &+ $0 }
    }

    /// From where on an amount is warned of: what is set, or half of a limit that comes sooner.
    private func warningLevel(_ reading: SlotReading) -> (bytes: Int64, name: String)? {
        guard let set = budget.warning else { return nil }
        if let half = limit(reading).map({ $0 / 2 }), half < set {
            return (half, "half of max_slot_wal_keep_size")
        }
        return (set, "slot.retainWarning (\(Quantity.bytes(set)))")
    }

    /// The bound that is reached next if what is held back goes on to grow as it did.
    private func forecast(
        _ reading: SlotReading
    ) -> (seconds: Double, limit: String, isNear: Bool)? {
        guard let growth = gauge.growthPerSecond, growth > 0 else { return nil }
        let bounds: [(left: Int64, limit: String)] = [
            reading.safe.map { ($0, "max_slot_wal_keep_size") },
            budget.stop.map { ($0 - min($0, reading.retained), "slot.retainStop") },
        ].compactMap { $0 }
        guard let next = bounds.min(by: { $0.left < $1.left }) else { return nil }
        let isNear = reading.retained > next.left / 9
        return (max(0, Double(next.left) / growth), next.limit, isNear)
    }

    private mutating func isOver(_ reading: SlotReading, at time: UInt64) -> Bool {
        guard let stop = budget.stop, reading.retained >= stop else {
            pastStop = nil
            return false
        }
        // What gets less is being worked off: it has its time anew.
        guard let past = pastStop, reading.retained >= past.retained else {
            pastStop = (time, reading.retained)
            return false
        }
        return Duration.nanoseconds(Int64(clamping: time - past.since)) >= budget.patience
    }

    /// A warning that stands ends a good way below what began it: it is to be seen, not to flicker.
    private func reasons(_ reading: SlotReading) -> [String] {
        var reasons: [String] = []
        if reading.walStatus == "unreserved" {
            reasons.append("the server's next checkpoint may remove what it needs (unreserved)")
        }
        if pastStop != nil, let stop = budget.stop {
            reasons.append(
                "slot.retainStop (\(Quantity.bytes(stop))) is passed, and the slot is dropped unless "
                    + "that becomes less within \(budget.patience.components.seconds) s"
            )
        } else if let level = warningLevel(reading) {
            let bound = isWarning ? level.bytes / 10 * 8 : level.bytes
            if reading.retained >= bound {
                let relation = reading.retained >= level.bytes ? "more than" : "not far below"
                reasons.append("\(relation) \(level.name)")
            }
        }
        if let next = forecast(reading), next.isNear,
            next.seconds < Self.horizon * (isWarning ? 2 : 1)
        {
            reasons.append(
                "in about \(Self.time(next.seconds)) it reaches \(next.limit), as it grows now"
            )
        }
        return reasons
    }

    private static func time(_ seconds: Double) -> String {
        switch seconds {
        case ..<90: "\(Int(seconds)) s"
        case ..<5_400: "\(Int(seconds / 60)) min"
        default: "\(Int(seconds / 3_600)) h"
        }
    }
}
