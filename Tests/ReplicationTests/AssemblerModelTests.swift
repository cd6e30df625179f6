// SPDX-License-Identifier: Apache-2.0
//
// Random streams against a model that knows nothing of batches: a list of what each transaction
// did. However the stream is cut, the batches one after another are the model, and at each
// checkpoint exactly the transactions that ended before it are whole.

import ChangeModel
import Replication
import Support
import Testing

/// One run: the messages as they are made, and what must come of them.
private struct Run {
    static let start: UInt64 = 1_000

    var random: SeededGenerator
    var assembler: BatchAssembler
    var relations = [relation(1, "a"), relation(2, "b"), relation(3, "c")]
    /// Not in the baseline: published and not taken.
    let stranger = relation(9, "stranger")

    var expected: [String] = []
    /// How many of `expected` are committed before a position.
    var boundaries: [(position: UInt64, count: Int)] = [(start, 0)]
    var found: [String] = []
    var lsn: UInt64 = 500
    var notices = 0

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        assembler = BatchAssembler(
            at: Self.start,
            relations,
            policy: StreamPolicy(onTruncate: .apply)
        )
    }

    mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }

    mutating func transaction(_ xid: UInt32) throws {
        let commit = lsn + UInt64.random(in: 1...40, using: &random)
        let isTaken = commit >= Self.start
        var ordinals: [String: Int] = [:]
        var ordinal = 0
        try assembler.feed(Messages.begin(commit: commit, xid: xid))
        for relation in relations + [stranger] { try assembler.feed(Messages.relation(relation)) }
        for _ in 0..<Int.random(in: 0...8, using: &random) {
            try cut()
            if isTaken, chance(5) { try widen() }
            let (message, text) = row()
            try assembler.feed(message)
            guard isTaken, let text else { continue }
            ordinal += 1
            ordinals[text.table, default: 0] += 1
            expected.append(
                "\(xid)@\(commit) \(ordinal)/\(ordinals[text.table] ?? 0) \(text.table) \(text.row)"
            )
        }
        lsn = commit + UInt64.random(in: 1...10, using: &random)
        try assembler.feed(Messages.commit(commit, end: lsn))
        if isTaken { boundaries.append((lsn, expected.count)) }
    }

    /// ADD COLUMN within the transaction.
    mutating func widen() throws {
        let index = Int.random(in: 0..<relations.count, using: &random)
        let name = "more\(relations[index].columns.count)"
        relations[index].columns.append(Column(name: name, typeOID: 25))
        notices += 1
        try assembler.feed(Messages.relation(relations[index]))
    }

    mutating func row() -> ([UInt8], (table: String, row: String)?) {
        let isStrange = chance(15)
        let relation =
            isStrange ? stranger : relations[Int.random(in: 0..<relations.count, using: &random)]
        let values = relation.columns.map { _ in
            String(Int.random(in: 0..<1_000, using: &random))
        }
        let wire = values.map { Value.text($0) }
        let key = wire.enumerated().map { $0.offset == 0 ? $0.element : .null }
        let new = "(" + values.joined(separator: ",") + ")"
        let old =
            "("
            + values.enumerated().map { $0.offset == 0 ? $0.element : "absent" }
            .joined(separator: ",") + ")"
        let (message, text): ([UInt8], String) =
            switch Int.random(in: 0..<10, using: &random) {
            case 0: (Messages.truncate([relation.oid]), "truncate")
            case 1, 2: (Messages.delete(relation.oid, key: key), "delete \(old)")
            case 3: (Messages.update(relation.oid, wire), "update \(new)")
            case 4: (Messages.update(relation.oid, key: key, wire), "update \(old) \(new)")
            default: (Messages.insert(relation.oid, wire), "insert \(new)")
            }
        return (message, isStrange ? nil : (relation.name, text))
    }

    /// Now and then a keepalive, and now and then the end of a batch.
    mutating func cut() throws {
        if chance(20) {
            if !assembler.isInTransaction { lsn += UInt64.random(in: 0...20, using: &random) }
            assembler.advance(to: LSN(lsn))
            if !assembler.isInTransaction, lsn > Self.start {
                boundaries.append((lsn, expected.count))
            }
        }
        guard chance(25) else { return }
        take()
    }

    mutating func take() {
        let batch = assembler.take(next: ChangeBatch())
        let before = found.count
        found += batch.lines
        #expect(batch.committedCount <= batch.changes.count)
        guard let checkpoint = batch.checkpoint else {
            #expect(batch.committedCount == 0)
            return
        }
        let committed = boundaries.last { $0.position <= checkpoint.position.rawValue }?.count ?? 0
        let isTail = batch.committedCount > 0
        // What is committed and not in this batch was in an earlier one, as a whole.
        #expect(isTail ? before + batch.committedCount == committed : before == committed)
        #expect(boundaries.contains { $0.position == checkpoint.position.rawValue })
    }
}

@Suite struct AssemblerModelTests {
    @Test(arguments: 1...60 as ClosedRange<UInt64>)
    func `batches one after another are the stream, however it is cut`(seed: UInt64) throws {
        var run = Run(seed: seed)
        for xid in 1...60 as ClosedRange<UInt32> {
            try run.transaction(xid)
            try run.cut()
        }
        run.take()
        #expect(run.found == run.expected, "seed \(seed)")
        #expect(!run.expected.isEmpty && run.expected.count > 50)
        #expect(run.assembler.notices.count == run.notices)
        #expect(!run.assembler.hasBoundary)
    }
}
