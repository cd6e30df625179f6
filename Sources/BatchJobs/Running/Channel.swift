// SPDX-License-Identifier: Apache-2.0
//
// A channel: one thread that takes slices from the ledger until none is left, and passes their
// records from its reader to its writer.

import LibPQ
import Synchronization

/// Gives each slice to one channel.
final class SliceLedger: Sendable {
    private let next = Atomic<Int>(0)
    private let count: Int

    /// A ledger of the slices from 0 on.
    init(_ count: Int) {
        self.count = count
    }

    /// A slice that nobody has taken; nil when none is left.
    func take() -> Int? {
        let slice = next.add(1, ordering: .relaxed).oldValue
        return slice < count ? slice : nil
    }
}

/// Passes records on; belongs to its thread.
final class Channel {
    /// After so many records or bytes they are counted for all to see; a lock or a contended
    /// counter for each record would cost more than the record.
    private static let portion = (records: 32, bytes: 1 << 16)

    private let reader: any RecordReader
    private let writer: any RecordWriter
    private let context: JobContext
    private let throttle: Throttle?
    private let activity: ChannelActivity
    private let portion: (records: Int, bytes: Int)
    private var records = 0
    private var bytes = 0

    init(
        reader: any RecordReader,
        writer: any RecordWriter,
        context: JobContext,
        throttle: Throttle?,
        channels: Int,
        activity: ChannelActivity
    ) {
        self.reader = reader
        self.writer = writer
        self.context = context
        self.throttle = throttle
        self.activity = activity
        let allowed = throttle?.portion(ofChannels: channels) ?? Self.portion
        portion = (
            min(allowed.records, Self.portion.records), min(allowed.bytes, Self.portion.bytes)
        )
    }

    /// Passes the records of all slices that it gets, and has the last of them committed; blocks.
    ///
    /// Whatever it throws, what was open is rolled back then.
    func run(_ ledger: SliceLedger) throws {
        defer { activity.enter(.none) }
        do {
            try checkStop()
            while let slice = ledger.take() {
                activity.enter(.reading)
                try reader.read(slice) { record in
                    records += 1
                    try publish()
                    try context.report(record)
                } _: { record in
                    try pass(record)
                }
                try publish()
                context.counters.slicesRead.add(1, ordering: .relaxed)
            }
            activity.enter(.writing)
            try writer.flush()
        } catch {
            writer.abandon()
            throw error
        }
    }

    private func pass(_ record: Record) throws {
        activity.enter(.writing)
        try writer.take(record)
        activity.enter(.reading)
        records += 1
        bytes += record.count
        if records >= portion.records || bytes >= portion.bytes { try publish() }
    }

    /// Counts what was passed, and waits where that was too fast.
    private func publish() throws {
        context.counters.recordsRead.add(records, ordering: .relaxed)
        context.counters.bytesRead.add(bytes, ordering: .relaxed)
        if let throttle {
            activity.enter(.throttled)
            let waited = throttle.spend(records: records, bytes: bytes, stop: context.stop)
            context.counters.throttledNanoseconds.add(waited.nanoseconds, ordering: .relaxed)
            activity.enter(.reading)
        }
        (records, bytes) = (0, 0)
        try checkStop()
    }

    /// Where neither reader nor writer ever waits, nobody else sees that the job is to end.
    private func checkStop() throws {
        if context.stop.isRequested { throw CancellationError() }
    }
}
