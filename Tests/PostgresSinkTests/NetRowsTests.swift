// SPDX-License-Identifier: Apache-2.0
//
// Tables without a key: the rules by name, then random histories against a multiset of rows.

import ChangeModel
import Support
import Testing

@testable import PostgresSink

struct NetRowsTests {
    @Test func `an insert is one row more, a delete one less, an update both`() {
        let net = netRows {
            $0.insert(["1", "a", nil])
            $0.delete(full: ["2", "b", ""])
            $0.update(["3", "d", "x"], full: ["3", "c", "x"])
        }
        #expect(net == ["less 1 × 2|b|", "less 1 × 3|c|x", "more 1 × 1|a|null", "more 1 × 3|d|x"])
    }

    @Test func `equal rows are counted`() {
        let net = netRows {
            for _ in 0..<3 { $0.insert(["1", "a", "x"], kind: .read) }
            $0.delete(full: ["1", "a", "x"])
            for _ in 0..<4 { $0.delete(full: ["2", "a", "x"]) }
            $0.insert(["2", "a", "x"])
        }
        #expect(net == ["less 3 × 2|a|x", "more 2 × 1|a|x"])
    }

    @Test func `what comes and goes, in either order, is nothing`() {
        let net = netRows {
            $0.insert(["1", "a", "x"])
            $0.delete(full: ["1", "a", "x"])
            $0.delete(full: ["2", "a", "x"])
            $0.insert(["2", "a", "x"])
            $0.update(["3", "a", "x"], full: ["3", "a", "x"])
        }
        #expect(net.isEmpty)
    }

    @Test func `NULL and the empty text make two images`() {
        let net = netRows {
            $0.insert(["1", nil, ""])
            $0.delete(full: ["1", "", nil])
        }
        #expect(net == ["less 1 × 1||null", "more 1 × 1|null|"])
    }

    @Test func `values do not run into each other`() {
        let net = netRows {
            $0.insert(["a", "bc", ""])
            $0.delete(full: ["ab", "c", ""])
        }
        #expect(net == ["less 1 × ab|c|", "more 1 × a|bc|"])
    }

    @Test func `an unchanged column is taken from the old row`() {
        let net = netRows {
            $0.update(["1", "b", .unchanged], full: ["1", "a", "x"])
            $0.update(["2", "b", .unchanged], full: ["2", "a", "y"])
            $0.update(["2", "c", .unchanged], full: ["2", "b", "y"])
        }
        #expect(
            net == ["less 1 × 1|a|x", "less 1 × 2|a|y", "more 1 × 1|b|x", "more 1 × 2|c|y"]
        )
    }

    @Test func `an image that was not sent whole is applied by itself, and changes nothing`() {
        let net = netRows {
            $0.update(["1", "b", .unchanged])
            $0.update(["1", "b", "x"], key: ["1", "a", .absent])
            $0.update(["1", "b", .unchanged], full: ["1", "a", .unchanged])
            $0.update(["1", "b", .unchanged], full: ["1", "a", nil])
            $0.delete(key: ["1", "a", .absent])
            $0.delete()
            $0.insert(["1", "a", .unchanged])
            $0.truncate()
        }
        #expect(net == (0..<8).map { "apart \($0)" })
    }

    @Test func `rows without columns are counted`() {
        let net = netRows(columns: 0) {
            $0.insert([])
            $0.insert([])
        }
        #expect(net == ["more 2 × "])
    }

    @Test func `random histories leave what they leave one by one`() {
        for seed in 0..<2_000 as Range<UInt64> {
            var numbers = SeededGenerator(seed: seed)
            var source: [[Held]] = []
            var target: [[Held]] = []
            var net = NetRows()
            for _ in 0..<3 {
                // A batch, applied in segments.
                let history = history(of: &source, &numbers)
                net.reset(columnCount: 3)
                for index in history.batch.changes.indices {
                    let isFolded = net.fold(history.batch, change: index)
                    #expect(isFolded)
                    guard numbers.once(in: 10) else { continue }
                    apply(&net, history, to: &target, seed)
                    net.reset(columnCount: 3)
                }
                apply(&net, history, to: &target, seed)
            }
            #expect(target.map(text).sorted() == source.map(text).sorted(), "seed \(seed)")
        }
    }

    private func history(
        of source: inout [[Held]],
        _ numbers: inout SeededGenerator
    ) -> FoldingBatch {
        var history = FoldingBatch()
        func row(_ numbers: inout SeededGenerator) -> [Held] {
            [
                ["1", "2"].randomElement(using: &numbers) ?? nil,
                ["", "a", nil].randomElement(using: &numbers) ?? nil,
                ["", "long", nil, "longer"].randomElement(using: &numbers) ?? nil,
            ]
        }
        for _ in 0..<Int.random(in: 0...20, using: &numbers) {
            let place = source.indices.randomElement(using: &numbers)
            switch (Int.random(in: 0..<3, using: &numbers), place) {
            case (1, .some(let place)):
                let old = source[place]
                let new = row(&numbers)
                source[place] = new
                var sent = new
                if case .text("long") = new[2], old[2] == new[2] { sent[2] = .unchanged }
                history.update(sent, full: old)
            case (2, .some(let place)):
                history.delete(full: source.remove(at: place))
            default:
                source.append(row(&numbers))
                history.insert(source[source.count - 1])
            }
        }
        return history
    }

    private func apply(
        _ net: inout NetRows,
        _ history: FoldingBatch,
        to target: inout [[Held]],
        _ seed: UInt64
    ) {
        net.finish()
        func image(_ row: NetRow) -> [Held] {
            (0..<3).map { history.held(net.cell(row, $0, in: history.batch)) }
        }
        let images = (net.removals + net.additions).map { text(image($0.row)) }
        #expect(Set(images).count == images.count, "an image twice, seed \(seed)")
        for removal in net.removals {
            for _ in 0..<removal.count {
                guard let place = target.firstIndex(of: image(removal.row)) else {
                    Issue.record("no row \(text(image(removal.row))), seed \(seed)")
                    return
                }
                target.remove(at: place)
            }
        }
        for addition in net.additions {
            for _ in 0..<addition.count { target.append(image(addition.row)) }
        }
    }
}
