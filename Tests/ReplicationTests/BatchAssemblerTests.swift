// SPDX-License-Identifier: Apache-2.0
//
// The assembler is fed bytes; each test reads like a trace of the protocol.

import ChangeModel
import Replication
import Testing

@Suite struct BatchAssemblerTests {
    private let a = relation(1, "a")
    private let b = relation(2, "b")

    // MARK: Batches, boundaries and checkpoints

    @Test func `a transaction comes out whole with its order and a checkpoint at its end`()
        throws
    {
        var assembler = BatchAssembler([a, b])
        try assembler.feed(
            Messages.begin(commit: 200, xid: 9, time: 5),
            Messages.relation(a),
            Messages.relation(b),
            Messages.insert(1, [.text("1"), .text("x")]),
            Messages.insert(2, [.text("1"), .null]),
            Messages.insert(1, [.text("2"), .text("")])
        )
        #expect(assembler.isInTransaction && !assembler.hasBoundary && !assembler.hasNoChanges)
        try assembler.feed(Messages.commit(200, end: 210))
        #expect(!assembler.isInTransaction && assembler.hasBoundary)
        let batch = assembler.take()
        #expect(
            batch.lines == [
                "9@200 1/1 a insert (1,x)", "9@200 2/1 b insert (1,NULL)",
                "9@200 3/2 a insert (2,)",
            ]
        )
        #expect(batch.committedCount == 3 && batch.committedTransactions == 1)
        #expect(batch.checkpoint?.position == LSN(210))
        #expect(batch.transactions.map(\.commitTime.microseconds) == [5])
        #expect(!assembler.hasBoundary && assembler.hasNoChanges)
        #expect(assembler.take().checkpoint == nil)
    }

    @Test func `a transaction goes on over batches and its order with it`() throws {
        var assembler = BatchAssembler([a])
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(a),
            Messages.insert(1, [.text("1"), .null]),
            Messages.commit(200, end: 210),
            Messages.begin(commit: 300, xid: 8),
            Messages.insert(1, [.text("2"), .null])
        )
        let first = assembler.take()
        #expect(first.committedCount == 1 && first.changes.count == 2)
        #expect(first.checkpoint?.position == LSN(210))
        try assembler.feed(Messages.insert(1, [.text("3"), .null]))
        assembler.advance(to: LSN(9_999))
        #expect(!assembler.hasBoundary, "inside a transaction a keepalive moves nothing")
        let middle = assembler.take()
        #expect(middle.checkpoint == nil && middle.committedCount == 0)
        #expect(middle.lines == ["8@300 2/2 a insert (3,NULL)"])
        try assembler.feed(
            Messages.insert(1, [.text("4"), .null]),
            Messages.commit(300, end: 310)
        )
        let last = assembler.take()
        #expect(last.lines == ["8@300 3/3 a insert (4,NULL)"])
        #expect(last.committedCount == 1 && last.committedTransactions == 1)
        #expect(last.checkpoint?.position == LSN(310))
    }

    @Test func `a position that moved is a checkpoint, also behind a begun transaction`() throws {
        var assembler = BatchAssembler([a])
        assembler.advance(to: LSN(90))
        #expect(!assembler.hasBoundary, "a position never goes back")
        assembler.advance(to: LSN(150))
        #expect(assembler.hasBoundary && assembler.hasNoChanges)
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(a),
            Messages.insert(1, [.text("1"), .null])
        )
        let batch = assembler.take()
        #expect(batch.checkpoint?.position == LSN(150) && batch.committedCount == 0)
        #expect(batch.changes.count == 1)
    }

    @Test func `an empty transaction moves the position alone`() throws {
        var assembler = BatchAssembler([a])
        try assembler.feed(Messages.begin(commit: 200), Messages.commit(200, end: 210))
        let batch = assembler.take()
        #expect(batch.changes.isEmpty && batch.transactions.isEmpty)
        #expect(batch.committedTransactions == 1 && batch.checkpoint?.position == LSN(210))
    }

    @Test func `what the sink has is left out, to the byte`() throws {
        var assembler = BatchAssembler(at: 200, [a])
        try assembler.feed(
            Messages.begin(commit: 199),
            Messages.relation(a),
            Messages.insert(1, [.text("old"), .null]),
            Messages.update(1, key: [.text("old"), .null], [.text("new"), .null]),
            Messages.delete(1, key: [.text("new"), .null]),
            Messages.truncate([1]),
            Messages.commit(199, end: 200)
        )
        #expect(!assembler.hasBoundary && assembler.batch.cells.isEmpty)
        // A commit that begins exactly at the position is not in the sink.
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.insert(1, [.text("1"), .null]),
            Messages.commit(200, end: 230)
        )
        let batch = assembler.take()
        #expect(batch.lines == ["7@200 1/1 a insert (1,NULL)"])
        #expect(batch.checkpoint?.position == LSN(230))
    }

    @Test func `a relation that is not taken counts for nothing`() throws {
        let other = relation(9, "other")
        var assembler = BatchAssembler([a])
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(other),
            Messages.relation(a),
            Messages.insert(9, [.text("1"), .null]),
            Messages.insert(1, [.text("1"), .null]),
            Messages.update(9, key: [.text("1"), .null], [.text("2"), .null]),
            Messages.delete(9, key: [.text("2"), .null]),
            Messages.truncate([9]),
            Messages.insert(1, [.text("2"), .null]),
            Messages.commit(200, end: 210)
        )
        let batch = assembler.take()
        #expect(batch.lines == ["7@200 1/1 a insert (1,NULL)", "7@200 2/2 a insert (2,NULL)"])
        #expect(batch.relations.map(\.relation.name) == ["a"])
        #expect(batch.cells.count == 4)
        #expect(batch.checkpoint?.relations == [a])
    }

    // MARK: Rows

    @Test func `a key that was not sent is absent, a value left as it was is unchanged`() throws {
        var assembler = BatchAssembler([a])
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(a),
            Messages.update(1, key: [.text("1"), .null], [.text("2"), .unchanged]),
            Messages.update(1, [.text("2"), .null]),
            Messages.delete(1, key: [.text("2"), .null]),
            Messages.commit(200, end: 210)
        )
        #expect(
            assembler.take().lines == [
                "7@200 1/1 a update (1,absent) (2,unchanged)", "7@200 2/2 a update (2,NULL)",
                "7@200 3/3 a delete (2,absent)",
            ]
        )
    }

    @Test func `ten thousand relations keep their own order across batches`() throws {
        let all = (1...10_000).map { relation(UInt32($0), "t\($0)") }
        var assembler = BatchAssembler(all)
        try assembler.feed(Messages.begin(commit: 200))
        for relation in all { try assembler.feed(Messages.relation(relation)) }
        for round in 1...2 {
            for relation in all.reversed() {
                try assembler.feed(Messages.insert(relation.oid, [.text("\(round)"), .null]))
            }
            if round == 2 { try assembler.feed(Messages.commit(200, end: 210)) }
            let batch = assembler.take()
            #expect(batch.relations.count == 10_000)
            #expect(batch.changes.allSatisfy { $0.relationOrdinal == UInt64(round) })
            #expect(batch.changes.last?.ordinal == UInt64(round * 10_000))
            #expect(
                batch.lines.last == "7@200 \(round * 10_000)/\(round) t1 insert (\(round),NULL)"
            )
        }
    }

    // MARK: Schema

    @Test func `an added column is followed within the transaction, announced and kept`() throws {
        let wider = relation(1, "a", ["v", "w"])
        var assembler = BatchAssembler([b, a])
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(a),
            Messages.insert(1, [.text("1"), .null]),
            Messages.relation(wider),
            Messages.insert(1, [.text("2"), .null, .text("w")])
        )
        let notice = try #require(assembler.notices.first)
        #expect(notice.contains("public.a") && notice.contains("\"w\""))
        try assembler.feed(Messages.commit(200, end: 210))
        let batch = assembler.take()
        #expect(
            batch.lines == ["7@200 1/1 a insert (1,NULL)", "7@200 2/2 a insert (2,NULL,w)"]
        )
        #expect(batch.relations[0].version != batch.relations[1].version)
        #expect(batch.checkpoint?.relations == [wider, b], "in the order of the OIDs")
    }

    @Test func `a schema that only an unfinished transaction saw is in no checkpoint`() throws {
        let wider = relation(1, "a", ["v", "w"])
        var assembler = BatchAssembler([a])
        assembler.advance(to: LSN(150))
        try assembler.feed(Messages.begin(commit: 200), Messages.relation(wider))
        #expect(assembler.take().checkpoint?.relations == [a])
        try assembler.feed(Messages.commit(200, end: 210))
        #expect(assembler.take().checkpoint?.relations == [wider])
    }

    @Test func `a refusal names everything and leaves what came before`() throws {
        var changed = relation(1, "renamed", ["x"])
        changed.columns[0].typeOID = 20
        changed.replicaIdentity = .full
        var assembler = BatchAssembler([a])
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(a),
            Messages.insert(1, [.text("1"), .null]),
            Messages.commit(200, end: 210),
            Messages.begin(commit: 0x1_0000_0300, xid: 77),
            Messages.insert(1, [.text("2"), .null])
        )
        let error = try #require(throws: WalrelayError.self) {
            try assembler.feed(Messages.relation(changed))
        }
        #expect(error.code == "stream.ddl_refused" && error.exit == .refused)
        for part in [
            "public.renamed", "public.a", "\"v\"", "\"x\"", "OID 23", "OID 20", "1/300", "xid 77",
            "replica identity full",
        ] {
            #expect(error.message.contains(part), "\(part) in: \(error.message)")
        }
        #expect(error.hint.contains("1/300"))
        assembler.dropUnfinishedTransaction()
        let batch = assembler.take()
        #expect(batch.lines == ["7@200 1/1 a insert (1,NULL)"])
        #expect(batch.committedCount == 1 && batch.transactions.count == 1)
        #expect(batch.checkpoint?.position == LSN(210) && batch.checkpoint?.relations == [a])
    }

    @Test func `an accepted change is followed, at its own transaction only`() throws {
        let retyped = relation(1, "a", ["w"])
        let policy = StreamPolicy(acceptedDDL: [LSN(200)])
        var assembler = BatchAssembler([a], policy: policy)
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(retyped),
            Messages.insert(1, [.text("1"), .null]),
            Messages.commit(200, end: 210)
        )
        #expect(assembler.notices.count == 1)
        #expect(assembler.take().checkpoint?.relations == [retyped])
        try assembler.feed(Messages.begin(commit: 300))
        #expect(throws: WalrelayError.self) { try assembler.feed(Messages.relation(a)) }
    }

    @Test func `a table that was dropped and made anew is refused`() throws {
        var assembler = BatchAssembler([a])
        try assembler.feed(Messages.begin(commit: 200))
        let error = try #require(throws: WalrelayError.self) {
            try assembler.feed(Messages.relation(relation(5, "a")))
        }
        #expect(error.exit == .refused && error.message.contains("OID 1"))
    }

    @Test func `what a skipped transaction saw is not held against the checkpoint`() throws {
        let wider = relation(1, "a", ["v", "w"])
        var assembler = BatchAssembler(at: 500, [wider])
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(a),
            Messages.insert(1, [.text("1"), .null]),
            Messages.commit(200, end: 210),
            Messages.begin(commit: 500),
            Messages.relation(wider),
            Messages.insert(1, [.text("2"), .null, .null]),
            Messages.commit(500, end: 510)
        )
        let batch = assembler.take()
        #expect(batch.lines == ["7@500 1/1 a insert (2,NULL,NULL)"])
        #expect(batch.checkpoint?.relations == [wider])
    }

    @Test func `a provisional baseline is corrected once, by the first that counts`() throws {
        let former = relation(1, "a", ["former"])
        var assembler = BatchAssembler([a], provisional: true)
        try assembler.feed(
            Messages.begin(commit: 50),
            Messages.relation(relation(1, "a", ["skipped"])),
            Messages.commit(50, end: 60),
            Messages.begin(commit: 200),
            Messages.relation(former),
            Messages.commit(200, end: 210)
        )
        #expect(assembler.take().checkpoint?.relations == [former])
        try assembler.feed(Messages.begin(commit: 300))
        #expect(throws: WalrelayError.self) { try assembler.feed(Messages.relation(a)) }
    }

    @Test func `types that nobody knows are asked for once`() throws {
        var custom = relation(1, "a")
        custom.columns[1].typeOID = 70_000
        let log = Log()
        var assembler = BatchAssembler(
            checkpoint: checkpoint(at: 100, [custom]),
            policy: StreamPolicy(),
            types: TypeCatalog(),
            resolveTypes: { oids in
                log.asked.append(oids)
                return [
                    TypeEntry(oid: 70_000, name: "mood", schema: "public", kind: .enumeration)
                ]
            }
        )
        for commit in [UInt64(200), 300] {
            try assembler.feed(
                Messages.begin(commit: commit),
                Messages.relation(custom),
                Messages.commit(commit, end: commit + 10)
            )
        }
        #expect(log.asked == [[70_000]])
    }

    private final class Log { var asked: [[UInt32]] = [] }

    // MARK: TRUNCATE

    @Test(arguments: [StreamPolicy.OnTruncate.stop, .ignore, .apply])
    func `a TRUNCATE is refused, left out or handed on`(policy: StreamPolicy.OnTruncate) throws {
        var assembler = BatchAssembler([a, b], policy: StreamPolicy(onTruncate: policy))
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(a),
            Messages.relation(b),
            Messages.insert(1, [.text("1"), .null])
        )
        let truncate = Messages.truncate([1, 2])
        if policy == .stop {
            let error = try #require(throws: WalrelayError.self) {
                try assembler.feed(truncate)
            }
            #expect(error.code == "stream.truncate_refused" && error.exit == .refused)
            #expect(error.message.contains("public.a") && error.message.contains("0/C8"))
            return
        }
        try assembler.feed(
            truncate,
            Messages.insert(2, [.text("2"), .null]),
            Messages.commit(200, end: 210)
        )
        let rows = ["7@200 1/1 a insert (1,NULL)", "7@200 2/2 a truncate", "7@200 3/1 b truncate"]
        #expect(
            assembler.take().lines
                == (policy == .apply
                    ? rows + ["7@200 4/2 b insert (2,NULL)"]
                    : [rows[0], "7@200 2/1 b insert (2,NULL)"])
        )
    }

    // MARK: Nonsense

    @Test func `what makes no sense is an error with its position and never a trap`() throws {
        let insert = Messages.insert(1, [.text("1"), .null])
        let begin = Messages.begin(commit: 200)
        let cases: [(String, [[UInt8]])] = [
            ("outside", [insert]),
            ("outside", [Messages.relation(a)]),
            ("outside", [Messages.truncate([1])]),
            ("begins inside", [begin, begin]),
            ("no open transaction", [Messages.commit(200, end: 210)]),
            ("no open transaction", [begin, Messages.commit(201, end: 210)]),
            ("before its description", [begin, insert]),
            ("1 columns, not 2", [begin, Messages.relation(a), Messages.insert(1, [.null])]),
            (
                "columns, not 2",
                [
                    begin, Messages.relation(a),
                    Messages.update(1, key: [.null], [.text("1"), .null]),
                ]
            ),
            ("columns, not 2", [begin, Messages.relation(a), Messages.delete(1, key: [.null])]),
        ]
        for (what, messages) in cases {
            var assembler = BatchAssembler([a])
            for message in messages.dropLast() { try assembler.feed(message) }
            let error = try #require(throws: WalrelayError.self) {
                try assembler.feed(messages[messages.count - 1], at: 0xABC)
            }
            #expect(error.message.contains(what), "\(error.message)")
            #expect(error.message.contains("0/ABC"))
            #expect(error.exit == .internalError && !error.isTransient)
        }
    }
}
