// SPDX-License-Identifier: Apache-2.0
//
// The merge of two sorted streams, and of what changed in between, against a model of sets.

import Testing

@testable import Verify

/// Rows from a list.
private final class ListedRows: RowSequence {
    private var rows: ArraySlice<HashedRow>
    private(set) var key: RowKey = []
    private(set) var value: Int64 = 0
    var label: String { isCounted ? "row" : "" }
    private let isCounted: Bool

    init(_ rows: [HashedRow], isCounted: Bool = false) {
        self.rows = rows.sorted(by: HashedRow.precedes)[...]
        self.isCounted = isCounted
    }

    func advance() -> Bool {
        guard let row = rows.popFirst() else { return false }
        (key, value) = (row.key, row.value)
        return true
    }
}

@Suite struct RowComparisonTests {
    private static let shape = KeyShape(parts: [KeyShape.Part(name: "id", isNumber: true)])

    private func rows(_ table: [Int64: Int64]) -> [HashedRow] {
        table.map { HashedRow(key: key($0), value: $1) }
    }

    private func key(_ number: Int64) -> RowKey {
        var key: RowKey = []
        KeyShape.append(number, to: &key)
        return key
    }

    private func random(_ count: Int) -> [Int64: Int64] {
        var table: [Int64: Int64] = [:]
        for _ in 0..<count { table[.random(in: -30...30)] = .random(in: 1...3) }
        return table
    }

    @Test func `source, changes and target come to what a model says`() throws {
        for round in 0..<400 {
            let source = random(round % 50)
            let changes = random(round % 7)
            let gone = Set((0..<(round % 5)).map { _ in Int64.random(in: -30...30) })
            let target = random(round % 50)
            var expected = source
            for (id, value) in changes { expected[id] = value }
            for id in gone { expected[id] = nil }
            let touched = Set(changes.keys).union(gone)
            let overlay = RowOverlay(
                touched: rows(source.filter { touched.contains($0.key) })
                    .sorted(by: HashedRow.precedes),
                rows: rows(changes.filter { !gone.contains($0.key) })
                    .sorted(by: HashedRow.precedes)
            )
            var found = Differences(shape: Self.shape, keyRoom: 10_000)
            try RowComparison.run(
                expected: ExpectedRows(
                    ListedRows(rows(source)),
                    overlay: overlay,
                    isCounted: false
                ),
                actual: ListedRows(rows(target)),
                isCounted: false,
                into: &found
            )
            let missing = expected.keys.filter { target[$0] == nil }
            let extra = target.keys.filter { expected[$0] == nil }
            let changed = expected.keys.filter { id in
                target[id] != nil && target[id] != expected[id]
            }
            #expect(found.missing == missing.count)
            #expect(found.extra == extra.count)
            #expect(found.changed == changed.count)
            let differing = Set(missing).union(extra).union(changed)
            #expect(Set(found.keys) == Set(differing.map { key($0) }))
        }
    }

    @Test func `rows without a key are counted`() throws {
        let source: [Int64: Int64] = [1: 2, 2: 1, 3: 5, 4: 1]
        let overlay = RowOverlay(rows: rows([1: -2, 3: 1, 9: 2]).sorted(by: HashedRow.precedes))
        var found = Differences(shape: Self.shape, keyRoom: 1_000)
        try RowComparison.run(
            expected: ExpectedRows(
                ListedRows(rows(source), isCounted: true),
                overlay: overlay,
                isCounted: true
            ),
            actual: ListedRows(rows([1: 1, 2: 1, 3: 4, 9: 2]), isCounted: true),
            isCounted: true,
            into: &found
        )
        // 1 is gone and one copy is there; 3 should be there six times; 4 is not there.
        #expect((found.missing, found.extra, found.changed) == (3, 1, 0))
        #expect(found.ranges.count == 3)
    }

    @Test func `a key that the target has twice is one row too many`() throws {
        let twice = [HashedRow(key: key(1), value: 5), HashedRow(key: key(1), value: 6)]
        var found = Differences(shape: Self.shape, keyRoom: 1_000)
        try RowComparison.run(
            expected: ListedRows([HashedRow(key: key(1), value: 5)]),
            actual: ListedRows(twice),
            isCounted: false,
            into: &found
        )
        #expect((found.missing, found.extra, found.changed) == (0, 1, 0))
    }

    @Test func `neighbours are one range, and only so many ranges are kept`() {
        var found = Differences(shape: Self.shape, keyRoom: 5 * 12)
        for block in 0..<30 {
            for offset in 0..<3 { found.add(.missing, key(Int64(block * 10 + offset))) }
            found.addEqual()
        }
        #expect(found.ranges.count == 20 && found.moreRanges == 10)
        #expect(found.ranges[1].first == "10" && found.ranges[1].last == "12")
        #expect(found.ranges.allSatisfy { $0.missing == 3 })
        #expect(found.missing == 90)
        #expect(found.keys.count == 5)
        var whole = Differences(shape: Self.shape, keyRoom: 7 * 12 + 5)
        whole.append(found)
        whole.append(found)
        #expect(whole.missing == 180 && whole.keys.count == 7)
        #expect(whole.ranges.count == 20 && whole.moreRanges == 40)
    }

    @Test func `a range goes on over the end of a part where no key lies between`() {
        func part(_ keys: ClosedRange<Int64>, equalBefore: Bool = false) -> Differences {
            var part = Differences(shape: Self.shape, keyRoom: 0)
            if equalBefore { part.addEqual() }
            for id in keys { part.add(.missing, key(id)) }
            return part
        }
        var whole = Differences(shape: Self.shape, keyRoom: 0)
        whole.append(part(1...3))
        whole.append(part(4...9), isNext: true)
        whole.append(Differences(shape: Self.shape, keyRoom: 0), isNext: true)
        whole.append(part(10...12), isNext: true)
        whole.append(part(13...14, equalBefore: true), isNext: true)
        whole.append(part(15...15))
        #expect(whole.ranges.map(\.first) == ["1", "13", "15"])
        #expect(whole.ranges.map(\.last) == ["12", "14", "15"])
        #expect(whole.ranges.map(\.missing) == [12, 2, 1])
    }
}
