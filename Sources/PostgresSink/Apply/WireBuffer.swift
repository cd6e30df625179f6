// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a COPY or of parameters, in memory of its own that is used again and again. Who
// writes reserves first and then stores without looking.

import Glibc

/// A growing run of bytes with one owner.
struct WireBuffer: ~Copyable {
    /// How many bytes there are.
    private(set) var count = 0
    private var start: UnsafeMutableRawPointer
    private var room: Int

    /// An empty buffer with room for `capacity` bytes.
    init(capacity: Int = 4096) {
        room = max(capacity, 64)
        start = .allocate(byteCount: room, alignment: 16)
    }

    deinit { start.deallocate() }

    /// How many bytes fit without growing.
    var capacity: Int { room }

    /// Makes room for `extra` bytes more than there are.
    @inline(__always)
    mutating func reserve(_ extra: Int) {
        if room - count < extra { grow(extra) }
    }

    @inline(never)
    private mutating func grow(_ extra: Int) {
        let newRoom = max(room * 2, count + extra)
        let newStart = UnsafeMutableRawPointer.allocate(byteCount: newRoom, alignment: 16)
        newStart.copyMemory(from: start, byteCount: count)
        start.deallocate()
        start = newStart
        room = newRoom
    }

    /// Forgets the content; the memory is kept unless it is larger than `byteLimit`.
    mutating func removeAll(keepingUpTo byteLimit: Int = 4 << 20) {
        count = 0
        guard room > byteLimit else { return }
        start.deallocate()
        room = byteLimit
        start = .allocate(byteCount: room, alignment: 16)
    }

    /// Where the next byte goes; valid until the next `reserve`.
    @inline(__always)
    var end: UnsafeMutableRawPointer { start + count }

    /// Counts bytes that were stored at `end`, at most as many as were reserved.
    @inline(__always)
    mutating func advance(_ length: Int) { count += length }

    /// Appends a byte that was reserved.
    @inline(__always)
    mutating func unchecked(_ byte: UInt8) {
        end.storeBytes(of: byte, as: UInt8.self)
        count += 1
    }

    /// Appends a number in network order that was reserved.
    @inline(__always)
    mutating func unchecked(_ number: Int32) {
        end.storeBytes(of: number.bigEndian, as: Int32.self)
        count += 4
    }

    /// Appends bytes that were reserved.
    @inline(__always)
    mutating func unchecked(_ bytes: UnsafeRawPointer, _ length: Int) {
        memcpy(end, bytes, length)
        count += length
    }

    /// Lends the bytes for the duration of `body`.
    borrowing func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: start, count: count))
    }
}
