// SPDX-License-Identifier: Apache-2.0
//
// Values of common types from the server's text to the server's binary form, as its own receive
// functions take it. Only what the server prints under the pinned settings is understood, byte by
// byte; of everything else this says that it does not know it, and the text goes as it is.

import ChangeModel

/// How the text of a type's values becomes their binary form.
enum BinaryValue: UInt8, Sendable {
    case bool, int2, int4, int8, oid, bytes, bytea, date, timestamp, timestamptz, uuid

    /// The way of a built-in type; `nil` where only text will do.
    ///
    /// Two servers agree on the number and on the form of each.
    init?(typeOID: UInt32) {
        switch typeOID {
        case 16: self = .bool
        case 17: self = .bytea
        case 20: self = .int8
        case 21: self = .int2
        case 23: self = .int4
        case 26: self = .oid
        // text, json, char(n), varchar(n): receiving applies the length as the cast from text does.
        case 25, 114, 1042, 1043: self = .bytes
        case 1082: self = .date
        case 1114: self = .timestamp
        case 1184: self = .timestamptz
        case 2950: self = .uuid
        default: return nil
        }
    }

    /// Bytes that are to be reserved for a value beyond those of its text, its length included.
    static let extraBytes = 16
}

extension WireBuffer {
    /// Appends a value with its length, for which `extraBytes` and its own length are reserved.
    ///
    /// False where the text is not what the server prints; nothing is appended then. `length` is
    /// above 0.
    @inline(__always)
    mutating func uncheckedBinary(
        _ kind: BinaryValue,
        _ text: UnsafeRawPointer,
        _ length: Int
    ) -> Bool {
        let bytes = UnsafeRawBufferPointer(start: text, count: length)
        switch kind {
        case .bytes:
            unchecked(Int32(truncatingIfNeeded: length))
            unchecked(text, length)
        case .int4:
            guard let number = BinaryText.integer(bytes), let value = Int32(exactly: number)
            else { return false }
            uncheckedFixed(value)
        case .int8:
            guard let value = BinaryText.integer(bytes) else { return false }
            uncheckedFixed(value)
        case .timestamptz:
            guard let value = BinaryText.timestamp(bytes, hasZone: true) else { return false }
            uncheckedFixed(value)
        case .timestamp:
            guard let value = BinaryText.timestamp(bytes, hasZone: false) else { return false }
            uncheckedFixed(value)
        case .bool:
            guard length == 1, bytes[0] == UInt8(ascii: "t") || bytes[0] == UInt8(ascii: "f")
            else { return false }
            uncheckedFixed(Int8(bytes[0] == UInt8(ascii: "t") ? 1 : 0))
        case .int2:
            guard let number = BinaryText.integer(bytes), let value = Int16(exactly: number)
            else { return false }
            uncheckedFixed(value)
        case .oid:
            guard let number = BinaryText.integer(bytes), let value = UInt32(exactly: number)
            else { return false }
            uncheckedFixed(value)
        case .date:
            guard let value = BinaryText.date(bytes) else { return false }
            uncheckedFixed(value)
        case .bytea: return uncheckedHex(bytes)
        case .uuid: return uncheckedUUID(bytes)
        }
        return true
    }

    @inline(__always)
    private mutating func uncheckedFixed(_ value: some FixedWidthInteger) {
        let size = value.bitWidth >> 3
        unchecked(Int32(truncatingIfNeeded: size))
        end.storeBytes(of: value.bigEndian, as: type(of: value))
        advance(size)
    }

