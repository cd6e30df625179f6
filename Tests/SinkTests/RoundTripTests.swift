// SPDX-License-Identifier: Apache-2.0
//
// Random batches of any shape: each line parses, and says what the batch said.

import ChangeModel
import Foundation
import Sink
import Support
import Testing

@Suite struct RoundTripTests {
    @Test(arguments: [UInt64](1...40))
    func `every line parses and gives back what the batch holds`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var batch = ChangeBatch()
        let relationCount = Int.random(in: 1...4, using: &random)
        for index in 0..<relationCount { addRelation(&batch, index, &random) }
        var rows: [Expectation] = []
        for _ in 0..<Int.random(in: 1...50, using: &random) {
            if batch.transactions.isEmpty || Int.random(in: 0..<4, using: &random) == 0 {
                batch.addTransaction(
                    xid: .random(in: 1 ... .max, using: &random),
                    commitLSN: LSN(.random(in: 0 ... .max, using: &random)),
                    commitTime: PostgresTime(
                        unixMicroseconds: .random(in: 0...4_000_000_000_000_000, using: &random)
                    )
                )
            }
            rows.append(addChange(&batch, &random))
        }
        let result = try lines(of: batch)
        #expect(result.count == rows.count, "seed \(seed)")
        for (index, (line, row)) in zip(result, rows).enumerated() {
            let place = Comment(rawValue: "seed \(seed), line \(index): \(line)")
            let data = Data(line.utf8)
            let event = try #require(
                try JSONSerialization.jsonObject(with: data) as? [String: Any],
                place
            )
            let change = batch.changes[index]
            let transaction = batch.transactions[Int(change.transaction)]
            #expect(event["before"] as? [String: String] == row.before, place)
            #expect(event["after"] as? [String: String] == row.after, place)
            let source = try #require(event["source"] as? [String: Any], place)
            let lsn = (source["lsn"] as? NSNumber)?.uint64Value
            #expect(lsn == change.lsn.rawValue, place)
            let sequence =
                #"["\#(transaction.commitLSN.rawValue)","\#(change.ordinal)"]"#
            #expect(source["sequence"] as? String == sequence, place)
            let relation = batch.relations[Int(change.relation)].relation
            #expect(source["table"] as? String == relation.name, place)
            #expect(source["schema"] as? String == relation.schema, place)
            let order = event["transaction"] as? [String: Any]
            let total = (order?["total_order"] as? NSNumber)?.uint64Value
            #expect(total == (change.kind == .read ? nil : change.ordinal), place)
        }
    }

    /// What a line's rows are to hold; text columns only, so that they compare as strings.
    private struct Expectation {
        var before: [String: String]?
        var after: [String: String]?
    }

    private func addRelation(
        _ batch: inout ChangeBatch,
        _ index: Int,
        _ random: inout SeededGenerator
    ) {
        let columns = (0..<Int.random(in: 0...20, using: &random)).map { place in
            (
                name: "\(place)" + text(upTo: 20, &random), type: ValueType.text,
                isKey: Bool.random(using: &random)
            )
        }
        batch.addRelation(
            text(upTo: 63, &random),
            schema: text(upTo: 63, &random),
            version: UInt64(index),
            columns: columns
        )
    }

    private func addChange(
        _ batch: inout ChangeBatch,
        _ random: inout SeededGenerator
    ) -> Expectation {
        let index = Int32.random(in: 0..<Int32(batch.relations.count), using: &random)
        let columns = batch.relations[Int(index)].relation.columns
        let kinds: [ChangeKind] = [.read, .insert, .update, .delete, .truncate]
        let kind = kinds[Int.random(in: 0..<kinds.count, using: &random)]
        var old = OldTuple.none
        if kind == .update || kind == .delete {
            old = [.none, .key, .full][Int.random(in: 0..<3, using: &random)]
        }
        var before: [String: String] = [:]
        var after: [String: String] = [:]
        var oldFields: [Field] = []
        var newFields: [Field] = []
        for column in columns {
            let value = text(upTo: 40, &random)
            let isOld = old == .full || (old == .key && column.isKey)
            oldFields.append(isOld ? .text(value) : .absent)
            if isOld { before[column.name] = value }
            switch Int.random(in: 0..<5, using: &random) {
            case 0:
                newFields.append(.absent)
            case 1:
                newFields.append(.unchanged)
                after[column.name] = isOld ? value : "__debezium_unavailable_value"
            default:
                let value = text(upTo: 300, &random)
                newFields.append(.text(value))
                after[column.name] = value
            }
        }
        let hasNew = kind != .delete && kind != .truncate
        batch.addChange(
            kind,
            relation: index,
            new: hasNew ? newFields : [],
            old: (old, old == .none ? [] : oldFields),
            lsn: LSN(.random(in: 0 ... .max, using: &random)),
            ordinal: .random(in: 0 ... .max, using: &random)
        )
        return Expectation(before: old == .none ? nil : before, after: hasNew ? after : nil)
    }

    private func text(upTo limit: Int, _ random: inout SeededGenerator) -> String {
        let alphabet = Array("abcdefgh \"\\/\n\t\r\u{1}\u{1F}\u{7F}äöü東🚀{}[],:")
        return String(
            (0..<Int.random(in: 0...limit, using: &random)).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }
        )
    }
}
