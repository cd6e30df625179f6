// SPDX-License-Identifier: Apache-2.0
//
// Strings after RFC 8259: `"`, `\` and the controls below U+0020 are escaped, all else passes as
// it is. Eight bytes are looked at and copied at a time; a text that needs no escape, as nearly
// all do, costs about one step a word.

/// Eight bytes in a register, and which of them are worth a closer look.
enum Word {
    static let ones: UInt64 = 0x0101_0101_0101_0101
    static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The eight bytes at `pointer`, the first one lowest.
    @inline(__always)
    static func load(_ pointer: UnsafePointer<UInt8>) -> UInt64 {
        UInt64(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt64.self))
    }

    /// The `count` (0 to 7) bytes at `pointer` and zeros above; reads nothing else.
    @inline(__always)
    static func load(_ pointer: UnsafePointer<UInt8>, count: Int) -> UInt64 {
        let raw = UnsafeRawPointer(pointer)
        if count >= 4 {
            let low = UInt64(UInt32(littleEndian: raw.loadUnaligned(as: UInt32.self)))
            let high = UInt64(
                UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self))
            )
            return low | high << UInt64((count - 4) * 8)
        }
        guard count > 0 else { return 0 }
        let middle = UInt64(pointer[count >> 1]) << UInt64((count >> 1) * 8)
        let last = UInt64(pointer[count - 1]) << UInt64((count - 1) * 8)
        return UInt64(pointer[0]) | middle | last
    }

    /// Flags (0x80 in its byte) what JSON escapes; only the lowest flag is certain.
    ///
    /// A subtraction's borrow may flag bytes above the first that is meant, never below it.
    @inline(__always)
    static func escapes(_ word: UInt64) -> UInt64 {
        let quote = word ^ (ones &* 0x22)
        let backslash = word ^ (ones &* 0x5C)
        let control = (word &- ones &* 0x20) & ~word
        return (control | ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash)) & highs
    }

    /// A mask of the lowest `count` (0 to 7) bytes.
    @inline(__always)
    static func mask(_ count: Int) -> UInt64 {
        (1 << UInt64(count * 8)) &- 1
    }
}

extension OutputBuffer {
    /// How much of a text is written for one `reserve`; long texts go in such pieces.
    private static var textPiece: Int { 4096 }

    /// Appends a text in quotes.
    @inline(__always)
    mutating func appendText(_ text: Bytes) {
        reserve(2 + 6 * min(text.count, Self.textPiece))
        unchecked(UInt8(ascii: "\""))
        if let base = text.baseAddress {
            if text.count <= Self.textPiece {
                uncheckedEscaped(base, text.count)
            } else {
                appendLongText(base, text.count)
            }
        }
        unchecked(UInt8(ascii: "\""))
    }

    @inline(never)
    private mutating func appendLongText(_ base: UnsafePointer<UInt8>, _ length: Int) {
        var offset = 0
        while offset < length {
            let piece = min(length - offset, Self.textPiece)
            reserve(6 * piece + 2)
            uncheckedEscaped(base + offset, piece)
            offset += piece
        }
    }

    /// Appends an escaped text without quotes; up to six times its length must have been reserved.
    @inline(__always)
    private mutating func uncheckedEscaped(_ base: UnsafePointer<UInt8>, _ length: Int) {
        var pointer = base
        var rest = length
        while rest >= 8 {
            let word = Word.load(pointer)
            let flags = Word.escapes(word)
            if flags == 0 {
                unchecked(word: word, length: 8)
            } else {
                uncheckedEscaping(word, 8, flags)
            }
            pointer += 8
            rest -= 8
        }
        guard rest > 0 else { return }
        // The last word of a text of eight bytes and more ends with it and begins before `pointer`.
        let word =
            length >= 8
            ? Word.load(pointer - (8 - rest)) >> UInt64((8 - rest) * 8)
            : Word.load(pointer, count: rest)
        let flags = Word.escapes(word) & Word.mask(rest)
        if flags == 0 {
            unchecked(word: word, length: rest)
        } else {
            uncheckedEscaping(word, rest, flags)
        }
    }

    /// Appends the lowest `length` bytes of a word in which `flags` has found one to escape.
    @inline(never)
    private mutating func uncheckedEscaping(_ word: UInt64, _ length: Int, _ flags: UInt64) {
        var word = word
        var rest = length
        var flags = flags
        while flags != 0 {
            let plain = flags.trailingZeroBitCount >> 3
            unchecked(word: word, length: plain)
            // In two steps: a shift by 64 would leave the word as it is.
            word >>= UInt64(plain * 8)
            uncheckedEscape(UInt8(truncatingIfNeeded: word))
            word >>= 8
            rest -= plain + 1
            flags = rest == 0 ? 0 : Word.escapes(word) & Word.mask(rest)
        }
        unchecked(word: word, length: rest)
    }

    /// Appends one byte that has to be escaped.
    private mutating func uncheckedEscape(_ byte: UInt8) {
        unchecked(UInt8(ascii: "\\"))
        if let letter = Escape.letter(byte) {
            unchecked(letter)
        } else {
            unchecked("u00")
            unchecked(Escape.hexDigit(byte >> 4))
            unchecked(Escape.hexDigit(byte & 15))
        }
    }
}

/// What stands for a byte in a JSON string.
enum Escape {
    /// The letter behind the backslash; `nil` where only `\u00XX` will do.
    static func letter(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): byte
        case 0x08: UInt8(ascii: "b")
        case 0x09: UInt8(ascii: "t")
        case 0x0A: UInt8(ascii: "n")
        case 0x0C: UInt8(ascii: "f")
        case 0x0D: UInt8(ascii: "r")
        default: nil
        }
    }

    /// A lower-case hexadecimal digit of a value below 16.
    @inline(__always)
    static func hexDigit(_ value: UInt8) -> UInt8 {
        value + (value < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
    }
}
