// SPDX-License-Identifier: Apache-2.0
//
// Random batches of any shape: records say what lines say, and what a log with keys needs besides
// follows from the changes alone.

import ChangeModel
import Foundation
import Sink
import Support
import Testing

@Suite struct RecordModelTests {
    @Test(arguments: [UInt64](1...40))
    func `records hold the events of the lines under the keys of the rows`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let batch = Self.batch(&random)
        let lines = try lines(of: batch)
        let form = RecordForm(topicPrefix: "shop", tombstones: Bool.random(using: &random))
        let result = try records(of: batch, form: form)
        var rest = result[...]
        for (index, change) in batch.changes.enumerated() {
            let place = Comment(rawValue: "seed \(seed), change \(index): \(lines[index])")
            let expected = try Self.expectation(batch, change, lines[index], form, place)
            let found = Array(rest.prefix { $0.change == index })
            rest = rest.dropFirst(found.count)
            #expect(found.map(\.value) == expected.map(\.value), place)
            #expect(found.map(\.isKeyless) == expected.map(\.isKeyless), place)
            for (record, other) in zip(found, expected) {
                let key = try record.key.map { try Self.sorted($0) }
                if other.isKeyless, change.kind == .read {
                    // How many rows were read before is not to be seen from here.
                    #expect(key?.hasPrefix(other.key?.dropLast(4) ?? "?") == true, place)
                } else {
                    #expect(key == other.key, place)
                }
                let header = try record.header.map { text in
                    try String(text.prefix(7)) + Self.sorted(String(text.dropFirst(7)))
                }
                #expect(header == other.header, place)
            }
        }
        #expect(rest.isEmpty, "seed \(seed)")
        let keys = result.filter { $0.isKeyless }.compactMap(\.key)
        #expect(Set(keys).count == keys.count, "seed \(seed): a place twice")
    }

    @Test(arguments: [UInt64](41...60))
    func `the payloads under schemas are the records without`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let batch = Self.batch(&random)
        let plain = try records(of: batch)
        let typed = try records(of: batch, form: .typed)
        #expect(plain.count == typed.count)
        for (plain, typed) in zip(plain, typed) {
            for (payload, text) in [(plain.key, typed.key), (plain.value, typed.value)] {
                #expect((payload == nil) == (text == nil))
                guard let payload, let text else { continue }
                #expect(text.hasSuffix(#","payload":\#(payload)}"#), "seed \(seed)")
                #expect(try connectFaults(text) == [], "seed \(seed)")
            }
        }
    }

    /// What a change becomes, read from its line: whole for what is one event, in two otherwise.
    private static func expectation(
        _ batch: ChangeBatch,
        _ change: Change,
        _ line: String,
        _ form: RecordForm,
        _ place: Comment
    ) throws -> [TextRecord] {
        func record(_ key: String?, _ value: String?, header: String? = nil) -> TextRecord {
            TextRecord(change: 0, key: key, value: value, header: header, isKeyless: false)
        }
        let event = try #require(try jsonObject(line), place)
        let relation = batch.relations[Int(change.relation)].relation
        let names = relation.eventKey.map { relation.columns[$0].name }
        if change.kind == .truncate { return [record(nil, line)] }
        if names.isEmpty {
            let source = event["source"] as? [String: Any]
            var keyless = record(nil, line)
            keyless.isKeyless = true
            let place = try #require(source?["sequence"] as? String, place)
            keyless.key = try sorted(["sequence": place])
            return [keyless]
        }
        func key(_ side: String) throws -> String? {
            let row = event[side] as? [String: Any]
            return try row.map { row in try sorted(row.filter { names.contains($0.key) }) }
        }
        let before = try key("before")
        let after = try key("after")
        let tombstones = form.tombstones ? 1 : 0
        if change.kind == .delete {
            return [record(before, line)] + Array(repeating: record(before, nil), count: tombstones)
        }
        guard change.kind == .update, let before, before != after else {
            return [record(after, line)]
        }
        let start = try #require(line.range(of: #","source":{"version""#), place)
        let middle = try #require(line.range(of: #","after":{"#), place)
        let operation = try #require(line.range(of: #","op":"u""#, options: .backwards), place)
        let surroundings = line[start.lowerBound..<operation.lowerBound]
        let end = line[operation.upperBound...]
        let departure =
            line[..<middle.lowerBound] + #","after":null"# + surroundings + #","op":"d""# + end
        let arrival =
            #"{"before":null"# + line[middle.lowerBound..<operation.lowerBound] + #","op":"c""#
            + end
        return [record(before, String(departure), header: "newkey " + (after ?? ""))]
            + Array(repeating: record(before, nil), count: tombstones)
            + [record(after, arrival, header: "oldkey " + before)]
    }

    private static func sorted(_ text: String) throws -> String {
        try sorted(try #require(try jsonObject(text)))
    }

    private static func sorted(_ object: [String: Any]) throws -> String {
        let data = try JSONSerialization.data(withJSONObject: object, options: .sortedKeys)
        return String(decoding: data, as: UTF8.self)
    }
}

