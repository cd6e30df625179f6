// SPDX-License-Identifier: Apache-2.0
//
// A tuple on the wire: number of columns 16, then a column each
//
//   n   NULL; in a key tuple also: not sent
//   u   a TOASTed value that the change left as it was
//   t   length 32, the value as text
//   b   length 32, the value in binary: refused, the session never asks for it

import ChangeModel

/// Where a tuple's cells stand in the array that they were appended to.
public struct TupleCells: Sendable, Equatable {
    /// Index of the first cell.
    public var first: UInt32
    /// How many there are, one a column; hold it against the relation's number of columns.
    public var count: UInt16

    /// Creates a place.
    @inlinable
    public init(first: UInt32, count: UInt16) {
        self.first = first
        self.count = count
    }

    /// The cells' indices.
    @inlinable
    public var indices: Range<Int> { Int(first)..<(Int(first) + Int(count)) }
}

extension ByteReader {
    /// A number of columns that PostgreSQL can have.
    @inline(__always)
    mutating func columnCount() throws(DecodeError) -> Int {
        let count = Int(try uint16("the number of columns"))
        guard count <= PgOutputDecoder.columnLimit else { throw tooMany(count) }
        return count
    }

    @inline(never)
    func tooMany(_ columns: Int) -> DecodeError {
        fault("at most 1664 columns", found: "\(columns)", at: offset - 2)
    }

    /// The length of what follows, found to be there.
    @inline(__always)
    mutating func length(_ expected: StaticString) throws(DecodeError) -> Int {
        let length = Int(Int32(bitPattern: try uint32(expected)))
        guard length >= 0, length <= remaining else { throw wrongLength(length, expected) }
        return length
    }

    @inline(never)
    func wrongLength(_ length: Int, _ expected: StaticString) -> DecodeError {
        DecodeError(
            subject: subject,
            expected: "\(expected) of 0 to \(remaining)",
            found: "\(length)",
            offset: offset - 4,
            length: bytes.count
        )
    }

    /// Appends a tuple's cells.
    ///
    /// `base` added to a position in the message gives one in the arena; base plus the message's
    /// length must fit into 32 bits.
    @inline(__always)
    mutating func tuple(
        base: Int,
        cells: inout [Cell]
    ) throws(DecodeError) -> TupleCells {
        let count = try columnCount()
        let first = cells.count
        for _ in 0..<count {
            switch try uint8("a column's kind") {
            case UInt8(ascii: "t"):
                let length = try length("a column's length")
                cells.append(
                    Cell(
                        offset: UInt32(truncatingIfNeeded: base &+ offset),
                        length: Int32(truncatingIfNeeded: length)
                    )
                )
                skip(length)
            case UInt8(ascii: "n"): cells.append(.null)
            case UInt8(ascii: "u"): cells.append(.unchanged)
            case let kind: throw unexpected(kind, "a column kind of n, u or t")
            }
        }
        return TupleCells(
            first: UInt32(truncatingIfNeeded: first),
            count: UInt16(truncatingIfNeeded: count)
        )
    }
}