    private mutating func uncheckedHex(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count >= 2, text.count & 1 == 0, text[0] == UInt8(ascii: "\\"),
            text[1] == UInt8(ascii: "x")
        else { return false }
        let size = (text.count - 2) / 2
        let place = end + 4
        for index in 0..<size {
            guard let byte = BinaryText.hexByte(text, 2 + index * 2) else { return false }
            place.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
        unchecked(Int32(truncatingIfNeeded: size))
        advance(size)
        return true
    }

    private mutating func uncheckedUUID(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count == 36 else { return false }
        let place = end + 4
        var next = 0
        for index in 0..<16 {
            if index == 4 || index == 6 || index == 8 || index == 10 {
                guard text[next] == UInt8(ascii: "-") else { return false }
                next += 1
            }
            guard let byte = BinaryText.hexByte(text, next) else { return false }
            place.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
            next += 2
        }
        unchecked(Int32(16))
        advance(16)
        return true
    }
}

/// Reads what the server prints; `nil` for everything else.
enum BinaryText {
    /// Days from 2000-01-01 to 4714-11-24 BC, the first that the server knows.
    private static let firstDay: Int64 = -2_451_545
    /// Days from 2000-01-01 to 5874898-01-01, which a date does not reach.
    private static let dateEnd: Int64 = 2_145_031_949
    /// Days from 2000-01-01 to 294277-01-01, which a timestamp does not reach.
    private static let timestampEnd: Int64 = 106_751_983

    /// A whole number of 64 bits: digits, with `-` before them below zero.
    @inline(__always)
    static func integer(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard let base = text.baseAddress else { return nil }
        var next = base
        let end = base + text.count
        var isNegative = false
        if next < end, next.load(as: UInt8.self) == UInt8(ascii: "-") {
            isNegative = true
            next += 1
        }
        // 19 digits stay below 2^64.
        guard next < end, end - next <= 19 else { return nil }
        var magnitude: UInt64 = 0
        while next < end {
            let digit = next.load(as: UInt8.self) &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            magnitude = magnitude &* 10 &+ UInt64(digit)
            next += 1
        }
        if isNegative {
            guard magnitude <= Int64.min.magnitude else { return nil }
            return Int64(truncatingIfNeeded: 0 &- magnitude)
        }
        return Int64(exactly: magnitude)
    }

    /// Days since 2000-01-01: `2026-01-05`, `0044-03-15 BC`, `infinity`, `-infinity`.
    static func date(_ text: UnsafeRawBufferPointer) -> Int32? {
        guard let first = text.first else { return nil }
        guard isDigit(first) else {
            if isInfinity(text) { return Int32.max }
            return isMinusInfinity(text) ? Int32.min : nil
        }
        let isBC = endsBC(text)
        let end = isBC ? text.count - 3 : text.count
        var next = 0
        guard let days = days(text, &next, end, isBC: isBC), next == end, days < dateEnd
        else { return nil }
        return Int32(exactly: days)
    }

    /// Microseconds since 2000-01-01: `2026-01-05 12:00:00.5+00`, `0044-03-15 00:00:00+00 BC`.
    ///
    /// Without the `+00` where it has no zone; another zone is not understood.
    @inline(__always)
    static func timestamp(_ text: UnsafeRawBufferPointer, hasZone: Bool) -> Int64? {
        guard let first = text.first else { return nil }
        guard isDigit(first) else {
            if isInfinity(text) { return Int64.max }
            return isMinusInfinity(text) ? Int64.min : nil
        }
        let isBC = endsBC(text)
        var end = isBC ? text.count - 3 : text.count
        if hasZone {
            guard end > 3, text[end - 3] == UInt8(ascii: "+"), text[end - 2] == UInt8(ascii: "0"),
                text[end - 1] == UInt8(ascii: "0")
            else { return nil }
            end -= 3
        }
        var next = 0
        guard let days = days(text, &next, end, isBC: isBC), days < timestampEnd, next < end,
            text[next] == UInt8(ascii: " "),
            let time = timeOfDay(text, next + 1, end)
        else { return nil }
        return days * 86_400_000_000 + time
    }

