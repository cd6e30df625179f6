// SPDX-License-Identifier: Apache-2.0
//
// A cursor over bytes that somebody else owns. Each read checks what is left before it touches
// anything and moves only when it succeeds, so that `offset` is the position of the fault.
// Integers are big-endian. The readers are inlined, the faults are not: nothing of the text of an
// error costs anything until there is one.

import ChangeModel

/// Reads the protocol's primitives from front to back.
struct ByteReader: ~Escapable {
    let bytes: Span<UInt8>
    /// What errors say was being decoded.
    var subject: DecodeError.Subject
    /// The next byte to read.
    private(set) var offset = 0

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, subject: DecodeError.Subject) {
        self.bytes = bytes
        self.subject = subject
    }

    @inline(__always)
    var remaining: Int { bytes.count &- offset }

    @inline(__always)
    mutating func uint8(_ expected: StaticString) throws(DecodeError) -> UInt8 {
        guard remaining >= 1 else { throw missing(1, expected) }
        let value = bytes[offset]
        offset &+= 1
        return value
    }

    @inline(__always)
    mutating func uint16(_ expected: StaticString) throws(DecodeError) -> UInt16 {
        guard remaining >= 2 else { throw missing(2, expected) }
        let value = UInt16(bytes[offset]) << 8 | UInt16(bytes[offset &+ 1])
        offset &+= 2
        return value
    }

    @inline(__always)
    mutating func uint32(_ expected: StaticString) throws(DecodeError) -> UInt32 {
        guard remaining >= 4 else { throw missing(4, expected) }
        let high = UInt32(bytes[offset]) << 24 | UInt32(bytes[offset &+ 1]) << 16
        let low = UInt32(bytes[offset &+ 2]) << 8 | UInt32(bytes[offset &+ 3])
        offset &+= 4
        return high | low
    }

    mutating func uint64(_ expected: StaticString) throws(DecodeError) -> UInt64 {
        guard remaining >= 8 else { throw missing(8, expected) }
        var value: UInt64 = 0
        for index in offset..<(offset + 8) {
            value = value << 8 | UInt64(bytes[index])
        }
        offset += 8
        return value
    }

    mutating func lsn(_ expected: StaticString) throws(DecodeError) -> LSN {
        LSN(try uint64(expected))
    }

    mutating func time(_ expected: StaticString) throws(DecodeError) -> PostgresTime {
        PostgresTime(microseconds: Int64(bitPattern: try uint64(expected)))
    }

    /// Text in UTF-8 up to a zero byte, which is passed over.
    mutating func name(_ expected: StaticString) throws(DecodeError) -> String {
        var end = offset
        while end < bytes.count, bytes[end] != 0 { end += 1 }
        guard end < bytes.count else {
            throw fault(expected, found: "no end of it in \(remaining) bytes", at: bytes.count)
        }
        let text: String
        do throws(UTF8.ValidationError) {
            text = String(copying: try UTF8Span(validating: bytes.extracting(offset..<end)))
        } catch {
            throw fault(
                expected,
                found: "a byte sequence that is not UTF-8",
                at: offset + error.byteOffsets.lowerBound
            )
        }
        offset = end + 1
        return text
    }

    /// A schema's name; the protocol writes `pg_catalog` as an empty one.
    mutating func schemaName() throws(DecodeError) -> String {
        let name = try name("a schema's name")
        return name.isEmpty ? "pg_catalog" : name
    }

    /// Passes over bytes that the caller has found to be there.
    @inline(__always)
    mutating func skip(_ count: Int) {
        offset &+= count
    }

    /// Holds that nothing follows.
    @inline(__always)
    func finish() throws(DecodeError) {
        guard remaining == 0 else { throw trailing() }
    }

    @inline(never)
    func missing(_ needed: Int, _ expected: StaticString) -> DecodeError {
        let unit = needed == 1 ? "byte" : "bytes"
        let left = remaining == 0 ? "the end" : "only \(remaining)"
        return DecodeError(
            subject: subject,
            expected: "\(expected) (\(needed) \(unit))",
            found: left,
            offset: offset,
            length: bytes.count
        )
    }

    @inline(never)
    func trailing() -> DecodeError {
        fault("the end", found: "\(remaining) more", at: offset)
    }

    @inline(never)
    func fault(_ expected: StaticString, found: String, at offset: Int) -> DecodeError {
        DecodeError(
            subject: subject,
            expected: "\(expected)",
            found: found,
            offset: offset,
            length: bytes.count
        )
    }

    /// A byte that means nothing where it stands; it was the last that was read.
    @inline(never)
    func unexpected(_ byte: UInt8, _ expected: StaticString) -> DecodeError {
        fault(expected, found: MessageKind.printed(byte), at: offset - 1)
    }
}
