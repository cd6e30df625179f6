// SPDX-License-Identifier: Apache-2.0
//
// Rule 3 in the assembler: what becomes of changes of tables of which not all is copied.

import ChangeModel
import Replication
import Testing

@Suite struct CopyFilterTests {
    private let a = relation(1, "a", ["v", "w"])
    private let whole = relation(2, "b", ["v", "w"])

    /// A running checkpoint at 100: `b` is whole, and of `a` what the progress says.
    private func assembler(
        _ progress: TableCopy.Progress,
        point: UInt64 = 100,
        takesUncopied: Bool = false,
        onTruncate: StreamPolicy.OnTruncate = .apply
    ) -> BatchAssembler {
        var checkpoint = checkpoint(at: 100, [a, whole])
        checkpoint.snapshot = .running
        checkpoint.snapshotLSN = LSN(100)
        checkpoint.copies = [
            TableCopy(oid: 1, point: LSN(point), progress: progress),
            TableCopy(oid: 2, point: LSN(100), progress: .whole),
        ]
        var policy = StreamPolicy(onTruncate: onTruncate)
        policy.takesUncopied = takesUncopied
        return BatchAssembler(
            checkpoint: checkpoint,
            policy: policy,
            types: TypeCatalog(),
            resolveTypes: { _ in [] }
        )
    }

    private func keys(_ pairs: (Int64?, Int64?)...) -> TableCopy.Progress {
        .keys(column: "id", KeyRanges(pairs.map { KeyRange($0.0, $0.1) }))
    }

    private func row(_ key: Int, _ second: Value = .text("w")) -> [Value] {
        [.text("\(key)"), .text("v"), second]
    }

    /// The lines of one transaction without its head, and the checkpoint after it.
    private func run(
        _ assembler: inout BatchAssembler,
        commit: UInt64 = 200,
        _ messages: [[UInt8]]
    ) throws -> (lines: [String], checkpoint: Checkpoint?) {
        try assembler.feed(
            Messages.begin(commit: commit),
            Messages.relation(a),
            Messages.relation(whole)
        )
        for message in messages { try assembler.feed(message) }
        try assembler.feed(Messages.commit(commit, end: commit + 10))
        let batch = assembler.take()
        return (
            batch.lines.map { $0.split(separator: " ").dropFirst(2).joined(separator: " ") },
            batch.checkpoint
        )
    }

    private var everyKind: [[UInt8]] {
        [
            Messages.insert(1, row(5)), Messages.insert(1, row(50)),
            Messages.update(1, row(6)), Messages.update(1, row(60)),
            Messages.update(1, key: [.text("7"), .null, .null], row(8)),
            Messages.update(1, key: [.text("70"), .null, .null], row(80)),
            Messages.delete(1, key: [.text("9"), .null, .null]),
            Messages.delete(1, key: [.text("90"), .null, .null]),
            Messages.insert(2, row(50)),
        ]
    }

