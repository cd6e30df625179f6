// SPDX-License-Identifier: Apache-2.0

/// A position in the write-ahead log: a byte address, written `16/B374D848`.
public struct LSN: Sendable, Hashable, Comparable, RawRepresentable {
    /// Bytes since the beginning of the log.
    public var rawValue: UInt64

    /// A position at a byte address.
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// A position at a byte address.
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// The position that PostgreSQL calls invalid; it lies before every other.
    public static let zero = LSN(0)
    /// The last position there could be, which no WAL comes to.
    public static let max = LSN(.max)

    /// Parses `XXXXXXXX/XXXXXXXX`: one to eight hexadecimal digits on each side, nothing else.
    public init?(_ text: some StringProtocol) {
        let halves = text.utf8.split(
            separator: UInt8(ascii: "/"),
            maxSplits: 1,
            omittingEmptySubsequences: false
        )
        guard halves.count == 2, let high = Self.half(halves[0]), let low = Self.half(halves[1])
        else { return nil }
        rawValue = UInt64(high) << 32 | UInt64(low)
    }

    private static func half(_ digits: some Collection<UInt8>) -> UInt32? {
        guard (1...8).contains(digits.count) else { return nil }
        var value: UInt32 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(digit - 48)
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(digit - 87)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(digit - 55)
            default: return nil
            }
        }
        return value
    }

    /// Whether one position lies before another.
    @inlinable
    public static func < (left: LSN, right: LSN) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The bytes between an earlier position and this one; 0 where `earlier` is not earlier.
    public func bytes(since earlier: LSN) -> UInt64 {
        self > earlier ? rawValue - earlier.rawValue : 0
    }
}

extension LSN: CustomStringConvertible {
    /// PostgreSQL's own text, upper-case hexadecimal without leading zeros: `16/B374D848`.
    public var description: String {
        String(rawValue >> 32, radix: 16, uppercase: true) + "/"
            + String(rawValue & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }
}

extension LSN: Codable {
    /// Decodes the `X/Y` text.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let lsn = LSN(text) else {
            throw DecodingError.dataCorruptedError(
                in: container,
                debugDescription: "\"\(text)\" is not an LSN such as 16/B374D848"
            )
        }
        self = lsn
    }

    /// Encodes the `X/Y` text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
