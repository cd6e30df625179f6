// SPDX-License-Identifier: Apache-2.0
//
// Text to binary values at the edges of each type: what the server prints is taken, and one step
// beyond it is not.

import ChangeModel
import Testing

@testable import PostgresSink

struct BinaryValueTests {
    /// The bytes of a value without its length; `nil` where it is not understood.
    private static func bytes(_ kind: BinaryValue, _ text: String) -> [UInt8]? {
        var buffer = WireBuffer()
        let source = Array(text.utf8)
        buffer.reserve(source.count + BinaryValue.extraBytes)
        let isKnown = source.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return false }
            return buffer.uncheckedBinary(kind, base, source.count)
        }
        let result = buffer.withUnsafeBytes { Array($0) }
        guard isKnown else {
            #expect(result.isEmpty)
            return nil
        }
        let length = result.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        #expect(length == result.count - 4)
        return Array(result.dropFirst(4))
    }

    /// The bytes as one number with a sign.
    private static func number(_ kind: BinaryValue, _ text: String) -> Int64? {
        guard let bytes = bytes(kind, text), let first = bytes.first else { return nil }
        return bytes.dropFirst().reduce(Int64(Int8(bitPattern: first))) { $0 << 8 | Int64($1) }
    }

    @Test(
        arguments: [
            (.int2, "-32768", -32768), (.int2, "32767", 32767), (.int2, "0", 0),
            (.int2, "-32769", nil), (.int2, "32768", nil),
            (.int4, "-2147483648", -2_147_483_648), (.int4, "2147483647", 2_147_483_647),
            (.int4, "-1", -1), (.int4, "-2147483649", nil), (.int4, "2147483648", nil),
            (.int8, "-9223372036854775808", .min), (.int8, "9223372036854775807", .max),
            (.int8, "-9223372036854775809", nil), (.int8, "9223372036854775808", nil),
            (.int8, "9999999999999999999", nil), (.int8, "10000000000000000000", nil),
            (.int8, "-99999999999999999999999", nil), (.int8, "18446744073709551616", nil),
            (.oid, "0", 0), (.oid, "4294967295", -1), (.oid, "4294967296", nil), (.oid, "-1", nil),
            (.int4, "-", nil), (.int4, "+1", nil), (.int4, " 1", nil), (.int4, "1 ", nil),
            (.int4, "1.0", nil), (.int4, "0x1", nil), (.int4, "1_0", nil), (.int4, "é", nil),
            (.bool, "t", 1), (.bool, "f", 0), (.bool, "true", nil), (.bool, "1", nil),
        ] as [(BinaryValue, String, Int64?)]
    )
    func `whole numbers up to their limits`(kind: BinaryValue, text: String, value: Int64?) {
        #expect(Self.number(kind, text) == value)
    }

    @Test(
        arguments: [
            ("2000-01-01", 0), ("1999-12-31", -1), ("2000-02-29", 59), ("2000-03-01", 60),
            ("1970-01-01", -10957), ("2026-01-05", 9501), ("0001-01-01", -730_119),
            ("0001-12-31 BC", -730_120), ("0001-02-29 BC", -730_426),
            ("4714-11-24 BC", -2_451_545), ("4714-11-23 BC", nil),
            ("5874897-12-31", 2_145_031_948), ("5874898-01-01", nil), ("9999999-01-01", nil),
            ("10000-01-01", 2_921_940), ("infinity", Int64(Int32.max)),
            ("-infinity", Int64(Int32.min)), ("1900-02-29", nil), ("2100-02-29", nil),
            ("2024-02-29", 8825), ("2023-02-29", nil), ("0002-02-29 BC", nil),
            ("2023-04-31", nil), ("2023-12-32", nil), ("2023-00-01", nil), ("2023-01-00", nil),
            ("2023-13-01", nil), ("0000-01-01", nil), ("0000-01-01 BC", nil), ("999-01-01", nil),
            ("-2023-01-01", nil), ("2023-1-01", nil), ("2023-01-1", nil), ("2023/01/01", nil),
            ("2023-01-01 AD", nil), ("2023-01-01BC", nil), (" BC", nil), ("2023-01-01 ", nil),
            ("20230101", nil), ("12345678-01-01", nil), ("Infinity", nil), ("infinity ", nil),
            ("2023-01", nil), ("2023-01-01 00:00:00", nil), ("today", nil), ("2", nil),
        ] as [(String, Int64?)]
    )
    func `days of the calendar`(text: String, value: Int64?) {
        #expect(Self.number(.date, text) == value)
    }

    @Test(
        arguments: [
            ("2000-01-01 00:00:00", "", 0), ("2000-01-01 00:00:01", "", 1_000_000),
            ("1999-12-31 23:59:59.999999", "", -1), ("2000-01-01 00:00:00.1", "", 100_000),
            ("2000-01-01 00:00:00.12", "", 120_000), ("2000-01-01 00:00:00.123", "", 123_000),
            ("2000-01-01 00:00:00.0123", "", 12_300), ("2000-01-01 00:00:00.12345", "", 123_450),
            ("2000-01-01 00:00:00.000001", "", 1), ("2000-01-01 23:59:59", "", 86_399_000_000),
            ("2026-01-05 12:00:00.123456", "", 820_929_600_123_456),
            ("4714-11-24 00:00:00", " BC", -211_813_488_000_000_000),
            ("4714-11-23 23:59:59.999999", " BC", nil),
            ("294276-12-31 23:59:59.999999", "", 9_223_371_331_199_999_999),
            ("294277-01-01 00:00:00", "", nil), ("5874897-01-01 00:00:00", "", nil),
            ("2000-01-01 24:00:00", "", nil), ("2000-01-01 23:60:00", "", nil),
            ("2000-01-01 23:59:60", "", nil), ("2000-01-01 00:00:00.", "", nil),
            ("2000-01-01 00:00:00.1234567", "", nil), ("2000-01-01 00:00:00.12a", "", nil),
            ("2000-01-01 00:00:0", "", nil), ("2000-01-01T00:00:00", "", nil),
            ("2000-01-01 00-00-00", "", nil), ("2000-01-01 00:00:00,5", "", nil),
            ("2000-01-01 0a:00:00", "", nil), ("2000-01-01 ", "", nil), ("2000-01-01", "", nil),
            ("2001-02-29 00:00:00", "", nil),
        ] as [(String, String, Int64?)]
    )
    func `times with and without a zone`(text: String, era: String, value: Int64?) {
        #expect(Self.number(.timestamp, text + era) == value)
        #expect(Self.number(.timestamptz, text + "+00" + era) == value)
        #expect(Self.number(.timestamp, text + "+00" + era) == nil)
        for zone in ["", "-00", "+01", "+0", "+00:30", "Z", " +00", "+00 ", "+00 AD"] {
            #expect(Self.number(.timestamptz, text + zone + era) == nil)
        }
    }

    @Test(arguments: [BinaryValue.timestamp, .timestamptz])
    func `times without end`(kind: BinaryValue) {
        #expect(Self.number(kind, "infinity") == .max)
        #expect(Self.number(kind, "-infinity") == .min)
        for text in ["-", "inf", "+infinity", "-infinity BC", "+00", "+00 BC", "infinity+00"] {
            #expect(Self.number(kind, text) == nil)
        }
    }

    @Test func `bytes and UUIDs in hexadecimal`() {
        #expect(Self.bytes(.bytea, "\\x00ffA9") == [0x00, 0xFF, 0xA9])
        #expect(Self.bytes(.bytea, "\\x") == [])
        for text in ["\\x0", "\\x0g", "x00", "00", "\\", "\\000", "\\x0 ", "\\xé"] {
            #expect(Self.bytes(.bytea, text) == nil)
        }
        let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        let bytes: [UInt8] = [
            0xA0, 0xEE, 0xBC, 0x99, 0x9C, 0x0B, 0x4E, 0xF8, 0xBB, 0x6D, 0x6B, 0xB9, 0xBD, 0x38,
            0x0A, 0x11,
        ]
        #expect(Self.bytes(.uuid, uuid) == bytes)
        #expect(Self.bytes(.uuid, uuid.uppercased()) == bytes)
        for text in [
            "{\(uuid)}", String(uuid.dropLast()), uuid + "0", uuid.filter { $0 != "-" },
            "a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ] {
            #expect(Self.bytes(.uuid, text) == nil)
        }
    }

    @Test func `text is taken as it is`() {
        for text in ["a", "\\x\t\n\\N", "é漢🎈", String(repeating: "x", count: 100_000)] {
            #expect(Self.bytes(.bytes, text) == Array(text.utf8))
        }
    }
}
