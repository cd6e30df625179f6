// SPDX-License-Identifier: Apache-2.0
//
// Values that JSON can say and the declared type of `schemas: true` cannot. A reader of typed JSON
// makes 0 of the string "infinity" without a word, so under a schema each value is of its type, or
// there is no event:
//
//   date, epoch       infinity is the largest and the least number, as PostgreSQL stores it
//   timestamp, epoch  infinity is Debezium's number for it; years that do not fit are the largest
//   interval, epoch   infinity is the largest and the least number
//   double            a decimal that is larger than any double is Infinity
//   refused           NaN and infinities of precise decimals, arrays of several dimensions, whole
//                     numbers beyond 64 bits with sign

import ChangeModel

/// What the declared type of a value leaves out.
enum ValueLimit: UInt8 {
    case none
    case days
    case milliseconds
    case microseconds
    case duration
    case double
    case decimal
    case wholeNumber
    case dimensions

    /// The limit of a type's values in one format; `oid` is the type's own, 0 where unknown.
    init(_ type: ValueType, oid: UInt32, format: ValueFormat) {
        let isEpoch = format.temporal == .epoch
        self =
            switch type {
            case .date where isEpoch: .days
            case .timestamp(let digits) where isEpoch: digits <= 3 ? .milliseconds : .microseconds
            case .interval where isEpoch: .duration
            case .numeric, .money:
                switch format.decimals {
                case .string: .none
                case .double: .double
                case .precise: .decimal
                }
            case .integer: Self.smallIntegers.contains(oid) ? .none : .wholeNumber
            case .array: .dimensions
            default: .none
            }
    }

    /// int2, int4, int8, oid, xid, cid.
    private static let smallIntegers: Set<UInt32> = [20, 21, 23, 26, 28, 29]
}

extension ValueWriter {
    /// Appends a value that its declared type holds; false where the text is not of its type, or
    /// its type cannot hold it (`isBeyondType`).
    mutating func appendLimited(
        _ text: Bytes,
        as code: ValueCode,
        to buffer: inout OutputBuffer
    ) -> Bool {
        let start = buffer.count
        var plain = code
        plain.operation = code.limitedOperation
        guard append(text, as: plain, to: &buffer) else { return false }
        let isText = buffer.bytes[start] == UInt8(ascii: "\"")
        let isNegative = text.first == UInt8(ascii: "-")
        switch code.limit {
        case .none: break
        case .days where isText:
            buffer.replace(from: start, with: isNegative ? -0x8000_0000 : 0x7FFF_FFFF)
        case .microseconds where isText:
            buffer.replace(from: start, with: isNegative ? Infinity.before : Infinity.after)
        case .milliseconds where isText:
            buffer.replace(
                from: start,
                with: (isNegative ? Infinity.before : Infinity.after) / 1000
            )
        case .duration where isText:
            buffer.replace(from: start, with: isNegative ? .min : .max)
        case .days, .duration: break
        case .microseconds, .milliseconds:
            // The years behind 294246; none before the first lies beyond.
            if !buffer.isInt64(from: start) { buffer.replace(from: start, with: .max) }
        case .double:
            if isText, text.first != UInt8(ascii: "N") {
                buffer.truncate(to: start)
                buffer.append(isNegative ? "\"-Infinity\"" : "\"Infinity\"")
            }
        case .decimal:
            // What is not finite is what is not made of digits.
            let last = text.last ?? 0
            isBeyondType = last &- UInt8(ascii: "0") > 9
        case .wholeNumber:
            isBeyondType = !buffer.isInt64(from: start)
        case .dimensions:
            isBeyondType = Self.hasSeveralDimensions(text)
        }
        return !isBeyondType
    }

    /// Whether an array that was read without a fault has braces right in its braces: what is an
    /// array in an element stands in quotes.
    private static func hasSeveralDimensions(_ text: Bytes) -> Bool {
        var index = 0
        while index < text.count, text[index] != UInt8(ascii: "{") { index += 1 }
        return index + 1 < text.count && text[index + 1] == UInt8(ascii: "{")
    }
}

/// Debezium's microseconds for a timestamp that is infinite.
private enum Infinity {
    static let after: Int64 = 9_223_372_036_825_200_000
    static let before: Int64 = -9_223_372_036_832_400_000
}

extension OutputBuffer {
    /// Overwrites all from `start` on with a number.
    fileprivate mutating func replace(from start: Int, with number: Int64) {
        truncate(to: start)
        append(decimal: number)
    }

    /// Whether the digits from `start` on are a number of 64 bits with sign.
    fileprivate func isInt64(from start: Int) -> Bool {
        let digits = bytes.part(start..<count)
        guard digits.count > 18 else { return true }
        var value: Int64 = 0
        let isNegative = digits[0] == UInt8(ascii: "-")
        for digit in digits.dropFirst(isNegative ? 1 : 0) {
            let step = Int64(digit &- UInt8(ascii: "0"))
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(isNegative ? -step : step)
            guard !overflow, !carry else { return false }
            value = sum
        }
        return true
    }
}
