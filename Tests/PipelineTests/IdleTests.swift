// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ
import Pipeline
import Support
import Testing

@Suite struct IdleTests {
    @Test func `a sink has its idle times while the source is quiet`()
        async throws
    {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        let task = TaskFixture(cluster, store)
        try await eventually("the stream runs") { task.board.status.phase == .streaming }
        let before = store.idles
        try await eventually("idle times") { store.idles >= before + 3 }
        task.stop.request()
        try await task.end()
    }

    @Test func `a sink has its idle times while a snapshot waits for a lock`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let (isLocked, release) = (StopSignal(), StopSignal())
        defer { release.request() }
        // Between the look at the tables, which would wait for the lock, and the copying.
        let store = MemoryStore(beforePoint: { point in
            guard point == .prepare else { return }
            startThread(named: "holder") {
                guard let connection = try? Connection.open(cluster.parameters) else { return }
                _ = try? connection.query("BEGIN; LOCK TABLE public.t")
                isLocked.request()
                release.sleep(for: .seconds(300))
            }
            isLocked.sleep(for: .seconds(60))
        })
        let task = TaskFixture(cluster, store)
        try await eventually("idle times") { store.idles >= 3 }
        #expect(task.board.status.phase == .snapshotting)
        release.request()
        try await eventually("the stream runs") { task.board.status.phase == .streaming }
        task.stop.request()
        try await task.end()
    }

    @Test func `an idle time that fails is like a write that fails`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        let task = TaskFixture(cluster, store)
        try await eventually("the stream runs") { task.board.status.phase == .streaming }
        let opens = store.opens
        store.fail(.idle, .passing)
        try await eventually("it is opened anew") { store.opens > opens }
        try await eventually("and streams") { task.board.status.phase == .streaming }
        store.fail(.idle, .lasting)
        #expect(try await task.failure() == .lasting)
        #expect(!store.isOpen && store.complaints.isEmpty)
    }
}
