// SPDX-License-Identifier: Apache-2.0
//
// A reader of one line of JSON that keeps numbers as they are written: a comparison with the
// source must not go through Double. It walks from token to token with memchr, for tests read
// hundreds of thousands of lines in debug builds. It shares no code with the encoder under test.
import Glibc

/// A column's value as the event holds it.
public enum JSONValue: Sendable, Hashable {
    /// JSON null.
    case null
    /// A string, unescaped.
    case string(String)
    /// Anything else, as it is written: a number, true, false, an array, an object.
    case raw(String)

    /// The text without quotes, or nil for null.
    public var text: String? {
        switch self {
        case .null: nil
        case .string(let text), .raw(let text): text
        }
    }

    /// Equal only where every character is the same.
    var exact: JSONValue {
        if case .string(let text) = self { return .string(text.exact) }
        return self
    }
}

/// A cursor over the bytes of one line.
struct JSONLine {
    private let base: UnsafeRawPointer
    private let count: Int
    private(set) var position = 0

    /// `bytes` must outlive the cursor.
    init(_ bytes: UnsafeRawBufferPointer) throws {
        guard let base = bytes.baseAddress else { throw SupportError("the line is empty") }
        self.base = base
        count = bytes.count
    }

    private var byte: UInt8 {
        position < count ? base.load(fromByteOffset: position, as: UInt8.self) : 0
    }

    private mutating func skipSpace() {
        var next = byte
        guard next <= 0x20 else { return }
        while next == 0x20 || next == 0x09 || next == 0x0d || next == 0x0a {
            position += 1
            next = byte
        }
    }

    private func text(_ start: Int, _ end: Int) -> String {
        let bytes = UnsafeRawBufferPointer(start: base + start, count: end - start)
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func expect(_ character: Unicode.Scalar) throws {
        skipSpace()
        guard byte == UInt8(ascii: character) else {
            throw SupportError("'\(character)' is missing at byte \(position)")
        }
        position += 1
    }

    /// Calls `body` at each value of an object; it must consume the value.
    mutating func object(_ body: (inout JSONLine, String) throws -> Void) throws {
        try expect("{")
        skipSpace()
        if byte == UInt8(ascii: "}") {
            position += 1
            return
        }
        while true {
            skipSpace()
            let name = try string()
            try expect(":")
            skipSpace()
            try body(&self, name)
            skipSpace()
            if byte == UInt8(ascii: ",") {
                position += 1
                continue
            }
            return try expect("}")
        }
    }

    /// Whether a null stands here; consumes it then.
    mutating func null() throws -> Bool {
        guard byte == UInt8(ascii: "n") else { return false }
        guard try literal() == "null" else { throw SupportError("no value at byte \(position)") }
        return true
    }

    /// A whole object of columns, or nil for null.
    mutating func row() throws -> [String: JSONValue]? {
        if try null() { return nil }
        var row: [String: JSONValue] = [:]
        try object { line, name in
            guard row.updateValue(try line.value(), forKey: name) == nil else {
                throw SupportError("\"\(name)\" stands twice")
            }
        }
        return row
    }

    /// Any value.
    mutating func value() throws -> JSONValue {
        skipSpace()
        switch byte {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            let start = position
            try skipNested()
            return .raw(text(start, position))
        default:
            let text = try literal()
            if text == "null" { return .null }
            guard text == "true" || text == "false" || Double(text) != nil else {
                throw SupportError("\"\(text)\" before byte \(position) is no value")
            }
            return .raw(text)
        }
    }

    /// Throws unless only white space is left.
    mutating func end() throws {
        skipSpace()
        guard position == count else {
            throw SupportError("\(count - position) bytes follow the value")
        }
    }

    private mutating func literal() throws -> String {
        let start = position
        while position < count, !Self.ends(byte) { position += 1 }
        guard position > start else { throw SupportError("no value at byte \(position)") }
        return text(start, position)
    }

    private static func ends(_ byte: UInt8) -> Bool {
        byte == 0x2c || byte == 0x7d || byte == 0x5d || byte <= 0x20
    }

    private mutating func skipNested() throws {
        var depth = 0
        repeat {
            switch byte {
            case UInt8(ascii: "\""): _ = try string()
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                position += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth -= 1
                position += 1
            default:
                guard position < count else { throw SupportError("the line ends too early") }
                position += 1
            }
        } while depth > 0
    }

    /// The offset of `needle` at or after `start` and before `end`.
    private func find(_ needle: Unicode.Scalar, from start: Int, to end: Int) -> Int? {
        guard start < end, let found = memchr(base + start, Int32(needle.value), end - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    /// A string; the cursor stands on its first quote.
    mutating func string() throws -> String {
        guard byte == UInt8(ascii: "\"") else {
            throw SupportError("a string is missing at byte \(position)")
        }
        let start = position + 1
        guard let quote = find("\"", from: start, to: count) else {
            throw SupportError("the string at byte \(position) does not end")
        }
        guard find("\\", from: start, to: quote) != nil else {
            position = quote + 1
            return text(start, quote)
        }
        return try escapedString(from: start)
    }

    private mutating func escapedString(from start: Int) throws -> String {
        var units: [UInt8] = []
        position = start
        while byte != UInt8(ascii: "\"") {
            guard position < count else { throw SupportError("a string does not end") }
            if byte == UInt8(ascii: "\\") {
                position += 1
                try escape(into: &units)
            } else {
                units.append(byte)
                position += 1
            }
        }
        position += 1
        return String(decoding: units, as: UTF8.self)
    }

    private mutating func escape(into units: inout [UInt8]) throws {
        let kind = byte
        position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): units.append(kind)
        case UInt8(ascii: "b"): units.append(0x08)
        case UInt8(ascii: "f"): units.append(0x0c)
        case UInt8(ascii: "n"): units.append(0x0a)
        case UInt8(ascii: "r"): units.append(0x0d)
        case UInt8(ascii: "t"): units.append(0x09)
        case UInt8(ascii: "u"):
            var code = try fourDigits()
            if (0xd800..<0xdc00).contains(code), byte == UInt8(ascii: "\\") {
                position += 2
                code = 0x10000 + (code - 0xd800) << 10 + (try fourDigits() - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else {
                throw SupportError("half a surrogate pair before byte \(position)")
            }
            units.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw SupportError("an unknown escape before byte \(position)")
        }
    }

    private mutating func fourDigits() throws -> UInt32 {
        guard position + 4 <= count,
            let code = UInt32(
                text(position, position + 4),
                radix: 16
            )
        else { throw SupportError("four digits are missing at byte \(position)") }
        position += 4
        return code
    }
}
