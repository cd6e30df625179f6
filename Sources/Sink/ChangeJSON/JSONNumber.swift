// SPDX-License-Identifier: Apache-2.0
//
// Numbers. PostgreSQL prints integers, floats and numerics in what is JSON's own syntax already,
// so they are copied; each is checked while it passes, since one byte that is not a number would
// spoil the whole line for a consumer.

extension Word {
    /// Whether the lowest `count` (0 to 7) bytes are all decimal digits.
    @inline(__always)
    static func areDigits(_ word: UInt64, count: Int) -> Bool {
        areDigits(word & mask(count) | (ones &* 0x30) & ~mask(count))
    }

    /// Whether all eight bytes are decimal digits.
    @inline(__always)
    static func areDigits(_ word: UInt64) -> Bool {
        let value = word ^ (ones &* 0x30)
        return ((value &+ (ones &* 0x76)) | value) & highs == 0
    }

    /// The eight decimal digits, 0 to 9 each, of a number below 100,000,000; the first one lowest.
    ///
    /// Each step divides all parts at once: by multiplying with 2^20/100 and 2^10/10, rounded up,
    /// which is exact for parts of four and of two digits.
    @inline(__always)
    static func digits(of value: UInt64) -> UInt64 {
        let fours = value / 10_000 | (value % 10_000) << 32
        let hundreds = ((fours &* 10_486) >> 20) & 0x0000_007F_0000_007F
        let twos = hundreds | (fours &- hundreds &* 100) << 16
        let tens = ((twos &* 103) >> 10) & 0x000F_000F_000F_000F
        return tens | (twos &- tens &* 10) << 8
    }
}

extension OutputBuffer {
    /// Appends an unsigned number.
    @inline(__always)
    mutating func unchecked(decimal value: UInt64) {
        if value < 10 {
            unchecked(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value))
        } else {
            uncheckedDecimal(value)
        }
    }

    @inline(never)
    private mutating func uncheckedDecimal(_ value: UInt64) {
        guard value >= 100_000_000 else {
            // Leading zeros stand in the lowest bytes.
            let digits = Word.digits(of: value)
            let zeros = digits.trailingZeroBitCount >> 3
            unchecked(word: (digits | Word.ones &* 0x30) >> UInt64(zeros * 8), length: 8 - zeros)
            return
        }
        let (rest, low) = value.quotientAndRemainder(dividingBy: 100_000_000)
        uncheckedDecimal(rest)
        unchecked(word: Word.digits(of: low) | Word.ones &* 0x30, length: 8)
    }

    /// Appends a signed number.
    mutating func unchecked(decimal value: Int64) {
        if value < 0 { unchecked(UInt8(ascii: "-")) }
        unchecked(decimal: value.magnitude)
    }

    /// Appends an integer as it is printed; false where it is none.
    @inline(__always)
    mutating func appendInteger(_ text: Bytes) -> Bool {
        guard var pointer = text.baseAddress, text.count <= 20, text.count > 0 else { return false }
        var length = text.count
        reserve(24)
        if pointer[0] == UInt8(ascii: "-") {
            unchecked(UInt8(ascii: "-"))
            pointer += 1
            length -= 1
        }
        // JSON knows no leading zeros.
        guard length > 0, length == 1 || pointer[0] != UInt8(ascii: "0") else { return false }
        while length >= 8 {
            let word = Word.load(pointer)
            guard Word.areDigits(word) else { return false }
            unchecked(word: word, length: 8)
            pointer += 8
            length -= 8
        }
        let word = Word.load(pointer, count: length)
        guard Word.areDigits(word, count: length) else { return false }
        unchecked(word: word, length: length)
        return true
    }

    /// Appends a float: a number, or NaN and the infinities as strings; false where it is none.
    mutating func appendFloat(_ text: Bytes) -> Bool {
        if NumberText(text) != nil {
            append(text)
            return true
        }
        return appendNotFinite(text)
    }

    /// Appends `"NaN"`, `"Infinity"` or `"-Infinity"`; false where the text is none of them.
    mutating func appendNotFinite(_ text: Bytes) -> Bool {
        guard text.equals("NaN") || text.equals("Infinity") || text.equals("-Infinity") else {
            return false
        }
        appendText(text)
        return true
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Whether these are exactly the bytes of `text`.
    func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && hasPrefix(text)
    }

    /// Whether these begin with the bytes of `text`.
    func hasPrefix(_ text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount else { return false }
        for index in 0..<text.utf8CodeUnitCount where self[index] != text.utf8Start[index] {
            return false
        }
        return true
    }

    /// The bytes of a range, which must lie within.
    @inline(__always)
    func part(_ range: Range<Int>) -> Bytes {
        Bytes(rebasing: self[range])
    }
}

/// Where the parts of a number in JSON's syntax stand.
struct NumberText {
    /// Whether it begins with `-`.
    let isNegative: Bool
    /// The digits before the point.
    let whole: Range<Int>
    /// The digits behind the point; empty where there is no point.
    let fraction: Range<Int>
    /// Whether there is an exponent.
    let hasExponent: Bool

    /// `nil` where the text is not a number as JSON writes it.
    init?(_ text: Bytes) {
        var index = 0
        isNegative = text.first == UInt8(ascii: "-")
        if isNegative { index += 1 }
        whole = Self.digits(text, from: index)
        guard !whole.isEmpty, whole.count == 1 || text[whole.lowerBound] != UInt8(ascii: "0")
        else { return nil }
        index = whole.upperBound
        if index < text.count, text[index] == UInt8(ascii: ".") {
            fraction = Self.digits(text, from: index + 1)
            guard !fraction.isEmpty else { return nil }
            index = fraction.upperBound
        } else {
            fraction = index..<index
        }
        hasExponent = index < text.count && text[index] | 0x20 == UInt8(ascii: "e")
        if hasExponent {
            index += 1
            if index < text.count,
                text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-")
            {
                index += 1
            }
            let exponent = Self.digits(text, from: index)
            guard !exponent.isEmpty else { return nil }
            index = exponent.upperBound
        }
        guard index == text.count else { return nil }
    }

    private static func digits(_ text: Bytes, from start: Int) -> Range<Int> {
        var index = start
        while index < text.count, text[index] &- UInt8(ascii: "0") <= 9 { index += 1 }
        return start..<index
    }
}
