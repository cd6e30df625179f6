// SPDX-License-Identifier: Apache-2.0
//
// bytea: hexadecimal digits in, base64 or hexadecimal digits out, without the bytes in between.

import ChangeModel

extension OutputBuffer {
    /// Appends bytea as bytea_output = hex prints it, `\x00ff`; false where it is not so.
    mutating func appendBinary(_ text: Bytes, as format: ValueFormat.Binary) -> Bool {
        guard text.hasPrefix("\\x"), text.count % 2 == 0 else { return false }
        let digits = text.part(2..<text.count)
        reserve(digits.count + 8)
        unchecked(UInt8(ascii: "\""))
        let isHex = format == .hex ? uncheckedHex(digits) : uncheckedBase64(hex: digits)
        unchecked(UInt8(ascii: "\""))
        return isHex
    }

    private mutating func uncheckedHex(_ digits: Bytes) -> Bool {
        for digit in digits {
            guard let value = Hex.value(digit) else { return false }
            unchecked(Escape.hexDigit(value))
        }
        return true
    }

    private mutating func uncheckedBase64(hex digits: Bytes) -> Bool {
        var index = 0
        while index < digits.count {
            var group: UInt32 = 0
            let length = min(3, (digits.count - index) / 2)
            for _ in 0..<length {
                guard let high = Hex.value(digits[index]), let low = Hex.value(digits[index + 1])
                else { return false }
                group = group << 8 | UInt32(high << 4 | low)
                index += 2
            }
            uncheckedBase64(group << UInt32((3 - length) * 8), bytes: length)
        }
        return true
    }

    /// Appends bytes as base64 in quotes.
    mutating func appendBase64(_ bytes: Bytes) {
        reserve((bytes.count + 2) / 3 * 4 + 2)
        unchecked(UInt8(ascii: "\""))
        var index = 0
        while index < bytes.count {
            var group: UInt32 = 0
            let length = min(3, bytes.count - index)
            for _ in 0..<length {
                group = group << 8 | UInt32(bytes[index])
                index += 1
            }
            uncheckedBase64(group << UInt32((3 - length) * 8), bytes: length)
        }
        unchecked(UInt8(ascii: "\""))
    }

    /// Appends the four characters of three bytes, or of fewer and padding.
    @inline(__always)
    private mutating func uncheckedBase64(_ group: UInt32, bytes: Int) {
        for place in 0..<4 {
            let value = UInt8(truncatingIfNeeded: group >> UInt32(18 - 6 * place)) & 63
            unchecked(place <= bytes ? Self.base64Digit(value) : UInt8(ascii: "="))
        }
    }

    @inline(__always)
    private static func base64Digit(_ value: UInt8) -> UInt8 {
        switch value {
        case ..<26: UInt8(ascii: "A") + value
        case ..<52: UInt8(ascii: "a") + value - 26
        case ..<62: UInt8(ascii: "0") + value - 52
        case 62: UInt8(ascii: "+")
        default: UInt8(ascii: "/")
        }
    }
}

/// Hexadecimal digits.
enum Hex {
    /// The value of a digit; `nil` where it is none.
    @inline(__always)
    static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
