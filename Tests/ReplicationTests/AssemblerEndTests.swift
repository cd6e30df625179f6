// SPDX-License-Identifier: Apache-2.0
//
// A stream that ends at a position: what commits before it is taken, whole, and nothing else.

import ChangeModel
import Replication
import Testing

@Suite struct AssemblerEndTests {
    private let a = relation(1, "a")

    private func transaction(
        _ commit: UInt64,
        _ id: String,
        in assembler: inout BatchAssembler
    )
        throws
    {
        try assembler.feed(
            Messages.begin(commit: commit),
            Messages.relation(a),
            Messages.insert(1, [.text(id), .null]),
            Messages.commit(commit, end: commit + 10)
        )
    }

    @Test func `what commits at the end or later is left out, and the position is the end`() throws
    {
        var assembler = BatchAssembler([a])
        assembler.until = LSN(300)
        try transaction(200, "1", in: &assembler)
        try transaction(290, "2", in: &assembler)
        #expect(assembler.isAtEnd, "a commit that ends at the end is the last that can come")
        try transaction(300, "3", in: &assembler)
        assembler.advance(to: LSN(900))
        let batch = assembler.take()
        #expect(batch.lines.count == 2 && batch.committedCount == 2)
        #expect(batch.checkpoint?.position == LSN(300))
        try transaction(310, "4", in: &assembler)
        #expect(assembler.take().isEmpty && assembler.position == LSN(300))
    }

    @Test func `a transaction that begins past the end shows that all before it has come`() throws {
        var assembler = BatchAssembler([a])
        assembler.until = LSN(300)
        try transaction(200, "1", in: &assembler)
        #expect(!assembler.isAtEnd)
        try assembler.feed(Messages.begin(commit: 1_000))
        #expect(assembler.isAtEnd && assembler.position == LSN(300))
        // Its refusals are of no interest either.
        try assembler.feed(
            Messages.relation(relation(1, "a", ["other"])),
            Messages.truncate([1])
        )
        #expect(assembler.take().lines.count == 1)
    }

    @Test func `a keepalive goes no further than the end`() throws {
        var assembler = BatchAssembler([a])
        assembler.until = LSN(300)
        assembler.advance(to: LSN(250))
        #expect(!assembler.isAtEnd && assembler.position == LSN(250))
        assembler.advance(to: LSN(900))
        #expect(assembler.isAtEnd && assembler.position == LSN(300))
    }

    @Test func `an end that lies behind the checkpoint leaves the position`() throws {
        var assembler = BatchAssembler([a])
        let start = assembler.position
        assembler.until = LSN(1)
        #expect(assembler.isAtEnd)
        assembler.advance(to: LSN(900))
        try transaction(950, "1", in: &assembler)
        #expect(assembler.take().isEmpty && assembler.position == start)
    }
}