    /// Microseconds since midnight of `12:00:00` with up to six digits of a fraction.
    @inline(__always)
    private static func timeOfDay(
        _ text: UnsafeRawBufferPointer,
        _ start: Int,
        _ end: Int
    ) -> Int64? {
        guard end - start >= 8, text[start + 2] == UInt8(ascii: ":"),
            text[start + 5] == UInt8(ascii: ":")
        else { return nil }
        let (hour, minute) = (pair(text, start), pair(text, start + 3))
        let second = pair(text, start + 6)
        guard hour < 24, minute < 60, second < 60 else { return nil }
        let time = Int64(hour * 3_600 + minute * 60 + second) * 1_000_000
        var next = start + 8
        guard next < end else { return time }
        guard text[next] == UInt8(ascii: "."), end - next >= 2, end - next <= 7 else { return nil }
        next += 1
        var fraction: Int64 = 0
        for place in 0..<6 {
            var digit: UInt8 = 0
            if next + place < end {
                digit = text[next + place] &- UInt8(ascii: "0")
                guard digit <= 9 else { return nil }
            }
            fraction = fraction * 10 + Int64(digit)
        }
        return time + fraction
    }

    /// Days from 2000-01-01 to a day of the Gregorian calendar that the server may know.
    ///
    /// Moves `next` behind it.
    @inline(__always)
    private static func days(
        _ text: UnsafeRawBufferPointer,
        _ next: inout Int,
        _ end: Int,
        isBC: Bool
    ) -> Int64? {
        var year: Int64 = 0
        let start = next
        while next < end, next - start < 8, isDigit(text[next]) {
            year = year * 10 + Int64(text[next] &- UInt8(ascii: "0"))
            next += 1
        }
        guard next - start >= 4, next - start <= 7, end - next >= 6, year > 0,
            text[next] == UInt8(ascii: "-"), text[next + 3] == UInt8(ascii: "-")
        else { return nil }
        let (month, day) = (Int64(pair(text, next + 1)), Int64(pair(text, next + 4)))
        next += 6
        // 1 BC is the year 0.
        if isBC { year = 1 - year }
        guard month >= 1, month <= 12, day >= 1, day <= length(ofMonth: month, in: year)
        else { return nil }
        // Years that begin in March, from 4800 BC on, which eras of 400 years divide.
        let shifted = year + 4_800 - (month <= 2 ? 1 : 0)
        let (era, yearOfEra) = (shifted / 400, shifted % 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 2_483_589
        return shifted >= 0 && days >= firstDay ? days : nil
    }

    @inline(__always)
    private static func length(ofMonth month: Int64, in year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// A byte in hexadecimal.
    @inline(__always)
    static func hexByte(_ text: UnsafeRawBufferPointer, _ place: Int) -> UInt8? {
        let (high, low) = (hexDigit(text[place]), hexDigit(text[place + 1]))
        return high | low < 16 ? high << 4 | low : nil
    }

    /// 255 for what is no digit.
    @inline(__always)
    private static func hexDigit(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- UInt8(ascii: "a") &+ 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- UInt8(ascii: "A") &+ 10
        default: 255
        }
    }

    /// Two digits; 255 for anything else.
    @inline(__always)
    private static func pair(_ text: UnsafeRawBufferPointer, _ place: Int) -> Int {
        let tens = text[place] &- UInt8(ascii: "0")
        let ones = text[place + 1] &- UInt8(ascii: "0")
        return tens <= 9 && ones <= 9 ? Int(tens * 10 + ones) : 255
    }

    @inline(__always)
    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") <= 9 }

    @inline(__always)
    private static func endsBC(_ text: UnsafeRawBufferPointer) -> Bool {
        let count = text.count
        return count > 3 && text[count - 1] == UInt8(ascii: "C")
            && text[count - 2] == UInt8(ascii: "B") && text[count - 3] == UInt8(ascii: " ")
    }

    private static func isInfinity(_ text: UnsafeRawBufferPointer) -> Bool {
        text.elementsEqual("infinity".utf8)
    }

    private static func isMinusInfinity(_ text: UnsafeRawBufferPointer) -> Bool {
        text.elementsEqual("-infinity".utf8)
    }
}
