// SPDX-License-Identifier: Apache-2.0
//
// Rule 3 for tables that are copied beside the stream: which changes pass, and which wait.

import ChangeModel
import Testing

@testable import Replication

@Suite struct CopyGateTests {
    @Test func `a change passes below the floor, and waits from it on`() {
        let gate = CopyGate()
        #expect(gate.mayPass(7, committedAt: LSN(100)))
        gate.hold([7, 8], from: LSN(100))
        #expect(gate.mayPass(7, committedAt: LSN(99)))
        #expect(!gate.mayPass(7, committedAt: LSN(100)))
        #expect(gate.mayPass(9, committedAt: LSN(100)))
        gate.raise(to: LSN(200))
        #expect(gate.mayPass(8, committedAt: LSN(199)))
        gate.raise(to: LSN(150))
        #expect(gate.mayPass(8, committedAt: LSN(199)))
        gate.clear()
        #expect(gate.mayPass(8, committedAt: .max))
    }

    @Test func `who waits is told, and may go on once the floor has risen`() {
        let gate = CopyGate()
        gate.hold([7], from: LSN(100))
        #expect(gate.waitingCommit == nil && !gate.mayPass)
        gate.wait(with: LSN(120))
        #expect(gate.waitingCommit == LSN(120) && !gate.mayPass)
        gate.raise(to: LSN(121))
        #expect(gate.mayPass)
        gate.passed()
        #expect(gate.waitingCommit == nil)
    }

    @Test func `news are told once to each who looks`() {
        let gate = CopyGate()
        var (one, other) = (0, 0)
        let none = gate.news(since: &one)
        gate.hold([7], from: .zero)
        let held = gate.news(since: &one)
        let again = gate.news(since: &one)
        gate.clear()
        let cleared = gate.news(since: &one)
        let late = gate.news(since: &other)
        #expect(none == nil && held == [7] && again == nil && cleared == [] && late == [])
    }

    /// An assembler that knows table a; b is held at the gate from 200 on.
    private func assembler(_ gate: CopyGate, _ relations: [Relation]) -> BatchAssembler {
        BatchAssembler(
            checkpoint: checkpoint(at: 100, relations),
            policy: StreamPolicy(),
            types: TypeCatalog(),
            gate: gate,
            resolveTypes: { _ in [] }
        )
    }

    @Test func `changes of a table that is added are left out below the floor`() throws {
        let gate = CopyGate()
        gate.hold([2], from: LSN(200))
        var assembler = assembler(gate, [relation(1, "a")])
        try assembler.feed(
            Messages.begin(commit: 150),
            Messages.relation(relation(2, "b")),
            Messages.insert(2, [.text("1"), .null]),
            Messages.relation(relation(1, "a")),
            Messages.insert(1, [.text("2"), .null]),
            Messages.commit(150, end: 160)
        )
        let batch = assembler.take()
        #expect(batch.lines.count == 1 && batch.checkpoint?.position == LSN(160))
    }

    @Test func `a transaction that waits leaves no position with a part of it at the sink`() throws
    {
        let gate = CopyGate()
        gate.hold([2], from: LSN(200))
        var assembler = assembler(gate, [relation(1, "a")])
        try assembler.feed(
            Messages.begin(commit: 250),
            Messages.relation(relation(1, "a")),
            Messages.insert(1, [.text("1"), .null]),
            Messages.relation(relation(2, "b"))
        )
        // The sink has the beginning of it.
        #expect(assembler.take().lines.count == 1)
        #expect(throws: CopyAwaited.self) {
            try assembler.feed(Messages.insert(2, [.text("1"), .null]))
        }
        assembler.dropUnfinishedTransaction()
        #expect(!assembler.hasBoundary)
        // Once the sink has given it up, all before its commit counts.
        assembler.comeToDroppedTransaction()
        let batch = assembler.take()
        #expect(batch.lines.isEmpty && batch.checkpoint?.position == LSN(250))
    }
}
