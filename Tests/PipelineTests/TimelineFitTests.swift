// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint against servers of other timelines: only one in whose past it lies is gone on with.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import Pipeline
@testable import Replication

@Suite struct TimelineFitTests {
    private static let history = TimelineHistory(parsing: "1\t0/2000\tx\n2\t0/5000\tx\n")

    private func code(
        _ former: UInt32?,
        at position: String,
        on timeline: UInt32,
        snapshot: Checkpoint.SnapshotState = .complete,
        reach: String? = nil
    ) async throws -> String? {
        let cluster = try await Self.cluster.value
        return try await onThread {
            var facts = try ServerFacts(on: Connection.open(cluster.parameters))
            facts.timeline = timeline
            let checkpoint = Checkpoint(
                task: "t",
                systemIdentifier: facts.systemIdentifier,
                database: "postgres",
                slot: "di_slot_t",
                position: LSN(position) ?? .zero,
                snapshot: snapshot,
                snapshotLSN: nil,
                relations: [],
                timeline: former
            )
            do {
                try CheckpointFit.verifyTimeline(
                    of: checkpoint,
                    reach: reach.flatMap { LSN($0) },
                    facts: facts
                ) { Self.history }
                return nil
            } catch let error as WalrelayError {
                #expect(error.exit == .checkpointMismatch && !error.hint.isEmpty)
                return error.code
            }
        }
    }

    private static let cluster = Task { try await PostgresCluster.start() }

    @Test func `only what lies in the server's past is gone on with`() async throws {
        #expect(try await code(3, at: "0/9000", on: 3) == nil)
        #expect(try await code(nil, at: "0/9000", on: 3) == nil, "of an earlier version")
        #expect(try await code(2, at: "0/4FFF", on: 3) == nil)
        #expect(try await code(2, at: "0/5000", on: 3) == nil)
        #expect(try await code(2, at: "0/5001", on: 3) == "checkpoint.diverged")
        #expect(try await code(1, at: "0/2000", on: 3) == nil)
        #expect(try await code(1, at: "0/3000", on: 3) == "checkpoint.diverged")
        #expect(try await code(7, at: "0/1", on: 9) == "checkpoint.diverged", "no ancestor")
        #expect(try await code(4, at: "0/1", on: 3) == "server.passed_over")
        // A part of a transaction that the former primary alone has committed.
        #expect(try await code(2, at: "0/4000", on: 3, reach: "0/5000") == nil)
        #expect(try await code(2, at: "0/4000", on: 3, reach: "0/5001") == "checkpoint.diverged")
        #expect(
            try await code(4, at: "0/0", on: 3, snapshot: .running) == nil,
            "what begins anew has nothing to lose"
        )
    }
}
