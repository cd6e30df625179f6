// SPDX-License-Identifier: Apache-2.0

import BatchJobs
import Testing

@Suite struct CopyTextTests {
    private static func values(_ record: String) -> [String?] {
        Array(record.utf8).withUnsafeBytes { CopyText.values(of: $0) }
    }

    @Test func `values, NULL and the empty string are told apart`() {
        #expect(Self.values("a\t\\N\t\tb\n") == ["a", nil, "", "b"])
        #expect(Self.values("\n") == [""])
        #expect(Self.values("\\N\n") == [nil])
        #expect(Self.values("\t\n") == ["", ""])
    }

    @Test func `escapes are what the server writes for its own bytes`() {
        #expect(
            Self.values("a\\tb\\nc\\rd\\\\e\\bf\\fg\\vh\t\\\\N\n")
                == ["a\tb\nc\rd\\e\u{8}f\u{C}g\u{B}h", "\\N"]
        )
    }

    @Test func `what is put together comes apart as it was`() {
        let values: [String?] = [
            "", nil, "\\N", "tab\there", "line\nend\r", "\\", "ü€😀", "\u{8}\u{B}\u{C}\u{7F}",
        ]
        var record: [UInt8] = []
        for (place, value) in values.enumerated() {
            if place > 0 { record.append(UInt8(ascii: "\t")) }
            CopyText.append(value, to: &record)
        }
        record.append(UInt8(ascii: "\n"))
        #expect(record.filter { $0 == UInt8(ascii: "\n") }.count == 1)
        #expect(record.withUnsafeBytes { CopyText.values(of: $0) } == values)
    }

    @Test func `bytes that are no text are shown as such`() {
        let record: [UInt8] = [0x61, 0xFF, 0x62, 0x0A]
        #expect(record.withUnsafeBytes { CopyText.values(of: $0) } == ["a\u{FFFD}b"])
    }
}
