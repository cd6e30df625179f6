// SPDX-License-Identifier: Apache-2.0
//
// Random histories that a source could have made, applied batch by batch, against a model that
// knows what the source's tables hold.

import ChangeModel
import Support
import Testing

@testable import PostgresSink

struct ApplyModelTests {
    /// Two tables as the source has them.
    private struct Model {
        /// By id; `code` is unique, `text` is large enough to be left out of updates.
        struct Row {
            var code: String?
            var text: String?
        }

        var items: [Int: Row] = [:]
        var bag: [String] = []

        /// The rows as the test's query gives them.
        var lines: [String] {
            items.map { "item|\($0)|\($1.code ?? "null")|\($1.text ?? "null")" }.sorted()
                + bag.map { "bag|\($0)|\($0)|null" }.sorted()
        }

        func isFree(_ code: String?, besides id: Int? = nil) -> Bool {
            code == nil || !items.contains { $0.key != id && $0.value.code == code }
        }
    }

    private static let tables = """
        CREATE TABLE items (id int PRIMARY KEY, code text UNIQUE, v text CHECK (v <> 'poison'));
        CREATE TABLE bag (a text, b text);
        """

    private static let query = """
        SELECT 'item', id::text, code, v FROM items UNION ALL SELECT 'bag', a, b, NULL FROM bag
        """

    @Test(arguments: [false, true], [1, 2, 3] as [UInt64])
    func `a random history leaves what the source has`(poison: Bool, seed: UInt64) async throws {
        let (faults, counts) = try await ApplyServer.run(
            Self.tables + ApplyServer.deadLetterTable,
            onRowError: .deadLetter
        ) { target in
            var dice = SeededGenerator(seed: seed)
            var model = Model()
            var faults: [String] = []
            let tables = [try target.table("items", key: ["id"]), try target.table("bag")]
            for round in 0..<30 where faults.isEmpty {
                var history = History(tables[0], tables[1])
                let count = Int.random(in: 1...(round % 3 == 0 ? 200 : 20), using: &dice)
                let bad = poison ? Int.random(in: 0..<count, using: &dice) : -1
                for number in 0..<count {
                    if Int.random(in: 0..<8, using: &dice) == 0 { history.begin() }
                    if number == bad { history.insert(["-1", nil, "poison"]) }
                    Self.step(&model, &history, &dice)
                }
                try target.apply(history)
                let rows = try target.rows(Self.query)
                let held =
                    rows.filter { $0.hasPrefix("item") }.sorted()
                    + rows.filter { $0.hasPrefix("bag") }.sorted()
                if held != model.lines { faults.append("round \(round)") }
            }
            return (faults, target.applier.counts)
        }
        #expect(faults.isEmpty)
        #expect(counts.deadLetters == (poison ? 30 : 0))
        #expect(counts.overwritten == 0 && counts.restored == 0 && counts.missed == 0)
        #expect(!poison || counts.splitRuns == 30)
    }

    /// One change that the source could make, if the dice find one.
    private static func step(
        _ model: inout Model,
        _ history: inout History,
        _ dice: inout SeededGenerator
    ) {
        let id = Int.random(in: 1...60, using: &dice)
        let code = Bool.random(using: &dice) ? nil : "c\(Int.random(in: 1...40, using: &dice))"
        let text = Bool.random(using: &dice) ? nil : "t\(Int.random(in: 1...9, using: &dice))"
        let isKept = Bool.random(using: &dice)
        switch Int.random(in: 0..<9, using: &dice) {
        case 0...2:
            guard model.items[id] == nil, model.isFree(code) else { return }
            history.insert(["\(id)", Held(code), Held(text)])
            model.items[id] = Model.Row(code: code, text: text)
        case 3...4:
            guard let row = model.items[id], model.isFree(code, besides: id) else { return }
            let isLeftOut = isKept && row.text != nil
            history.update(["\(id)", Held(code), isLeftOut ? .unchanged : Held(text)])
            model.items[id] = Model.Row(code: code, text: isLeftOut ? row.text : text)
        case 5:
            let new = Int.random(in: 1...60, using: &dice)
            guard let row = model.items[id], new != id, model.items[new] == nil,
                model.isFree(code, besides: id)
            else { return }
            let isLeftOut = isKept && row.text != nil
            history.update(
                ["\(new)", Held(code), isLeftOut ? .unchanged : Held(text)],
                key: ["\(id)", .absent, .absent]
            )
            model.items[id] = nil
            model.items[new] = Model.Row(code: code, text: isLeftOut ? row.text : text)
        case 6:
            guard model.items.removeValue(forKey: id) != nil else { return }
            history.delete(key: ["\(id)", .absent, .absent])
        case 7:
            let value = "b\(id % 7)"
            history.insert([.text(value), .text(value)], into: 1)
            model.bag.append(value)
        default:
            guard let old = model.bag.randomElement(using: &dice),
                let place = model.bag.firstIndex(of: old)
            else { return }
            model.bag.remove(at: place)
            guard isKept else {
                history.delete(full: [.text(old), .text(old)], from: 1)
                return
            }
            let new = "b\(id % 5)"
            history.update([.text(new), .text(new)], full: [.text(old), .text(old)], in: 1)
            model.bag.append(new)
        }
    }

    @Test func `twenty thousand changes of a batch, hot rows among them`() async throws {
        let (rows, counts) = try await ApplyServer.run(Self.tables) { target in
            let items = try target.table("items", key: ["id"])
            var history = History(items)
            for id in 1...20_000 { history.insert(["\(id)", "c\(id)", "t"]) }
            try target.apply(history)
            history = History(items)
            for number in 1...10_000 {
                history.update(["\(number % 3 + 1)", "c\(number % 3 + 1)", "h\(number)"])
                history.update(["\(number + 10)", "c\(number + 10)", .unchanged])
            }
            try target.apply(history)
            history = History(items)
            for id in 4...20_000 { history.delete(key: ["\(id)", .absent, .absent]) }
            try target.apply(history)
            return (try target.rows("SELECT * FROM items ORDER BY id"), target.applier.counts)
        }
        #expect(rows == ["1|c1|h9999", "2|c2|h10000", "3|c3|h9998"])
        #expect(counts == ApplyCounts(inserted: 20_000, updated: 10_003, deleted: 19_997))
    }

    @Test func `thousands of rows without a key`() async throws {
        let (rows, counts) = try await ApplyServer.run(Self.tables) { target in
            let bag = try target.table("bag")
            var history = History(bag)
            for id in 1...12_000 { history.insert(["\(id / 2)", "x"]) }
            try target.apply(history)
            history = History(bag)
            for id in 1...11_990 { history.delete(full: ["\(id / 2)", "x"]) }
            history.update(["end", nil], full: ["6000", "x"])
            try target.apply(history)
            return (
                try target.rows("SELECT a, b, count(*) FROM bag GROUP BY 1, 2 ORDER BY 1"),
                target.applier.counts
            )
        }
        #expect(
            rows == ["5995|x|1", "5996|x|2", "5997|x|2", "5998|x|2", "5999|x|2", "end|null|1"]
        )
        #expect(counts.deleted == 11_991 && counts.missed == 0)
    }
}
