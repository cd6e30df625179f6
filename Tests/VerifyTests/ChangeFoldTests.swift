// SPDX-License-Identifier: Apache-2.0
//
// What changes between the two snapshots come to, a key.

import ChangeModel
import Testing

@testable import Verify

@Suite struct ChangeFoldTests {
    private let table = ComparedTable.sample(columns: 3, key: 1)
    private let keyless = ComparedTable.sample(columns: 2, key: 0)

    /// What a key's row became: `nil` is gone, `[nil]` an unchanged value; with the base's key.
    private func states(_ fold: ChangeFold) -> [String: (row: [String?]?, base: String?)] {
        var states: [String: (row: [String?]?, base: String?)] = [:]
        for (key, state) in fold.tables[1]?.states ?? [:] {
            let name = key.values.first?.string ?? "?"
            states[name] = (state.row?.values.map(\.string), state.base.values.first?.string)
        }
        return states
    }

    @Test func `an unchanged value stays what an earlier change made it`() throws {
        var fold = ChangeFold([table])
        var batch = ChangeBatch()
        batch.add(.update, new: [1, 10, nil], of: table)
        batch.add(.update, new: [1, nil, 20], of: table)
        batch.add(.update, new: [2, nil, nil], of: table)
        try fold.take(batch)
        let found = states(fold)
        #expect(found["1"]?.row == ["1", "10", "20"])
        #expect(found["2"]?.row == ["2", nil, nil])
        #expect(found["2"]?.base == "2")
        #expect(fold.changeCount == 3)
    }

    @Test func `a row that moves keeps the values it had under its first key`() throws {
        var fold = ChangeFold([table])
        var batch = ChangeBatch()
        batch.add(.update, new: [5, 1, nil], old: [4, nil, nil], .key, of: table)
        batch.add(.update, new: [6, nil, nil], old: [5, nil, nil], .key, of: table)
        try fold.take(batch)
        let found = states(fold)
        #expect(found["4"]?.row == nil && found["5"]?.row == nil && found.count == 3)
        #expect(found["6"]?.row == ["6", "1", nil])
        #expect(found["6"]?.base == "4")
    }

    @Test func `keys that are exchanged end right`() throws {
        var fold = ChangeFold([table])
        var batch = ChangeBatch()
        batch.add(.update, new: [-1, 1, nil], old: [1, nil, nil], .key, of: table)
        batch.add(.update, new: [1, 2, nil], old: [2, nil, nil], .key, of: table)
        batch.add(.update, new: [2, 1, nil], old: [-1, nil, nil], .key, of: table)
        try fold.take(batch)
        let found = states(fold)
        #expect(found["1"]?.row == ["1", "2", nil] && found["1"]?.base == "2")
        #expect(found["2"]?.row == ["2", "1", nil] && found["2"]?.base == "1")
        #expect(found["-1"]?.row == nil)
    }

    @Test func `what is deleted and inserted again is the new row`() throws {
        var fold = ChangeFold([table])
        var batch = ChangeBatch()
        batch.add(.delete, old: [1, nil, nil], .key, of: table)
        batch.insert([1, 7, 8], into: table)
        batch.insert([2, 1, 1], into: table)
        batch.add(.delete, old: [2, nil, nil], .key, of: table)
        try fold.take(batch)
        #expect(states(fold)["1"]?.row == ["1", "7", "8"])
        #expect(states(fold)["2"]?.row == nil && states(fold).count == 2)
    }

    @Test func `rows without a key are counted by image`() throws {
        var fold = ChangeFold([keyless])
        var batch = ChangeBatch()
        batch.insert([1, 1], into: keyless)
        batch.insert([1, 1], into: keyless)
        batch.add(.update, new: [1, nil], old: [3, 4], .full, of: keyless)
        batch.add(.delete, old: [1, 1], .full, of: keyless)
        batch.add(.delete, old: [8, 8], .full, of: keyless)
        batch.insert([8, 8], into: keyless)
        try fold.take(batch)
        let images = fold.tables[1]?.images ?? [:]
        let texts = Dictionary(
            uniqueKeysWithValues: images.map { ($0.values.map { $0.string ?? "" }, $1) }
        )
        #expect(texts == [["1", "1"]: 1, ["1", "4"]: 1, ["3", "4"]: -1])
    }

    @Test func `a truncation asks for another point`() {
        var fold = ChangeFold([table])
        var batch = ChangeBatch()
        batch.add(.truncate, of: table)
        let error = #expect(throws: WalrelayError.self) { try fold.take(batch) }
        #expect(error?.code == "verify.table_changed" && error?.isTransient == true)
    }

    @Test func `packed values come out as they went in`() {
        var row = PackedRow()
        let values: [PackedRow.Value] = [
            .null, .text([]), .unchanged, .text(Array("é\u{1}".utf8)[...]),
            .text([UInt8](repeating: 7, count: 70_000)[...]),
        ]
        for value in values { row.append(value) }
        #expect(row.values == values)
    }

    @Test func `array literals hold any text`() {
        #expect(
            ArrayText.array(["a", nil, "", "\"\\{},", "NULL"]) == #"{"a",NULL,"","\"\\{},","NULL"}"#
        )
    }
}
