// SPDX-License-Identifier: Apache-2.0
//
// The bytes that an encoder makes, in memory of its own that is used again and again. Inside the
// module a writer reserves first and then stores without looking: every `unchecked` method may
// also scribble over up to 15 bytes behind what it appends, so that short pieces are copied in
// whole words. `reserve` keeps that slack.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Bytes in place, read by a writer; valid only for the call that they are given to.
typealias Bytes = UnsafeBufferPointer<UInt8>

// SAFETY: the memory belongs to this value alone, which cannot be copied.

/// A growing run of bytes with one owner.
///
/// Grows by doubling, and never beyond twice what the content and one piece of it need.
public struct OutputBuffer: ~Copyable, @unchecked Sendable {
    /// What `unchecked` methods may write behind their end.
    static let slack = 16

    /// How many bytes there are.
    public internal(set) var count = 0
    private(set) var start: UnsafeMutablePointer<UInt8>
    private var room: Int

    /// An empty buffer with room for `capacity` bytes.
    public init(capacity: Int = 4096) {
        room = max(capacity, 64)
        start = .allocate(capacity: room + Self.slack)
    }

    deinit { start.deallocate() }

    /// How many bytes fit without growing.
    public var capacity: Int { room }

    /// Makes room for `extra` bytes more than there are.
    @inline(__always)
    public mutating func reserve(_ extra: Int) {
        if room - count < extra { grow(extra) }
    }

    @inline(never)
    private mutating func grow(_ extra: Int) {
        let newRoom = max(room * 2, count + extra)
        let newStart = UnsafeMutablePointer<UInt8>.allocate(capacity: newRoom + Self.slack)
        newStart.update(from: start, count: count)
        start.deallocate()
        start = newStart
        room = newRoom
    }

    /// Forgets the content; the memory is kept unless it is larger than `byteLimit`.
    public mutating func removeAll(keepingUpTo byteLimit: Int = 1 << 20) {
        count = 0
        guard room > max(byteLimit, 64) else { return }
        start.deallocate()
        room = max(byteLimit, 64)
        start = .allocate(capacity: room + Self.slack)
    }

    /// Forgets everything behind the first `newCount` bytes.
    public mutating func truncate(to newCount: Int) {
        precondition((0...count).contains(newCount), "a buffer is only ever cut")
        count = newCount
    }

    /// Lends the bytes for the duration of `body`.
    public borrowing func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// Appends bytes.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        reserve(bytes.count)
        memcpy(start + count, base, bytes.count)
        count += bytes.count
    }
}

extension OutputBuffer {
    /// Where the next byte goes.
    @inline(__always)
    var end: UnsafeMutablePointer<UInt8> { start + count }

    /// The content, until the buffer is changed.
    var bytes: Bytes { Bytes(start: start, count: count) }

    /// Whether two parts of the content have the same bytes.
    func isEqual(_ left: Range<Int>, _ right: Range<Int>) -> Bool {
        left.count == right.count
            && memcmp(start + left.lowerBound, start + right.lowerBound, left.count) == 0
    }

    /// Overwrites a byte of the content.
    @inline(__always)
    mutating func replace(at index: Int, with byte: UInt8) {
        start[index] = byte
    }

    @inline(__always)
    mutating func unchecked(_ byte: UInt8) {
        start[count] = byte
        count += 1
    }

    /// Appends `length` bytes, at most 8, that stand in a word, the first one lowest.
    @inline(__always)
    mutating func unchecked(word: UInt64, length: Int) {
        UnsafeMutableRawPointer(end).storeBytes(of: word.littleEndian, as: UInt64.self)
        count += length
    }

    @inline(__always)
    mutating func unchecked(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        memcpy(end, bytes, length)
        count += length
    }

    @inline(__always)
    mutating func unchecked(_ text: StaticString) {
        unchecked(text.utf8Start, text.utf8CodeUnitCount)
    }

    /// Appends bytes of which 16 can be read and written whatever `length` is.
    @inline(__always)
    mutating func unchecked(padded bytes: UnsafePointer<UInt8>, _ length: Int) {
        if length <= 16 {
            let word = UnsafeRawPointer(bytes).loadUnaligned(as: SIMD16<UInt8>.self)
            UnsafeMutableRawPointer(end).storeBytes(of: word, as: SIMD16<UInt8>.self)
            count += length
        } else {
            unchecked(bytes, length)
        }
    }

    /// Appends a text that is no value, checked.
    mutating func append(_ text: StaticString) {
        reserve(text.utf8CodeUnitCount)
        unchecked(text)
    }

    /// Appends bytes, checked.
    mutating func append(_ bytes: Bytes) {
        append(UnsafeRawBufferPointer(bytes))
    }
}
