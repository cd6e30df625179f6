// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a COPY or of parameters, in memory of its own that is used again and again. Who
// writes reserves first and then stores without looking.

public import Glibc

/// A growing run of bytes with one owner.
public struct WireBuffer: ~Copyable {
    @usableFromInline var used = 0
    @usableFromInline var start: UnsafeMutableRawPointer
    @usableFromInline var room: Int

    /// An empty buffer with room for `capacity` bytes.
    public init(capacity: Int = 4096) {
        room = max(capacity, 64)
        start = .allocate(byteCount: room, alignment: 16)
    }

    deinit { start.deallocate() }

    /// How many bytes there are.
    @inlinable @inline(__always)
    public var count: Int { used }

    /// How many bytes fit without growing.
    public var capacity: Int { room }

    /// Makes room for `extra` bytes more than there are.
    @inlinable @inline(__always)
    public mutating func reserve(_ extra: Int) {
        if room - used < extra { grow(extra) }
    }

    @usableFromInline @inline(never)
    mutating func grow(_ extra: Int) {
        let newRoom = max(room * 2, used + extra)
        let newStart = UnsafeMutableRawPointer.allocate(byteCount: newRoom, alignment: 16)
        newStart.copyMemory(from: start, byteCount: used)
        start.deallocate()
        start = newStart
        room = newRoom
    }

    /// Forgets the content; the memory is kept unless it is larger than `byteLimit`.
    public mutating func removeAll(keepingUpTo byteLimit: Int = 4 << 20) {
        used = 0
        guard room > byteLimit else { return }
        start.deallocate()
        room = byteLimit
        start = .allocate(byteCount: room, alignment: 16)
    }

    /// Where the next byte goes; valid until the next `reserve`.
    @inlinable @inline(__always)
    public var end: UnsafeMutableRawPointer { start + used }

    /// Counts bytes that were stored at `end`, at most as many as were reserved.
    @inlinable @inline(__always)
    public mutating func advance(_ length: Int) { used += length }

    /// Appends a byte that was reserved.
    @inlinable @inline(__always)
    public mutating func unchecked(_ byte: UInt8) {
        end.storeBytes(of: byte, as: UInt8.self)
        used += 1
    }

    /// Appends a number in network order that was reserved.
    @inlinable @inline(__always)
    public mutating func unchecked(_ number: Int32) {
        end.storeBytes(of: number.bigEndian, as: Int32.self)
        used += 4
    }

    /// Appends bytes that were reserved.
    @inlinable @inline(__always)
    public mutating func unchecked(_ bytes: UnsafeRawPointer, _ length: Int) {
        memcpy(end, bytes, length)
        used += length
    }

    /// Lends the bytes for the duration of `body`.
    @inlinable
    public borrowing func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: start, count: used))
    }
}

/// Values of type text[] in the binary format, which needs no escapes.
///
///     int32 dimensions (1) | int32 has NULLs | int32 element type (25) | int32 elements |
///     int32 lower bound (1) | then per element: int32 length (-1 is NULL), bytes
public enum TextArrayForm {
    /// The OID of text[].
    public static let typeOID: UInt32 = 1009
    /// The bytes before the first element.
    public static let headerBytes = 20
    fileprivate static let textOID: Int32 = 25
}

extension WireBuffer {
    /// Appends the header of a text[], whose `headerBytes` were reserved.
    public mutating func uncheckedTextArray(count: Int, hasNulls: Bool) {
        unchecked(Int32(1))
        unchecked(Int32(hasNulls ? 1 : 0))
        unchecked(TextArrayForm.textOID)
        unchecked(Int32(clamping: count))
        unchecked(Int32(1))
    }

    /// Says how many elements the text[] has with whose header the buffer begins.
    ///
    /// For who learns it only from the last of them.
    public mutating func setTextArray(count: Int, hasNulls: Bool) {
        let end = used
        guard end >= TextArrayForm.headerBytes else { return }
        used = 0
        uncheckedTextArray(count: count, hasNulls: hasNulls)
        used = end
    }
}
