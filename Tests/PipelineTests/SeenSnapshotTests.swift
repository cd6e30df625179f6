// SPDX-License-Identifier: Apache-2.0
//
// Snapshots that are interrupted in a sink that shows them: whoever applies what the sink holds,
// in its order, ends with the source's tables, and the order never goes back.

import ChangeModel
import LibPQ
import Pipeline
import Support
import Synchronization
import Testing

@Suite struct SeenSnapshotTests {
    @Test func `rows that were seen are caught up with, then copied anew, and end exact`()
        async throws
    {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        let first = try #require(seen.store.checkpoint)
        let lsn = try #require(first.snapshotLSN)
        #expect(first.snapshot == .running && first.position == lsn && first.goesOn)
        #expect(first.relations.map(\.name) == ["t", "f"] && first.publicationOID != nil)
        #expect(seen.store.lines.count == 150)
        try seen.churn(1)
        try await seen.finish()
        let events = seen.store.state.withLock { $0.events }
        let again = try #require(events.last { $0.kind == .read }?.commitLSN)
        #expect(again > lsn && seen.store.checkpoint?.snapshotLSN == again)
        // Between the two snapshots: all of the churn, and nothing read.
        let between = events.filter { $0.commitLSN > lsn && $0.commitLSN < again }
        #expect(between.contains { $0.kind == .delete } && between.contains { $0.kind == .update })
        #expect(!between.contains { $0.kind == .read })
        #expect(seen.store.state.withLock { $0.points.filter { $0 == .beginSnapshot } }.count == 1)
        let slots = try seen.cluster.psql(
            "SELECT string_agg(slot_name, ',') FROM pg_replication_slots"
        )
        #expect(slots == "di_slot_t")
    }

    @Test func `a snapshot that nothing interrupts is announced before its first row`()
        async throws
    {
        let seen = try await SeenSnapshot()
        try await seen.finish()
        #expect(
            seen.store.points.prefix(9) == [
                .open, .inspect, .beginSnapshot, .prepare, .commit, .afterCommit, .write, .commit,
                .afterCommit,
            ]
        )
    }

    @Test func `interrupted before any row was written it begins anew`() async throws {
        let seen = try await SeenSnapshot()
        try await seen.interrupt([.prepare], hit: 1)
        #expect(seen.store.checkpoint?.goesOn == false)
        try seen.churn(1)
        try await seen.interrupt([.commit], hit: 1)
        #expect(seen.store.checkpoint?.goesOn == false)
        #expect(seen.store.lines.isEmpty)
        try seen.churn(2)
        try await seen.finish()
    }

    @Test(arguments: [
        (FaultPoint.write, [3, 9, 14]), (.commit, [1, 3, 5]), (.afterCommit, [1, 3, 5]),
        (.prepare, [1, 1, 1]),
    ])
    func `it may be interrupted again, while catching up or copying`(
        point: FaultPoint,
        hits: [Int]
    ) async throws {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        var position = try #require(seen.store.checkpoint?.position)
        for (round, hit) in hits.enumerated() {
            try seen.churn(round)
            // The first hits are the stream's, which comes in several transactions.
            try await seen.interrupt([point], hit: hit)
            let checkpoint = try #require(seen.store.checkpoint)
            #expect(checkpoint.snapshot == .running && checkpoint.goesOn)
            #expect(checkpoint.position >= position)
            position = checkpoint.position
        }
        try await seen.finish()
    }

    @Test(arguments: [[4, 2, 3, 9], [9, 5, 5, 2], [2, 11, 7, 3], [7, 3, 12, 6]])
    func `while the source is written to, interrupted anywhere, it ends exact`(
        hits: [Int]
    )
        async throws
    {
        let seen = try await SeenSnapshot()
        let ended = StopSignal()
        defer { ended.request() }
        let cluster = seen.cluster
        startThread(named: "writer") {
            guard let connection = try? Connection.open(cluster.parameters) else { return }
            var round = 0
            while !ended.sleep(for: .milliseconds(3)) {
                round += 1
                _ = try? connection.query(
                    """
                    INSERT INTO public.t VALUES (\(500_000 + round), 'w', NULL)
                    ON CONFLICT DO NOTHING;
                    DELETE FROM public.t WHERE id = \(500_000 + round - 20);
                    UPDATE public.t SET v = v || 'w' WHERE id = \(round % 400);
                    UPDATE public.f SET a = a + 7 WHERE b = \(round * 7 % 400);
                    """
                )
            }
        }
        let points: Set<FaultPoint> = [.write, .commit, .afterCommit]
        for hit in hits {
            try await seen.interrupt(points, hit: hit)
            // A fault that comes after the snapshot's end says nothing more of it.
            guard seen.store.checkpoint?.snapshot != .complete else { break }
        }
        ended.request()
        try await eventually("the writer has ended") {
            try cluster.psql("SELECT count(*) FROM pg_stat_activity WHERE query ~ '500'") == "1"
        }
        try await seen.finish()
    }

    @Test func `a passing fault is retried from where the sink is, in the same run`()
        async throws
    {
        let seen = try await SeenSnapshot()
        for _ in 0..<3 { seen.store.fail(.write, .passing) }
        seen.store.fail(.afterCommit, .passing)
        try await seen.finish()
        #expect(seen.store.faultsLeft == 0 && seen.store.opens == 5)
    }

    @Test func `a stop while catching up leaves it where it is`() async throws {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        try seen.churn(1)
        seen.store.isBlocked.store(true, ordering: .releasing)
        let before = seen.store.waiting.load(ordering: .sequentiallyConsistent)
        let task = TaskFixture(seen.cluster, seen.store, change: SeenSnapshot.both)
        try await eventually("the sink waits") {
            seen.store.waiting.load(ordering: .sequentiallyConsistent) > before
        }
        #expect(task.board.status.phase == .snapshotting, "rows are missing: not ready")
        task.stop.request()
        try await task.end()
        #expect(seen.store.checkpoint?.snapshot == .running && seen.store.complaints.isEmpty)
        seen.store.isBlocked.store(false, ordering: .releasing)
        try await seen.finish()
    }
}
