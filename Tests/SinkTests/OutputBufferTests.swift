// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Sink
import Testing

@Suite struct OutputBufferTests {
    @Test func `content survives growth, and a cut leaves its beginning`() {
        var buffer = OutputBuffer(capacity: 0)
        var expected: [UInt8] = []
        for index in 0..<1000 {
            let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: index % 17)
            bytes.withUnsafeBytes { buffer.append($0) }
            expected += bytes
        }
        #expect(buffer.withUnsafeBytes { Array($0) } == expected)
        buffer.truncate(to: 100)
        #expect(buffer.withUnsafeBytes { Array($0) } == Array(expected.prefix(100)))
    }

    @Test func `an emptied buffer keeps its memory up to the limit`() {
        var buffer = OutputBuffer(capacity: 1 << 16)
        buffer.removeAll(keepingUpTo: 1 << 16)
        #expect(buffer.capacity == 1 << 16)
        buffer.reserve(1 << 20)
        #expect(buffer.capacity >= 1 << 20)
        buffer.removeAll(keepingUpTo: 1 << 16)
        #expect(buffer.count == 0 && buffer.capacity == 1 << 16)
    }

    @Test func `more relation versions than are kept prepared are encoded right`() throws {
        var encoder = testEncoder()
        for version in Array(1...1500) + [1, 700, 1500] {
            var batch = ChangeBatch()
            batch.addRelation(
                "t\(version)",
                version: UInt64(version),
                columns: [("c\(version)", .array(element: .integer, delimiter: 0x2C), true)]
            )
            batch.addChange(.insert, new: [.text("{\(version)}")])
            var buffer = OutputBuffer()
            try encoder.encode(batch, changes: 0..<1, at: testNow, into: &buffer)
            #expect(buffer.string.contains(#""after":{"c\#(version)":[\#(version)]}"#))
            #expect(buffer.string.contains(#""table":"t\#(version)""#))
        }
    }
}
