// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct CopyRowDecoderTests {
    /// The row's columns as text, decoded behind what the arena and the cells already hold.
    private func columns(_ row: String, _ count: Int) throws(DecodeError) -> [String] {
        try columns(Array(row.utf8), count)
    }

    private func columns(_ row: [UInt8], _ count: Int) throws(DecodeError) -> [String] {
        var decoded = Decoded(arena: [9, 9, 9], cells: [.unchanged])
        do throws(DecodeError) {
            try CopyRowDecoder.decode(
                row.span,
                columnCount: count,
                into: &decoded.arena,
                cells: &decoded.cells
            )
        } catch {
            #expect(decoded.arena == [9, 9, 9] && decoded.cells == [.unchanged])
            throw error
        }
        #expect(decoded.arena.prefix(3) == [9, 9, 9] && decoded.cells.first == .unchanged)
        return decoded.texts(TupleCells(first: 1, count: UInt16(decoded.cells.count - 1)))
    }

    private func fault(_ row: String, _ count: Int) -> DecodeError? {
        do throws(DecodeError) {
            let decoded = try columns(row, count)
            Issue.record("decoded as \(decoded)")
            return nil
        } catch {
            #expect(error.subject == .copyRow)
            #expect((0...row.utf8.count).contains(error.offset))
            return error
        }
    }

    @Test(
        arguments: [
            ("1\n", ["1"]), ("1", ["1"]), ("\n", [""]), ("", [""]),
            ("a\tb\n", ["a", "b"]), ("\t\n", ["", ""]), ("\t\t", ["", "", ""]),
            (
                "12345678\t17\t\tÅngström and some more\n",
                ["12345678", "17", "", "Ångström and some more"]
            ),
            ("\\N\n", ["<null>"]), ("\\N\t\\N", ["<null>", "<null>"]),
            ("1234567\t\\N\tnote\n", ["1234567", "<null>", "note"]),
            ("\\\\N\n", ["\\N"]), ("a\\N", ["aN"]), ("\\Na\t\\N", ["Na", "<null>"]),
            ("x\t\\N\ta\\tb\t\\N\n", ["x", "<null>", "a\tb", "<null>"]),
            ("\\b\\f\\n\\r\\t\\v\\\\\n", ["\u{8}\u{C}\n\r\t\u{B}\\"]),
            ("long enough\\nfor words\tand\\tmore\n", ["long enough\nfor words", "and\tmore"]),
            ("\\101\\1019\\18\\0617", ["AA9\u{1}817"]), ("\\501", ["A"]),
            ("\\x41\\x4a5\\x4g\\xg", ["AJ5\u{4}gxg"]), ("\\q\\.\\'", ["q.'"]), ("\\N.", ["N."]),
            ("\\x", ["x"]), ("\\\t", ["\t"]),
        ] as [(String, [String])]
    )
    func `of COPY give the values that the table holds`(row: String, expected: [String]) throws {
        #expect(try columns(row, expected.count) == expected)
    }

    @Test func `without columns are empty`() throws {
        #expect(try columns("\n", 0) == [])
        #expect(try columns("", 0) == [])
        #expect(fault("a\n", 0)?.offset == 0)
        #expect(fault("\t\n", 0)?.offset == 0)
    }

    @Test func `are read the same wherever a special byte falls in a word`() throws {
        for length in 0..<40 {
            let filler =
                String(repeating: "é", count: length / 2)
                + String(repeating: "a", count: length % 2)
            let plain = try columns("\(filler)\t\(filler)\n", 2)
            #expect(plain == [filler, filler])
            let null = try columns("\(filler)\t\\N\t\(filler)", 3)
            #expect(null == [filler, "<null>", filler])
            let escaped = try columns("\(filler)\\\\\t\\t\(filler)\n", 2)
            #expect(escaped == ["\(filler)\\", "\t\(filler)"])
        }
    }

    @Test func `with every byte but the special ones are copied as they stand`() throws {
        for byte in UInt8.min...UInt8.max where !"\t\n\\".utf8.contains(byte) {
            var decoded = Decoded()
            let row = [UInt8](repeating: byte, count: 9)
            try CopyRowDecoder.decode(
                row.span,
                columnCount: 1,
                into: &decoded.arena,
                cells: &decoded.cells
            )
            #expect(decoded.arena == row)
            #expect(decoded.cells == [Cell(offset: 0, length: 9)])
        }
    }

    @Test(
        arguments: [
            ("a\tb\n", 3, 3, "1 more columns"), ("a\n", 3, 1, "2 more columns"),
            ("a\\n\tb", 3, 5, "1 more columns"), ("", 2, 0, "1 more columns"),
            ("a\tb\tc", 2, 3, "the row's last column"),
            ("a\\n\tb\t", 2, 5, "the row's last column"),
            ("\t", 1, 0, "the row's last column"),
            ("a\nb\tc\n", 2, 1, "a value without a raw line feed"),
            ("\\n\nb", 1, 2, "a value without a raw line feed"),
            ("abc\\", 1, 4, "a character after the backslash"),
            ("a\t\\\n", 2, 3, "a character after the backslash"),
            ("\\.\n", 1, 0, "a row"),
        ] as [(String, Int, Int, String)]
    )
    func `that are malformed are refused at the byte`(
        row: String,
        count: Int,
        offset: Int,
        expected: String
    ) {
        let error = fault(row, count)
        #expect(error?.offset == offset)
        #expect(error?.expected == expected)
    }
}
