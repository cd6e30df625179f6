// SPDX-License-Identifier: Apache-2.0
//
// Batches in, event lines out: the part that the file sink and the stream sink share. A batch is
// encoded in slices, so that the buffer stays small and a file is rotated near its size, not a
// whole batch behind it.

import ChangeModel
import Glibc
import Sink

/// Encodes the changes of batches into a buffer that its owner empties.
struct EventEncoder: ~Copyable {
    /// Bytes of events after which the owner is expected to empty the buffer.
    static let flushBytes = 1 << 20
    /// Bytes of memory that an emptied buffer keeps; more was for a huge row.
    static let keptBytes = 4 << 20
    /// Bytes of events that one slice aims at.
    private static let sliceBytes = 64 << 10
    /// About what an event costs besides its values.
    private static let envelopeBytes = 400

    private var encoder: ChangeJSONEncoder
    /// Whole event lines that the owner has not taken yet.
    var buffer = OutputBuffer()

    init(_ encoder: consuming ChangeJSONEncoder) {
        self.encoder = encoder
    }

    /// Encodes the next changes of `range`, one at least, and returns where the rest begins.
    ///
    /// Aims at no more than `room` bytes, on the experience of this batch's average.
    mutating func encode(
        _ batch: borrowing ChangeBatch,
        _ range: Range<Int>,
        room: Int64,
        at now: PostgresTime
    ) throws(WalrelayError) -> Int {
        let average = batch.bytes.count / max(1, batch.changes.count) + Self.envelopeBytes
        let target = Int(max(1, min(room, Int64(Self.sliceBytes))))
        let end = range.lowerBound + min(range.count, max(1, target / average))
        try encoder.encode(batch, changes: range.lowerBound..<end, at: now, into: &buffer)
        return end
    }
}

extension PostgresTime {
    /// The system clock's moment.
    static var now: PostgresTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return PostgresTime(
            unixMicroseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
        )
    }
}
