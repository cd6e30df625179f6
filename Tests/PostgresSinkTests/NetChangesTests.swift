// SPDX-License-Identifier: Apache-2.0
//
// Each rule of folding by its name. Column 0 is the key unless the test says otherwise.

import ChangeModel
import Testing

@testable import PostgresSink

struct NetChangesTests {
    @Test func `an insert, an update and a delete of three keys stay what they are`() {
        let net = netChanges {
            $0.insert(["1", "a", nil])
            $0.update(["2", "b", ""])
            $0.delete(key: ["3", .absent, .absent])
        }
        #expect(net == ["delete 3", "update 2|b|", "insert 1|a|null"])
    }

    @Test func `a row of a snapshot counts as an insert`() {
        let net = netChanges {
            $0.insert(["1", "a", "x"], kind: .read)
            $0.update(["1", "b", .unchanged])
        }
        #expect(net == ["insert 1|b|x"])
    }

    @Test func `insert and update are an insert of the last row`() {
        let net = netChanges {
            $0.insert(["1", "a", "x"])
            $0.update(["1", "b", "y"])
            $0.update(["1", "c", "z"])
        }
        #expect(net == ["insert 1|c|z"])
    }

    @Test func `an unchanged column of an inserted row keeps its value through several updates`() {
        let net = netChanges {
            $0.insert(["1", "a", "x"])
            $0.update(["1", "b", .unchanged])
            $0.update(["1", nil, .unchanged])
        }
        #expect(net == ["insert 1|null|x"])
    }

    @Test func `two updates are one, and a column stays unchanged that both left out`() {
        let net = netChanges {
            $0.update(["1", .unchanged, .unchanged])
            $0.update(["1", "b", .unchanged])
        }
        #expect(net == ["update 1|b|~"])
    }

    @Test func `a value that an earlier update sent is not lost to a later one`() {
        let net = netChanges {
            $0.update(["1", "a", "x"])
            $0.update(["1", .unchanged, "y"])
            $0.update(["1", .unchanged, .unchanged])
        }
        #expect(net == ["update 1|a|y"])
    }

    @Test func `a merged row takes a full one in its place, and merges again`() {
        let net = netChanges {
            $0.update(["1", "a", "x"])
            $0.update(["1", .unchanged, "y"])
            $0.update(["1", "c", "z"])
            $0.update(["1", "d", .unchanged])
        }
        #expect(net == ["update 1|d|z"])
    }

    @Test func `merged rows do not share their cells`() {
        let net = netChanges {
            for key in ["1", "2"] { $0.insert([.text(key), "a", .text("x" + key)]) }
            for key in ["1", "2"] { $0.update([.text(key), .text("b" + key), .unchanged]) }
            $0.update(["1", "c1", .unchanged])
        }
        #expect(net == ["insert 1|c1|x1", "insert 2|b2|x2"])
    }

    @Test func `insert and delete are nothing`() {
        let net = netChanges {
            $0.insert(["1", "a", "x"])
            $0.delete(key: ["1", .absent, .absent])
        }
        #expect(net.isEmpty)
    }

    @Test func `update and delete are a delete`() {
        let net = netChanges {
            $0.update(["1", "a", .unchanged])
            $0.delete(key: ["1", .absent, .absent])
        }
        #expect(net == ["delete 1"])
    }

    @Test func `delete and insert are an update of the whole row`() {
        let net = netChanges {
            $0.update(["1", "a", .unchanged])
            $0.delete(key: ["1", .absent, .absent])
            $0.insert(["1", "b", nil])
        }
        #expect(net == ["update 1|b|null"])
    }

    @Test func `a row that comes and goes again and again is what it was at last`() {
        let comings: (inout FoldingBatch) -> Void = {
            for _ in 0..<3 {
                $0.insert(["1", "a", "x"])
                $0.delete(key: ["1", .absent, .absent])
            }
        }
        #expect(netChanges(comings).isEmpty)
        let goings = netChanges {
            $0.delete(key: ["1", .absent, .absent])
            comings(&$0)
        }
        #expect(goings == ["delete 1"])
    }

    // MARK: Keys that change

    @Test func `a moved row is a delete of its old key and an insert at its new one`() {
        let net = netChanges { $0.update(["2", "a", "x"], key: ["1", .absent, .absent]) }
        #expect(net == ["delete 1", "insert 2|a|x"])
    }

    @Test func `a row moves over three keys`() {
        let net = netChanges {
            $0.update(["2", "a", "x"], key: ["1", .absent, .absent])
            $0.update(["3", "b", .unchanged], key: ["2", .absent, .absent])
        }
        #expect(net == ["delete 1", "insert 3|b|x"])
    }

