// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Support
import Testing

@testable import PostgresSink

struct RowIndexTests {
    @Test func `entries are found again while the slots grow`() {
        var index = RowIndex(capacity: 1)
        var numbers = SeededGenerator(seed: 1)
        let hashes = (0..<5_000).map { _ in numbers.next() }
        for (entry, hash) in hashes.enumerated() {
            #expect(index.find(hash) { $0 == entry } == -1)
            _ = index.append(hash)
        }
        #expect(
            hashes.enumerated().allSatisfy { pair in
                index.find(pair.element) { $0 == pair.offset } == pair.offset
            }
        )
        #expect(index.count == 5_000)
    }

    @Test func `equal hashes are told apart by who asks`() {
        var index = RowIndex()
        let entries = (0..<20).map { _ in index.append(7) }
        #expect(entries == Array(0..<20))
        for entry in 0..<20 { #expect(index.find(7) { $0 == entry } == entry) }
        #expect(index.find(7) { _ in false } == -1)
    }

    @Test func `hashes that differ in their upper half only do not hide each other`() {
        var index = RowIndex(capacity: 4)
        for upper in 0..<64 { _ = index.append(UInt64(upper) << 58 | 3) }
        for upper in 0..<64 {
            #expect(index.find(UInt64(upper) << 58 | 3) { _ in true } == upper)
        }
    }

    @Test func `what was forgotten is not found, however often`() {
        var index = RowIndex(capacity: 4)
        for round in 0..<140_000 {
            // The first is asked for again when the generations' numbers come round.
            let hash: UInt64 = round == 0 ? 5 : 6
            let isKnown = index.find(5) { _ in true } >= 0 || index.find(6) { _ in true } >= 0
            guard !isKnown, index.append(hash) == 0 else {
                Issue.record("found in round \(round)")
                return
            }
            index.removeAll()
        }
        #expect(index.count == 0)
    }

    @Test func `cells are the same where length and every byte are`() throws {
        for length in 0..<70 {
            let value = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            // The value twice, then as often with one byte changed.
            var arena = value + value
            for place in 0..<length {
                var other = value
                other[place] ^= 0x80
                arena += other
            }
            arena.append(0)
            let cells = (0..<(length + 2)).map {
                Cell(offset: UInt32($0 * length), length: Int32(length))
            }
            try withRowBytes(arena, cells) { bytes in
                #expect(bytes.areSame(cells[0], cells[1]))
                #expect(bytes.hash(cells[0], after: 9) == bytes.hash(cells[1], after: 9))
                #expect(bytes.hash(cells[0], after: 9) != bytes.hash(cells[1], after: 8))
                for cell in cells.dropFirst(2) {
                    #expect(!bytes.areSame(cells[0], cell))
                    #expect(bytes.hash(cells[0], after: 9) != bytes.hash(cell, after: 9))
                }
            }
        }
    }

    @Test func `NULL, an empty text and zero bytes are three things`() throws {
        let cells: [Cell] = [
            .null, .unchanged, .absent, Cell(offset: 0, length: 0), Cell(offset: 0, length: 1),
            Cell(offset: 0, length: 2), Cell(offset: 0, length: 8), Cell(offset: 0, length: 16),
        ]
        try withRowBytes([UInt8](repeating: 0, count: 16), cells) { bytes in
            for one in cells {
                for other in cells where one != other {
                    #expect(!bytes.areSame(one, other))
                    #expect(bytes.hash(one, after: 1) != bytes.hash(other, after: 1))
                }
            }
        }
    }

    @Test func `masks of the same columns are equal`() {
        #expect(ColumnMask(words: [0, 0][...]) == .none)
        #expect(ColumnMask.none.isEmpty && !ColumnMask.none.contains(0))
        let mask = ColumnMask(words: [1 << 63, 1][...])
        #expect((0..<200).filter { mask.contains($0) } == [63, 64])
        #expect(mask != ColumnMask(words: [1 << 63][...]))
    }

    private func withRowBytes(
        _ arena: [UInt8],
        _ cells: [Cell],
        _ body: (RowBytes) -> Void
    ) throws {
        try arena.withUnsafeBytes { arena in
            try cells.withUnsafeBufferPointer { cells in
                body(try #require(RowBytes(bytes: arena, cells: cells, secrets: HashSecrets())))
            }
        }
    }
}
