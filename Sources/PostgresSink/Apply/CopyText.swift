// SPDX-License-Identifier: Apache-2.0
//
// Rows as COPY's text format wants them: columns between tabs, rows between newlines, NULL as \N,
// and a backslash before the four bytes that would mean something else. The values of the wire
// are text already, so that nearly all of this is copying.

import ChangeModel
import LibPQ

extension WireBuffer {
    /// Appends rows as COPY text, every cell of them a value or NULL.
    ///
    /// False where one is neither, or does not lie in `arena`; the row before it is whole then.
    mutating func appendCopyText(
        _ rows: borrowing PickedRows,
        arena: UnsafeRawBufferPointer
    ) -> Bool {
        let (width, count) = (rows.width, rows.count)
        return rows.cells.withUnsafeBufferPointer { cells in
            var place = 0
            for _ in 0..<count {
                for column in 0..<width {
                    let cell = cells[place]
                    place += 1
                    let length = Int(cell.length)
                    if length >= 0 {
                        let start = Int(cell.offset)
                        guard start + length <= arena.count else { return false }
                        reserve(length * 2 + 8)
                        if length > 0, let base = arena.baseAddress {
                            uncheckedEscaped(base + start, length)
                        }
                    } else {
                        guard cell == .null else { return false }
                        reserve(8)
                        unchecked(UInt8(ascii: "\\"))
                        unchecked(UInt8(ascii: "N"))
                    }
                    unchecked(
                        column + 1 < width ? UInt8(ascii: "\t") : UInt8(ascii: "\n")
                    )
                }
                // A row of no columns is an empty line.
                if width == 0 {
                    reserve(1)
                    unchecked(UInt8(ascii: "\n"))
                }
            }
            return true
        }
    }

    /// Appends a value with its escapes; twice its length and 8 bytes are reserved.
    @inline(__always)
    private mutating func uncheckedEscaped(_ bytes: UnsafeRawPointer, _ length: Int) {
        var source = bytes
        let end = bytes + length
        while end - source >= 8 {
            let word = source.loadUnaligned(as: UInt64.self)
            if Self.mayNeedEscape(word) {
                for _ in 0..<8 {
                    uncheckedEscaped(source.load(as: UInt8.self))
                    source += 1
                }
            } else {
                self.end.storeBytes(of: word, as: UInt64.self)
                advance(8)
                source += 8
            }
        }
        while source < end {
            uncheckedEscaped(source.load(as: UInt8.self))
            source += 1
        }
    }

    @inline(__always)
    private mutating func uncheckedEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\\"):
            unchecked(byte)
            unchecked(byte)
        case UInt8(ascii: "\n"):
            unchecked(UInt8(ascii: "\\"))
            unchecked(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"):
            unchecked(UInt8(ascii: "\\"))
            unchecked(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"):
            unchecked(UInt8(ascii: "\\"))
            unchecked(UInt8(ascii: "t"))
        default:
            unchecked(byte)
        }
    }

    /// Whether one of eight bytes is a backslash or below 0x0E, where the other three lie.
    ///
    /// May be true for no reason, never false where there is one: a borrow only spreads upwards
    /// from a byte that is one of them itself.
    @inline(__always)
    private static func mayNeedEscape(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let slashes = word ^ (ones &* 0x5C)
        let isSlash = (slashes &- ones) & ~slashes
        let isControl = (word &- (ones &* 0x0E)) & ~word
        return (isSlash | isControl) & highs != 0
    }
}