    @Test func `an inserted row that moves leaves nothing at its old key`() {
        let net = netChanges {
            $0.insert(["1", "a", "x"])
            $0.update(["2", "b", .unchanged], key: ["1", .absent, .absent])
        }
        #expect(net == ["insert 2|b|x"])
    }

    @Test func `a merged row moves with its values, and its old key is taken by another`() {
        let net = netChanges {
            $0.insert(["1", "a", "x"])
            $0.update(["1", "b", .unchanged])
            $0.update(["2", .unchanged, .unchanged], key: ["1", .absent, .absent])
            $0.insert(["1", "c", "z"])
            $0.update(["1", .unchanged, "w"])
        }
        #expect(net == ["insert 1|c|w", "insert 2|b|x"])
    }

    @Test func `the old key of a moved row is inserted again`() {
        let net = netChanges {
            $0.update(["2", "a", "x"], key: ["1", .absent, .absent])
            $0.insert(["1", "b", "y"])
        }
        #expect(net == ["update 1|b|y", "insert 2|a|x"])
    }

    @Test func `a row moves to a key that was deleted`() {
        let net = netChanges {
            $0.delete(key: ["2", .absent, .absent])
            $0.update(["2", "a", "x"], key: ["1", .absent, .absent])
        }
        #expect(net == ["delete 1", "update 2|a|x"])
    }

    @Test func `a row moves away and back`() {
        let net = netChanges {
            $0.update(["2", "a", "x"], key: ["1", .absent, .absent])
            $0.update(["1", "b", .unchanged], key: ["2", .absent, .absent])
        }
        #expect(net == ["update 1|b|x"])
    }

    @Test func `two rows change their keys with each other`() {
        let net = netChanges {
            $0.update(["-1", "a", "x"], key: ["1", .absent, .absent])
            $0.update(["1", "b", "y"], key: ["2", .absent, .absent])
            $0.update(["2", "a", "x"], key: ["-1", .absent, .absent])
        }
        #expect(net == ["update 1|b|y", "update 2|a|x"])
    }

    @Test func `an old key that is the new one moves nothing`() {
        let net = netChanges {
            $0.update(["1", "a", .unchanged], key: ["1", .absent, .absent])
        }
        #expect(net == ["update 1|a|~"])
    }

    @Test func `a moved row whose unchanged column nobody sent is applied by itself`() {
        let net = netChanges {
            $0.update(["1", "a", .unchanged])
            $0.update(["2", "b", .unchanged], key: ["1", .absent, .absent])
        }
        #expect(net == ["apart 1", "update 1|a|~"])
    }

    // MARK: Keys that are TOASTed, NULL or of several columns

    @Test func `an unchanged column of the key is taken from the old key`() {
        let moved = netChanges(key: [0, 1]) {
            $0.update(["2", .unchanged, "x"], key: ["1", "long", .absent])
        }
        #expect(moved == ["delete 1|long", "insert 2|long|x"])
        let stayed = netChanges(key: [0, 1]) {
            $0.update(["1", .unchanged, .unchanged], key: ["1", "long", .absent])
            $0.update(["1", .unchanged, "y"], key: ["1", "long", .absent])
        }
        #expect(stayed == ["update 1|long|y"])
    }

    @Test func `an unchanged column of the key without an old key is applied by itself`() {
        let net = netChanges(key: [0, 1]) {
            $0.insert(["1", "long", "x"])
            $0.update(["1", .unchanged, "y"])
        }
        #expect(net == ["apart 1", "insert 1|long|x"])
    }

