// SPDX-License-Identifier: Apache-2.0
//
// What no server sends: it becomes an error that names the place, never a trap and never a line
// that is not JSON.

import ChangeModel
import Foundation
import Sink
import Support
import Testing

private let comma: UInt8 = 0x2C
private let integers = ValueType.array(element: .integer, delimiter: comma)
private let texts = ValueType.array(element: .text, delimiter: comma)

@Suite struct MalformedValueTests {
    @Test(
        arguments: [
            (.boolean, ["", "x", "true", "tt"]),
            (.bit, ["", "2", "10"]),
            (
                .integer,
                [
                    "", "-", "+1", "01", "-01", "1.5", "1 ", "12345678x", "x2345678", "123456789a",
                    "--1",
                ]
                    + ["123456789012345678901", "1/", "1:"]
            ),
            (.float, ["", ".5", "5.", "1e", "nan", "inf", "0x1", "1e+", "01", "1,5"]),
            (.numeric(scale: 2), ["", ".5", "1e5", "abc", "1.", "-", "1..2"]),
            (.money, ["", "$", "1 EUR", "$1.2.3"]),
            (
                .date,
                ["", "2024", "2024-13-01", "2024-00-01", "2024-01-32", "24-01-01", "2024-01-01x"]
                    + ["2024-01-01 AD", "12345678-01-01", "Infinity"]
            ),
            (
                .time(precision: 6),
                ["", "12:00", "25:00:00", "12:60:00", "12:00:00.", "12:00:00.1234567"]
            ),
            (.timeWithZone(precision: 6), ["12:00:00", "12:00:00+", "12:00:00+2", "12:00:00+02:"]),
            (
                .timestamp(precision: 6),
                ["", "2024-01-01", "2024-01-01T00:00:00", "2024-01-01 00:00:00+00"]
                    + [
                        "2024-01-01 00:00:00.", "2024-01-01 00:00:0x",
                        "2024-01-01 00:00:00.1234567",
                    ]
            ),
            (
                .timestampWithZone(precision: 6),
                ["", "2024-01-01 00:00:00", "2024-01-01 00:00:00.+00", "2024-01-01 00:00:00+0"]
            ),
            (
                .interval,
                ["", "P", "PT", "1 day", "P1", "P1H", "PT1D", "P1.5D", "PT1.1234567S", "P1M2"]
            ),
            (.binary, ["", "abc", "\\x0", "\\x0g", "\\xzz", "0x00"]),
            (
                .hstore,
                ["a", "\"a\"", "\"a\"=>", "\"a\"=>1", "\"a\"=>\"1\",", "\"a\"=>\"1\"\"", "\"a\\"]
            ),
            (
                integers,
                ["", "{", "}", "1", "{1", "{1,}", "{,1}", "{1}}", "{{1}", "{1}x", "{x}", "{1 2}"]
                    + ["[0:1={1}", "[0:1]", "[x]={1}", "{{{{{{{1}}}}}}}", "{1\\}", "{\"1}"]
            ),
            (texts, ["{\"a}", "{\"a\\\"}", "{\"a\\", "{a\"b}", "{a\\b}", "{\"a\"b}", "{a,,b}"]),
        ] as [(ValueType, [String])]
    )
    func `a text that is not of its type is an error`(type: ValueType, values: [String]) {
        for value in values {
            for format in formats {
                let error = #expect(throws: WalrelayError.self, "\(type) \(value)") {
                    _ = try json(type, .text(value), format: format)
                }
                #expect(error?.code == "value.malformed")
                #expect(error?.exit == .internalError)
            }
        }
    }

    @Test func `precise decimals must fit their declared scale`() {
        for (scale, text) in [(1, "1.25"), (-2, "12345"), (0, "1.5")] {
            #expect(throws: WalrelayError.self) {
                _ = try json(
                    .numeric(scale: scale),
                    .text(text),
                    format: ValueFormat(decimals: .precise)
                )
            }
        }
    }

    @Test func `the error names table, column and position but not the value`() {
        var batch = ChangeBatch()
        batch.addRelation(columns: [("id", .integer, true), ("n", .integer, false)])
        batch.addChange(.insert, new: ["1", "2"])
        batch.addChange(.insert, new: ["2", "secret"], lsn: LSN(0x16_B374_D848))
        var encoder = testEncoder()
        var buffer = OutputBuffer()
        var caught: WalrelayError?
        do throws(WalrelayError) {
            try encoder.encode(batch, changes: 0..<2, at: testNow, into: &buffer)
        } catch {
            caught = error
        }
        #expect(caught?.message.contains("\"n\" of table public.items, LSN 16/B374D848") == true)
        #expect(caught?.message.contains("secret") == false)
        // What is in the buffer is the whole line of the first change.
        #expect(buffer.string.hasSuffix("}\n"))
        #expect(buffer.string.split(separator: "\n").count == 1)
    }

    @Test func `a batch that contradicts itself is an error`() {
        var whole = ChangeBatch()
        whole.addRelation(columns: [("id", .integer, true), ("n", .text, false)])
        whole.addChange(.update, new: ["1", "2"], old: (.full, ["1", "3"]))
        let spoil: [(inout ChangeBatch) -> Void] = [
            { $0.changes[0].relation = 1 },
            { $0.changes[0].relation = -1 },
            { $0.changes[0].transaction = 9 },
            { $0.changes[0].newCells = 3 },
            { $0.changes[0].oldCells = UInt32.max },
            { $0.cells[3].offset = 4_000_000_000 },
            { $0.cells[3].length = Int32.max },
            { $0.bytes.removeAll() },
        ]
        for change in spoil {
            var batch = whole
            change(&batch)
            let error = #expect(throws: WalrelayError.self) { _ = try lines(of: batch) }
            #expect(error?.code == "batch.inconsistent")
        }
    }

    @Test func `text that is not UTF-8 is refused where that is asked for`() throws {
        let faulty: [[UInt8]] = [
            [0xFF], [0x80], [0xC3], [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80],
            [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0xF0, 0x9F, 0x9A], [0xE2, 0x28, 0xA1],
        ]
        for sequence in faulty {
            for prefix in [0, 7, 8, 9] {
                let text = [UInt8](repeating: 0x61, count: prefix) + sequence
                let error = #expect(throws: WalrelayError.self) {
                    _ = try json(.text, .text(text), validatesUTF8: true)
                }
                #expect(error?.code == "value.encoding")
                #expect(error?.exit == .refused)
            }
        }
        let sound = "aé€𝄞 grüße 東京 \u{10FFFF}\u{800}\u{D7FF}"
        #expect(try json(.text, .text(sound), validatesUTF8: true) == "\"\(sound)\"")
    }

    @Test func `mutated values never trap and never spoil a line`() throws {
        var random = SeededGenerator(seed: 20_260_612)
        let alphabet = Array("0123456789+-.:\\\"{}[],;= TZBCxPYMDHSeE=>NULLinfyt$a\u{1}".utf8)
        for round in 0..<20_000 {
            let (type, text) = samples[round % samples.count]
            var bytes = Array(text.utf8)
            for _ in 0...Int.random(in: 0..<3, using: &random) {
                let place = Int.random(in: 0...bytes.count, using: &random)
                let byte = alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes.insert(byte, at: place)
                case 1 where place < bytes.count: bytes.remove(at: place)
                case 2 where place < bytes.count: bytes[place] = byte
                default: bytes = Array(bytes.prefix(place))
                }
            }
            let format = formats[round % formats.count]
            do throws(WalrelayError) {
                let value = try json(type, .text(bytes), format: format)
                let isJSON =
                    (try? JSONSerialization.jsonObject(
                        with: Data(value.utf8),
                        options: .fragmentsAllowed
                    )) != nil
                // JSON's syntax allows for 1e999, Foundation's reader does not.
                #expect(
                    isJSON || Double(value)?.isInfinite == true,
                    "seed 20260612, round \(round): \(value)"
                )
            } catch {
                #expect(error.code == "value.malformed")
            }
        }
    }

    private let formats = [
        ValueFormat(),
        ValueFormat(decimals: .precise, temporal: .epoch, binary: .hex),
        ValueFormat(decimals: .double, temporal: .epoch),
    ]

    private let samples: [(ValueType, String)] = [
        (.integer, "-1234567890"), (.float, "1.5e-10"), (.numeric(scale: 2), "-123456.78"),
        (.numeric(scale: nil), "12345678901234567890.5"), (.numeric(scale: -3), "120000"),
        (.money, "-$1,234.56"), (.date, "0044-03-15 BC"), (.time(precision: 3), "12:34:56.789"),
        (.timeWithZone(precision: 6), "01:02:03.5-15:59:59"),
        (.timestamp(precision: 6), "2024-01-01 12:34:56.123456"),
        (.timestampWithZone(precision: 6), "2024-01-01 12:34:56.123+00"),
        (.timestampWithZone(precision: 6), "0044-03-15 12:34:56+05:53:28 BC"),
        (.interval, "P1Y2M-3DT4H5M6.789S"), (.binary, "\\x00ff10"), (.bit, "1"), (.boolean, "t"),
        (.hstore, #""a"=>"q\"z", "b"=>NULL"#), (integers, "[0:1][1:2]={{1,NULL},{3,4}}"),
        (texts, #"{"a\"b",NULL,"c\\d",x}"#), (.text, "plain \"text\" \\ with escapes"),
        (.array(element: integers, delimiter: comma), #"{"{1,2}","{3}"}"#),
        (.array(element: texts, delimiter: comma), #"{"{\"a\\\"b\",c}"}"#),
    ]
}