extension RecordModelTests {
    /// Tables of each identity with few rows, so that keys change and stay; text columns only.
    static func batch(_ random: inout SeededGenerator) -> ChangeBatch {
        var batch = ChangeBatch()
        let identities: [ReplicaIdentity] = [.default, .full, .index, .full, .nothing, .default]
        for (index, identity) in identities.enumerated() {
            let names = (0..<Int.random(in: 1...6, using: &random)).map { "c\($0)" }
            // The fourth table has no primary key, the last one no identity either.
            let key = names.filter { _ in Bool.random(using: &random) } + [names[0]]
            batch.addRelation(
                "t\(index)",
                version: UInt64(index),
                identity: identity,
                primaryKey: index == 3 || index == 5 ? [] : Array(Set(key)),
                columns: names.map { name in
                    let isKey =
                        switch identity {
                        case .full: true
                        case .nothing: false
                        case .default, .index: index != 5 && key.contains(name)
                        }
                    return (name, ValueType.text, isKey)
                }
            )
        }
        for ordinal in 1...60 {
            if batch.transactions.isEmpty || Int.random(in: 0..<6, using: &random) == 0 {
                batch.addTransaction(
                    xid: .random(in: 1...9, using: &random),
                    commitLSN: LSN(UInt64(ordinal))
                )
            }
            addChange(&batch, UInt64(ordinal), &random)
        }
        return batch
    }

    private static func addChange(
        _ batch: inout ChangeBatch,
        _ ordinal: UInt64,
        _ random: inout SeededGenerator
    ) {
        let index = Int.random(in: 0..<batch.relations.count, using: &random)
        let relation = batch.relations[index].relation
        let hasIdentity = relation.columns.contains(where: \.isKey)
        let kinds: [ChangeKind] =
            hasIdentity
            ? [.read, .insert, .update, .update, .delete, .truncate] : [.read, .insert]
        let kind = kinds[Int.random(in: 0..<kinds.count, using: &random)]
        var old = OldTuple.none
        if kind == .delete || (kind == .update && Bool.random(using: &random)) {
            old = relation.replicaIdentity == .full ? .full : .key
        }
        if kind == .update, relation.replicaIdentity == .full { old = .full }
        var oldFields: [Field] = []
        var newFields: [Field] = []
        for column in relation.columns {
            let isOld = old == .full || (old == .key && column.isKey)
            let letters = Array("ab\"\\東")
            let value = String(letters[Int.random(in: 0..<letters.count, using: &random)])
            oldFields.append(isOld ? .text(value) : .absent)
            let isInKey = relation.eventKey.contains { relation.columns[$0].name == column.name }
            switch Int.random(in: 0..<4, using: &random) {
            case 0 where kind == .update && (isOld || !isInKey): newFields.append(.unchanged)
            case 1: newFields.append(.text(value))
            case 2 where !isInKey: newFields.append(.null)
            default: newFields.append("x")
            }
        }
        batch.addChange(
            kind,
            relation: Int32(index),
            new: kind == .delete || kind == .truncate ? [] : newFields,
            old: (old, old == .none ? [] : oldFields),
            ordinal: kind == .read ? 0 : ordinal
        )
    }
}

@Suite struct MalformedBatchRecordTests {
    @Test func `a batch that contradicts itself is an error, never a trap`() throws {
        var random = SeededGenerator(seed: 20_260_613)
        var failures = 0
        for round in 0..<1_500 {
            var batch = RecordModelTests.batch(&random)
            for _ in 0...Int.random(in: 0..<3, using: &random) { Self.spoil(&batch, &random) }
            let form = round % 2 == 0 ? RecordForm.plain : .typed
            do throws(WalrelayError) {
                let result = try records(of: batch, form: form)
                for text in result.flatMap({ [$0.key, $0.value] }).compactMap({ $0 }).prefix(5) {
                    #expect((try? jsonObject(text)) != nil, "round \(round): \(text)")
                }
            } catch {
                failures += 1
                #expect(
                    ["batch.inconsistent", "key.not_sent"].contains(error.code),
                    "round \(round): \(error)"
                )
            }
        }
        #expect(failures > 300)
    }

    private static func spoil(_ batch: inout ChangeBatch, _ random: inout SeededGenerator) {
        let change = Int.random(in: batch.changes.indices, using: &random)
        let cell = Int.random(in: batch.cells.indices, using: &random)
        let wild = UInt32.random(in: 0 ... .max, using: &random)
        let near = UInt32.random(in: 0...UInt32(batch.cells.count), using: &random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0: batch.changes[change].relation = Int32(bitPattern: wild)
        case 1: batch.changes[change].relation = Int32.random(in: 0..<6, using: &random)
        case 2: batch.changes[change].transaction = Int32(bitPattern: wild)
        case 3: batch.changes[change].newCells = wild
        case 4: batch.changes[change].oldCells = near
        case 5: batch.changes[change].newCells = near
        case 6: batch.cells[cell].offset = wild
        case 7: batch.cells[cell].length = Int32(bitPattern: wild)
        case 8:
            let kinds: [ChangeKind] = [.read, .insert, .update, .delete, .truncate]
            batch.changes[change].kind = kinds[Int.random(in: 0..<5, using: &random)]
        default:
            batch.changes[change].old =
                [.none, .key, .full][Int.random(in: 0..<3, using: &random)]
        }
    }
}