    @Test func `a key that is NULL or was not sent is applied by itself`() {
        let net = netChanges(key: [0, 1]) {
            $0.insert(["1", nil, "x"])
            $0.insert(["1", "", "x"])
            $0.delete(key: ["1", .absent, .absent])
            $0.delete(full: ["1", nil, "x"])
            $0.delete()
            $0.update(["1", nil, "y"], key: ["1", "", .absent])
        }
        #expect(
            net == ["apart 0", "apart 2", "apart 3", "apart 4", "apart 5", "insert 1||x"]
        )
    }

    @Test func `keys of several columns are not told apart by their bytes in a row`() {
        let net = netChanges(key: [2, 0]) {
            $0.insert(["a", "1", "bc"])
            $0.insert(["ab", "2", "c"])
            $0.insert(["", "3", "abc"])
            $0.delete(key: ["ab", .absent, "c"])
        }
        #expect(net == ["insert a|1|bc", "insert |3|abc"])
    }

    @Test func `two texts of an equal value are two keys`() {
        let net = netChanges {
            $0.delete(key: ["1.0", .absent, .absent])
            $0.insert(["1.00", "a", "x"])
        }
        #expect(net == ["delete 1.0", "insert 1.00|a|x"])
    }

    // MARK: REPLICA IDENTITY FULL

    @Test func `an unchanged column is taken from the old row`() {
        let net = netChanges {
            $0.update(["1", "b", .unchanged], full: ["1", "a", "x"])
            $0.update(["3", "b", .unchanged], full: ["2", nil, "y"])
            $0.delete(full: ["3", "b", "y"])
        }
        #expect(net == ["delete 2", "update 1|b|x"])
    }

    @Test func `an old row that is not the known one is applied by itself`() {
        // UPDATE t SET k = k + 1 under a deferrable key: 1 → 2 while the other 2 is still there.
        let net = netChanges {
            $0.update(["2", "a", "x"], full: ["1", "a", "x"])
            $0.update(["3", "b", "y"], full: ["2", "b", "y"])
            $0.delete(full: ["2", "a", nil])
        }
        #expect(net == ["apart 1", "apart 2", "delete 1", "insert 2|a|x"])
    }

    // MARK: What no table with a unique key can do

    @Test func `changes that contradict those before are applied by themselves`() {
        let net = netChanges {
            $0.insert(["1", "a", "x"])
            $0.insert(["1", "b", "y"])
            $0.delete(key: ["2", .absent, .absent])
            $0.delete(key: ["2", .absent, .absent])
            $0.update(["2", "b", "y"])
            $0.update(["3", "b", "y"], key: ["2", .absent, .absent])
            $0.update(["1", "b", "y"], key: ["3", .absent, .absent])
            $0.insert(["4", "a", .unchanged])
            $0.truncate()
        }
        let apart = [1, 3, 4, 5, 6, 7, 8].map { "apart \($0)" }
        #expect(net == apart + ["delete 2", "insert 1|a|x"])
    }

    // MARK: What the caller gets

    @Test func `updates are grouped by the columns that they leave unchanged`() {
        var history = FoldingBatch()
        for key in 0..<9 {
            let third: Held = key % 3 == 0 ? .unchanged : "x"
            let last: Held = key % 3 == 1 ? .unchanged : "y"
            var row = [Held](repeating: "v", count: 70)
            (row[0], row[2], row[69]) = (.text("\(key)"), third, last)
            history.update(row)
        }
        var net = NetChanges()
        net.reset(columnCount: 70, key: [0])
        let apart = history.fold(into: &net)
        net.finish()
        #expect(apart == [])
        var columns: [[Int]] = []
        for group in net.updateGroups {
            columns.append((0..<70).filter { group.unchanged.contains($0) })
            for row in net.updates[group.rows] {
                let left = (0..<70).filter { net.cell(row, $0, in: history.batch) == .unchanged }
                #expect(left == columns.last)
            }
        }
        #expect(columns == [[], [2], [69]])
        #expect(net.updateGroups.map(\.rows) == [0..<3, 3..<6, 6..<9])
        #expect(net.updateGroups[0].unchanged == .none)
    }

    @Test func `more sets of unchanged columns than statements are worth are refused`() {
        var history = FoldingBatch()
        for key in 0...NetChanges.maskLimit {
            let row: [Held] =
                [.text("\(key)")] + (0..<7).map { key >> $0 & 1 == 1 ? .unchanged : "" }
            history.update(row)
        }
        history.update(["x", .unchanged, "", "", "", "", "", ""])
        var net = NetChanges()
        net.reset(columnCount: 8, key: [0])
        let apart = history.fold(into: &net)
        net.finish()
        #expect(apart == [NetChanges.maskLimit])
        #expect(net.updates.count == NetChanges.maskLimit + 1)
        #expect(net.updateGroups.count == NetChanges.maskLimit)
    }

    @Test func `a row names the last change that had to do with it`() {
        var history = FoldingBatch()
        history.insert(["1", "a"])
        history.update(["2", "b"])
        history.update(["1", "c"])
        history.update(["3", "b"], key: ["2", .absent])
        var net = NetChanges()
        net.reset(columnCount: 2, key: [0])
        let apart = history.fold(into: &net)
        net.finish()
        #expect(apart == [])
        #expect(net.deletes.map(\.change) == [3])
        #expect(net.inserts.map(\.change) == [2, 3])
    }

    @Test func `a reset forgets keys, cells and masks`() {
        var history = FoldingBatch()
        history.insert(["1", "a", "x"])
        history.update(["1", "b", .unchanged])
        history.update(["2", .unchanged, .unchanged])
        var net = NetChanges()
        for _ in 0..<2 {
            net.reset(columnCount: 3, key: [0])
            #expect(net.isEmpty && net.inserts.isEmpty && net.updateGroups.isEmpty)
            let apart = history.fold(into: &net)
            net.finish()
            net.finish()
            #expect(apart == [])
            #expect(net.keyCount == 2)
            #expect(
                net.inserts.map { net.cell($0, 2, in: history.batch) } == [history.batch.cells[2]]
            )
            #expect(net.updateGroups.map(\.rows) == [0..<1])
        }
    }
}
