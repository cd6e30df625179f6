// SPDX-License-Identifier: Apache-2.0
//
// Keys as bytes that sort as the servers sort them, so that two sorted streams can be merged by
// comparing memory:
//
//   whole number   8 bytes, big-endian, the sign bit turned over
//   text           its UTF-8 bytes, then 0, which no text of PostgreSQL holds

import ChangeModel
import Glibc

/// A key in its sortable form.
typealias RowKey = [UInt8]

/// What the keys of one table are made of.
struct KeyShape: Sendable, Equatable {
    /// One of the key's columns.
    struct Part: Sendable, Equatable {
        /// The column's name, unquoted.
        var name: String
        /// Whether it sorts as a number.
        var isNumber: Bool
    }

    var parts: [Part]

    /// Appends one part; false where a number is due and the text is none.
    static func append(_ text: some Sequence<UInt8>, isNumber: Bool, to key: inout RowKey) -> Bool {
        guard isNumber else {
            key.append(contentsOf: text)
            key.append(0)
            return true
        }
        guard let number = parse(text) else { return false }
        append(number, to: &key)
        return true
    }

    /// Appends a whole number.
    static func append(_ number: Int64, to key: inout RowKey) {
        let bits = UInt64(bitPattern: number) ^ (1 << 63)
        for shift in stride(from: 56, through: 0, by: -8) {
            key.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
    }

    /// A decimal number; nil for anything else or one that does not fit.
    static func parse(_ text: some Sequence<UInt8>) -> Int64? {
        var isNegative = false
        var value: Int64 = 0
        var digits = 0
        for (index, byte) in text.enumerated() {
            if index == 0, byte == UInt8(ascii: "-") {
                isNegative = true
                continue
            }
            guard (48...57).contains(byte) else { return nil }
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            // Downwards: the least number has no positive counterpart.
            let (sum, isBeyond) = product.subtractingReportingOverflow(Int64(byte - 48))
            guard !isTooLarge, !isBeyond else { return nil }
            value = sum
            digits += 1
        }
        guard digits > 0, isNegative || value != .min else { return nil }
        return isNegative ? value : -value
    }

    /// The key of texts, one a part; nil where one is no number that has to be.
    func key(of texts: [String]) -> RowKey? {
        var key: RowKey = []
        for (part, text) in zip(parts, texts) {
            guard Self.append(text.utf8, isNumber: part.isNumber, to: &key) else { return nil }
        }
        return key
    }

    /// The texts of a key, one a part.
    func texts(of key: RowKey) -> [String] {
        var texts: [String] = []
        var rest = key[...]
        for part in parts {
            if part.isNumber {
                texts.append(String(Self.number(rest.prefix(8))))
                rest = rest.dropFirst(8)
            } else {
                let text = rest.prefix { $0 != 0 }
                texts.append(String(decoding: text, as: UTF8.self))
                rest = rest.dropFirst(text.count + 1)
            }
        }
        return texts
    }

    /// The number that a key begins with.
    static func number(_ bytes: some Sequence<UInt8>) -> Int64 {
        var bits: UInt64 = 0
        for byte in bytes.prefix(8) { bits = bits << 8 | UInt64(byte) }
        return Int64(bitPattern: bits ^ (1 << 63))
    }

    /// A key for people: `4711`, or `(4711,x)` where it has several parts; long ones are cut.
    func text(of key: RowKey) -> String {
        let texts = texts(of: key).map { $0.count > 60 ? "\($0.prefix(60))…" : $0 }
        return texts.count == 1 ? texts[0] : "(\(texts.joined(separator: ",")))"
    }

    /// Negative, zero or positive as the first key sorts before, with or behind the second.
    @inline(__always)
    static func compare(_ first: RowKey, _ second: RowKey) -> Int {
        let common = min(first.count, second.count)
        let order = first.withUnsafeBytes { first in
            second.withUnsafeBytes { second -> Int in
                guard let one = first.baseAddress, let other = second.baseAddress else { return 0 }
                return Int(memcmp(one, other, common))
            }
        }
        return order != 0 ? order : first.count - second.count
    }
}