    @Test func `rows that are copied are taken, others are left out`() throws {
        var assembler = assembler(keys((nil, 10)))
        let result = try run(&assembler, everyKind)
        #expect(
            result.lines == [
                "a insert (5,v,w)", "a update (6,v,w)", "a update (7,absent,absent) (8,v,w)",
                "a delete (9,absent,absent)", "b insert (50,v,w)",
            ]
        )
        #expect(result.checkpoint?.copies.map(\.progress) == [keys((nil, 10)), .whole])
        #expect(result.checkpoint?.position == LSN(210))
    }

    @Test func `of a table of which nothing is copied nothing is taken`() throws {
        var assembler = assembler(.nothing)
        let lines1 = try run(&assembler, everyKind).lines
        #expect(lines1 == ["b insert (50,v,w)"])
    }

    @Test func `a row that moves between the parts is deleted or inserted`() throws {
        var assembler = assembler(keys((nil, 10)))
        let result = try run(
            &assembler,
            [
                Messages.update(1, key: [.text("7"), .null, .null], row(70)),
                Messages.update(1, key: [.text("80"), .null, .null], row(8)),
                Messages.update(1, key: [.text("6"), .null, .null], row(60, .unchanged)),
            ]
        )
        #expect(
            result.lines == [
                "a delete (7,absent,absent)", "a insert (8,v,w)", "a delete (6,absent,absent)",
            ]
        )
        #expect(result.checkpoint?.copy(of: 1).progress == keys((nil, 10)))
    }

    @Test func `one that comes without all its values makes a hole that is filled by what follows`()
        throws
    {
        var assembler = assembler(keys((nil, 10)))
        let moved = Messages.update(1, key: [.text("80"), .null, .null], row(8, .unchanged))
        let first = try run(&assembler, [moved, Messages.update(1, row(8))])
        #expect(first.lines.isEmpty, "the row is not there, and will be read whole")
        #expect(first.checkpoint?.copy(of: 1).progress == keys((nil, 8), (9, 10)))
        let second = try run(
            &assembler,
            commit: 300,
            [
                Messages.update(1, key: [.text("8"), .null, .null], row(5)),
                Messages.insert(1, row(8)),
            ]
        )
        #expect(second.lines == ["a insert (5,v,w)"])
    }

    @Test func `a transaction that does not end leaves no hole behind`() throws {
        var assembler = assembler(keys((nil, 10)))
        _ = try run(&assembler, [Messages.insert(1, row(1))])
        try assembler.feed(
            Messages.begin(commit: 300),
            Messages.update(1, key: [.text("80"), .null, .null], row(8, .unchanged))
        )
        assembler.advance(to: LSN(290))
        assembler.dropUnfinishedTransaction()
        #expect(assembler.take().checkpoint == nil)
    }

    @Test func `where uncopied rows are shown all is taken, and holes are made all the same`()
        throws
    {
        var assembler = assembler(keys((nil, 10)), takesUncopied: true)
        let result = try run(
            &assembler,
            [
                Messages.insert(1, row(50)),
                Messages.update(1, key: [.text("7"), .null, .null], row(70)),
                Messages.update(1, key: [.text("80"), .null, .null], row(8, .unchanged)),
            ]
        )
        #expect(
            result.lines == [
                "a insert (50,v,w)", "a update (7,absent,absent) (70,v,w)",
                "a update (80,absent,absent) (8,v,unchanged)",
            ]
        )
        #expect(result.checkpoint?.copy(of: 1).progress == keys((nil, 8), (9, 10)))
        var nothing = self.assembler(.nothing, takesUncopied: true)
        let all = try run(&nothing, everyKind)
        #expect(all.lines.count == 9)
    }

    @Test(arguments: [
        TableCopy.Progress.whole, .nothing, .keys(column: "id", KeyRanges([.everything])),
    ])
    func `what commits before the table's point is in its rows already`(
        progress: TableCopy.Progress
    ) throws {
        var assembler = assembler(progress, point: 250, takesUncopied: true)
        let lines2 = try run(&assembler, [Messages.insert(1, row(5))]).lines
        #expect(lines2.isEmpty)
        let later = try run(&assembler, commit: 250, [Messages.insert(1, row(6))])
        #expect(later.lines == ["a insert (6,v,w)"])
    }

    @Test func `a table that is whole at the position needs no word of it once all is complete`()
        throws
    {
        var checkpoint = checkpoint(at: 100, [a])
        checkpoint.copies = [TableCopy(oid: 1, point: LSN(205), progress: .whole)]
        var assembler = BatchAssembler(
            checkpoint: checkpoint,
            policy: StreamPolicy(),
            types: TypeCatalog(),
            resolveTypes: { _ in [] }
        )
        let first = try run(&assembler, commit: 190, [Messages.insert(1, row(5))])
        #expect(first.lines.isEmpty && first.checkpoint?.copies.count == 1)
        let second = try run(&assembler, commit: 205, [Messages.insert(1, row(6))])
        #expect(second.lines == ["a insert (6,v,w)"] && second.checkpoint?.copies == [])
    }

    @Test func `a TRUNCATE concerns what is copied`() throws {
        let truncate = [Messages.truncate([1])]
        var part = assembler(keys((nil, 10)))
        let lines3 = try run(&part, truncate).lines
        #expect(lines3 == ["a truncate"])
        var nothing = assembler(.nothing, onTruncate: .stop)
        let lines4 = try run(&nothing, truncate).lines
        #expect(lines4.isEmpty)
        var stopped = assembler(keys((nil, 10)), onTruncate: .stop)
        #expect(throws: WalrelayError.self) { try run(&stopped, truncate) }
    }

    @Test func `more holes than are told apart are refused`() throws {
        var assembler = assembler(keys((nil, 100_000)))
        let moves = (0..<5_000).map { index in
            Messages.update(
                1,
                key: [.text("\(200_000 + index)"), .null, .null],
                row(index * 2, .unchanged)
            )
        }
        let error = #expect(throws: WalrelayError.self) { try run(&assembler, moves) }
        #expect(error?.code == "snapshot.scattered" && error?.exit == .refused)
        // In one place they are one hole.
        var together = self.assembler(keys((nil, 100_000)))
        let near = (0..<5_000).map { index in
            Messages.update(
                1,
                key: [.text("\(200_000 + index)"), .null, .null],
                row(index, .unchanged)
            )
        }
        let result = try run(&together, near)
        #expect(result.checkpoint?.copy(of: 1).progress == keys((nil, 0), (5_000, 100_000)))
    }

    @Test(arguments: [
        TableCopy(oid: 1, point: .max), TableCopy(oid: 1, point: LSN(300)),
        TableCopy(oid: 1, point: LSN(300), progress: .whole),
    ])
    func `a table may look like anything while its changes are left out`(
        copy: TableCopy
    ) throws {
        var checkpoint = checkpoint(at: 100, [a])
        checkpoint.copies = [copy]
        var assembler = BatchAssembler(
            checkpoint: checkpoint,
            policy: StreamPolicy(),
            types: TypeCatalog(),
            resolveTypes: { _ in [] }
        )
        let former = relation(1, "a", ["v", "dropped since"])
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(former),
            Messages.insert(1, row(5)),
            Messages.commit(200, end: 210)
        )
        let batch = assembler.take()
        #expect(batch.lines.isEmpty && batch.checkpoint?.relations == [a])
        #expect(batch.checkpoint?.position == LSN(210))
        guard copy.progress == .whole else { return }
        // From the point on it has to look like what was copied.
        try assembler.feed(Messages.begin(commit: 300))
        #expect(throws: WalrelayError.self) { try assembler.feed(Messages.relation(former)) }
    }
}
