// SPDX-License-Identifier: Apache-2.0
//
// The records of a batch, kept until the batch is committed, so that they can be sent again
// without the bad ones among them.

import LibPQ

/// Records one behind the other; keeps its memory from batch to batch.
struct KeptRecords: ~Copyable {
    private var bytes: WireBuffer
    private var ends: [Int] = []
    private let capacity: Int

    /// Room for so many bytes: memory that no record has touched costs nothing yet.
    init(capacity: Int) {
        self.capacity = capacity
        bytes = WireBuffer(capacity: capacity)
    }

    /// How many records there are.
    var count: Int { ends.count }

    /// Their bytes.
    var byteCount: Int { bytes.count }

    var isEmpty: Bool { ends.isEmpty }

    /// Takes a copy of a record.
    @inline(__always)
    mutating func append(_ record: Record) {
        guard let base = record.baseAddress else { return ends.append(bytes.count) }
        bytes.reserve(record.count)
        bytes.unchecked(base, record.count)
        ends.append(bytes.count)
    }

    mutating func removeAll() {
        bytes.removeAll(keepingUpTo: capacity)
        ends.removeAll(keepingCapacity: true)
    }

    /// Lends the records for the duration of `body`.
    borrowing func withRun<Result, Failure: Error>(
        _ body: (RecordRun) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try bytes.withUnsafeBytes { bytes throws(Failure) in
            try ends.withUnsafeBufferPointer { ends throws(Failure) in
                try body(RecordRun(bytes: bytes, ends: ends))
            }
        }
    }
}

/// Records that stand one behind the other, lent.
struct RecordRun {
    let bytes: UnsafeRawBufferPointer
    /// Where each of them ends.
    let ends: UnsafeBufferPointer<Int>

    var count: Int { ends.count }

    /// All of them.
    var all: Range<Int> { 0..<ends.count }

    /// A record.
    subscript(index: Int) -> Record { self[index..<(index + 1)] }

    /// The bytes of some of them.
    subscript(range: Range<Int>) -> UnsafeRawBufferPointer {
        guard !range.isEmpty else { return UnsafeRawBufferPointer(rebasing: bytes[..<0]) }
        let start = range.lowerBound == 0 ? 0 : ends[range.lowerBound - 1]
        return UnsafeRawBufferPointer(rebasing: bytes[start..<ends[range.upperBound - 1]])
    }
}
