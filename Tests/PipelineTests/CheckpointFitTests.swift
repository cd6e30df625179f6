// SPDX-License-Identifier: Apache-2.0
//
// What the server says is taken from a real one and then changed, one thing a case.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import Pipeline
@testable import Replication

@Suite struct CheckpointFitTests {
    private struct World: Sendable {
        var checkpoint: Checkpoint
        var facts: ServerFacts
        var slot: SlotState?
    }

    private func world() async throws -> World {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        try cluster.psql("SELECT pg_create_logical_replication_slot('di_slot_t', 'pgoutput')")
        return try await onThread {
            let connection = try Connection.open(cluster.parameters)
            let facts = try ServerFacts(on: connection)
            let slot = try SlotState.named("di_slot_t", on: connection)
            let checkpoint = Checkpoint(
                task: "t",
                systemIdentifier: facts.systemIdentifier,
                database: "postgres",
                slot: "di_slot_t",
                position: slot?.confirmedFlushLSN ?? .zero,
                snapshot: .complete,
                snapshotLSN: nil,
                relations: []
            )
            return World(checkpoint: checkpoint, facts: facts, slot: slot)
        }
    }

    private func code(_ world: World) -> String? {
        let options = TaskOptions(
            task: "t",
            source: ConnectionParameters(keywords: [:]),
            tables: TableSelection(include: [])
        )
        do throws(WalrelayError) {
            try CheckpointFit.verifyOrigin(
                of: world.checkpoint,
                options: options,
                facts: world.facts
            )
            try CheckpointFit.verify(
                world.checkpoint,
                against: world.slot,
                options: options,
                facts: world.facts
            )
            return nil
        } catch {
            #expect(error.exit == .checkpointMismatch)
            #expect(!error.hint.isEmpty && !error.isTransient)
            return error.code
        }
    }

    @Test func `each way in which a checkpoint and a source do not belong together is told`()
        async throws
    {
        let sound = try await world()
        #expect(code(sound) == nil)
        let position = sound.checkpoint.position.rawValue
        let cases: [(String?, (inout World) -> Void)] = [
            ("checkpoint.other_task", { $0.checkpoint.task = "u" }),
            ("checkpoint.other_system", { $0.checkpoint.systemIdentifier = "1" }),
            ("checkpoint.other_database", { $0.facts.database = "other" }),
            ("slot.missing", { $0.slot = nil }),
            ("slot.wal_lost", { $0.slot?.walStatus = "lost" }),
            ("slot.wal_lost", { $0.slot?.invalidationReason = "wal_removed" }),
            ("slot.ahead", { $0.slot?.confirmedFlushLSN = LSN(position + 1) }),
            ("checkpoint.ahead", { $0.facts.walLSN = LSN(position - 1) }),
            (
                "slot.missing",
                {
                    $0.slot = nil
                    $0.facts.walLSN = LSN(position - 1)
                }
            ),
            // A standby may be behind what its primary has sent us.
            (
                nil,
                {
                    $0.facts.isStandby = true
                    $0.facts.walLSN = LSN(position - 1)
                }
            ),
            (nil, { $0.slot?.confirmedFlushLSN = LSN(position - 1) }),
            (nil, { $0.slot?.confirmedFlushLSN = nil }),
            (nil, { $0.facts.walLSN = LSN(position) }),
        ]
        for (index, (expected, change)) in cases.enumerated() {
            var world = sound
            change(&world)
            #expect(code(world) == expected, "case \(index)")
        }
    }

    @Test func `a part of a transaction that the server does not have is ahead of it`() async throws
    {
        let world = try await world()
        let options = TaskOptions(
            task: "t",
            source: ConnectionParameters(keywords: [:]),
            tables: TableSelection(include: [])
        )
        for (beyond, expected) in [(UInt64(0), String?.none), (1, "checkpoint.ahead")] {
            do throws(WalrelayError) {
                try CheckpointFit.verify(
                    world.checkpoint,
                    reach: LSN(world.facts.walLSN.rawValue + beyond),
                    against: world.slot,
                    options: options,
                    facts: world.facts
                )
                #expect(expected == nil)
            } catch {
                #expect(error.code == expected)
            }
        }
    }

    @Test func `an unfinished snapshot needs no slot, and yet the same system`() async throws {
        var world = try await world()
        world.checkpoint.snapshot = .running
        world.checkpoint.position = .zero
        world.slot = nil
        #expect(code(world) == nil)
        world.facts.systemIdentifier = "1"
        #expect(code(world) == "checkpoint.other_system")
    }
}
