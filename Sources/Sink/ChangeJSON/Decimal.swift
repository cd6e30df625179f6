// SPDX-License-Identifier: Apache-2.0
//
// numeric and money in the three ways that the settings offer. `precise` is what Kafka Connect's
// Decimal puts into JSON: base64 over the unscaled value as a big-endian two's complement number of
// the fewest bytes; where no scale is declared, an object that tells the value's own, as Debezium's
// VariableScaleDecimal.

import ChangeModel

/// Numbers larger than a register, made digit by digit; the memory is kept from value to value.
struct BigInteger {
    /// More digits than PostgreSQL's numeric can have (131,072 before and 16,383 behind the point).
    static let digitLimit = 150_000

    /// The magnitude, lowest limb first.
    private var limbs: [UInt64] = []

    init() {}

    /// Makes the number zero.
    mutating func clear() {
        limbs.removeAll(keepingCapacity: limbs.capacity <= 1024)
    }

    /// Multiplies with `factor` and adds `summand`.
    mutating func multiply(by factor: UInt64, adding summand: UInt64) {
        var carry = summand
        for index in limbs.indices {
            let (high, low) = limbs[index].multipliedFullWidth(by: factor)
            let (sum, overflow) = low.addingReportingOverflow(carry)
            limbs[index] = sum
            carry = high &+ (overflow ? 1 : 0)
        }
        if carry != 0 { limbs.append(carry) }
    }

    /// Appends the number, negated on request, in two's complement, highest byte first.
    func append(negated: Bool, to buffer: inout OutputBuffer) {
        var byteCount = limbs.count * 8
        while byteCount > 0, magnitudeByte(byteCount - 1) == 0 { byteCount -= 1 }
        // One byte more where the highest bit would read as the wrong sign; -128 needs none.
        let top = byteCount == 0 ? 0 : magnitudeByte(byteCount - 1)
        let isPowerOfTwo =
            top == 0x80 && (0..<(byteCount - 1)).allSatisfy { magnitudeByte($0) == 0 }
        if byteCount == 0 || top > 0x80 || (top == 0x80 && !(negated && isPowerOfTwo)) {
            byteCount += 1
        }
        buffer.reserve(byteCount)
        let first = buffer.end
        var carry: UInt16 = 1
        for index in 0..<byteCount {
            var byte = magnitudeByte(index)
            if negated {
                let sum = UInt16(~byte) + carry
                byte = UInt8(truncatingIfNeeded: sum)
                carry = sum >> 8
            }
            first[byteCount - 1 - index] = byte
        }
        buffer.count += byteCount
    }

    private func magnitudeByte(_ index: Int) -> UInt8 {
        let limb = index >> 3
        guard limb < limbs.count else { return 0 }
        return UInt8(truncatingIfNeeded: limbs[limb] >> UInt64((index & 7) * 8))
    }
}

/// What decimals are made with; kept from value to value.
struct DecimalWorkspace: ~Copyable {
    var number = BigInteger()
    var bytes = OutputBuffer(capacity: 256)
}

extension OutputBuffer {
    /// Appends a numeric; false where the text is none.
    mutating func appendDecimal(
        _ text: Bytes,
        scale: Int?,
        as format: ValueFormat.Decimals,
        _ workspace: inout DecimalWorkspace
    ) -> Bool {
        guard let number = NumberText(text), !number.hasExponent else {
            return appendNotFinite(text)
        }
        switch format {
        case .string:
            appendQuoted(text)
            return true
        case .double:
            // 1.8e308 is the largest double: what has more digits could be read as infinity.
            if number.whole.count <= 308 {
                append(text)
            } else {
                appendQuoted(text)
            }
            return true
        case .precise:
            return appendPrecise(text, number, scale: scale, &workspace)
        }
    }

    /// Appends money as lc_monetary = C prints it: `-$1,234.56`; false where it is not so.
    mutating func appendMoney(
        _ text: Bytes,
        as format: ValueFormat.Decimals,
        _ workspace: inout DecimalWorkspace
    ) -> Bool {
        guard text.count <= 32 else { return false }
        // The workspace's bytes are used again by `precise`: the plain text goes on the stack.
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { plain in
            var length = 0
            for byte in text where byte != UInt8(ascii: "$") && byte != UInt8(ascii: ",") {
                plain[length] = byte
                length += 1
            }
            return appendDecimal(
                Bytes(rebasing: plain[..<length]),
                scale: 2,
                as: format,
                &workspace
            )
        }
    }

    /// Appends text that is known to need no escape, in quotes.
    private mutating func appendQuoted(_ text: Bytes) {
        reserve(text.count + 2)
        unchecked(UInt8(ascii: "\""))
        if let base = text.baseAddress { unchecked(base, text.count) }
        unchecked(UInt8(ascii: "\""))
    }

    private mutating func appendPrecise(
        _ text: Bytes,
        _ number: NumberText,
        scale: Int?,
        _ workspace: inout DecimalWorkspace
    ) -> Bool {
        guard text.count <= BigInteger.digitLimit else { return false }
        workspace.number.clear()
        let fraction = number.fraction.count
        let padding = (scale ?? fraction) - fraction
        // A negative scale leaves out zeros of the whole part, a positive one adds some.
        var digits = Digits(limit: padding < 0 ? number.whole.count + fraction + padding : .max)
        guard digits.push(text.part(number.whole), onto: &workspace.number),
            digits.push(text.part(number.fraction), onto: &workspace.number)
        else { return false }
        if padding > 0 {
            guard padding <= 2048 else { return false }
            digits.pushZeros(padding, onto: &workspace.number)
        }
        digits.flush(onto: &workspace.number)
        workspace.bytes.removeAll()
        workspace.number.append(negated: number.isNegative, to: &workspace.bytes)
        if scale == nil {
            reserve(64)
            unchecked("{\"scale\":")
            unchecked(decimal: UInt64(fraction))
            unchecked(",\"value\":")
        }
        appendBase64(workspace.bytes.bytes)
        if scale == nil { append("}") }
        return true
    }

    /// Decimal digits on their way into a big number, eighteen at a time.
    private struct Digits {
        private var value: UInt64 = 0
        private var factor: UInt64 = 1

        /// How many more digits belong to the number; only zeros may follow.
        private var limit: Int

        init(limit: Int) { self.limit = limit }

        /// Takes digits; false where one behind the limit is not zero.
        mutating func push(_ text: Bytes, onto number: inout BigInteger) -> Bool {
            for character in text {
                let digit = character &- UInt8(ascii: "0")
                guard limit > 0 else {
                    guard digit == 0 else { return false }
                    continue
                }
                limit -= 1
                push(digit, onto: &number)
            }
            return true
        }

        mutating func pushZeros(_ count: Int, onto number: inout BigInteger) {
            for _ in 0..<count { push(0, onto: &number) }
        }

        private mutating func push(_ digit: UInt8, onto number: inout BigInteger) {
            value = value &* 10 &+ UInt64(digit)
            factor = factor &* 10
            if factor == 1_000_000_000_000_000_000 { flush(onto: &number) }
        }

        mutating func flush(onto number: inout BigInteger) {
            number.multiply(by: factor, adding: value)
            value = 0
            factor = 1
        }
    }
}
