// SPDX-License-Identifier: Apache-2.0
//
// Whole tasks against real servers: whatever fails and whenever, each row of the snapshot and each
// change stands once in the sink, and the server knows of nothing that is not there.

import ChangeModel
import LibPQ
import Pipeline
import Support
import Synchronization
import Testing

@Suite struct TaskRunnerTests {
    private func snapshotLines(_ rows: Int) -> [String] {
        (1...rows).map { "read t \($0),v\($0)" }.sorted()
    }

    private func insertLines(_ ids: ClosedRange<Int>) -> [String] {
        ids.map { "insert t \($0),w\($0)" }
    }

    private func insert(_ ids: ClosedRange<Int>, into cluster: PostgresCluster) throws {
        try cluster.psql(
            "INSERT INTO t SELECT g, 'w' || g FROM generate_series("
                + "\(ids.lowerBound), \(ids.upperBound)) g"
        )
    }

    @Test func `a snapshot and what follows stand once, and the server is never told too much`()
        async throws
    {
        let cluster = try await PostgresCluster.withTable(rows: 300)
        let store = MemoryStore { durable in
            // Rule 2, looked at where it is tightest: just before something becomes durable.
            guard durable > .zero, let confirmed = try cluster.confirmed else { return }
            #expect(confirmed <= durable)
        }
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.lines.sorted() == snapshotLines(300))
        #expect(store.checkpoint?.snapshot == .complete)
        try insert(1_001...1_120, into: cluster)
        try cluster.psql("UPDATE t SET id = 0 WHERE id = 1; DELETE FROM t WHERE id = 2;")
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(
            Array(store.lines.dropFirst(300))
                == insertLines(1_001...1_120) + ["update t 0,v1", "delete t 2,-"]
        )
        let checkpoint = try #require(store.checkpoint?.position)
        #expect(try cluster.confirmed.map { $0 <= checkpoint } == true)
        let before = store.lines
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.lines == before, "a run with nothing to do does nothing")
    }

    @Test(arguments: FaultPoint.ofBatches, [1, 2])
    func `a passing fault of the sink in the snapshot loses and doubles nothing`(
        point: FaultPoint,
        times: Int
    ) async throws {
        let cluster = try await PostgresCluster.withTable(rows: 200)
        let store = MemoryStore()
        // Where all is durable already there is no second commit to fail.
        let faults = point == .afterCommit ? 1 : times
        for _ in 0..<faults { store.fail(point, .passing) }
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.faultsLeft == 0)
        #expect(store.lines.sorted() == snapshotLines(200))
        #expect(store.opens == (point == .open ? 1 : faults + 1))
        let slots = try cluster.psql("SELECT string_agg(slot_name, ',') FROM pg_replication_slots")
        #expect(slots == "di_slot_t")
    }

    @Test(arguments: [FaultPoint.open, .write, .commit, .afterCommit])
    func `a passing fault of the sink in the stream loses and doubles nothing`(
        point: FaultPoint
    ) async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        try await TaskFixture.runUntilNow(cluster, store)
        // One transaction over several batches, and several in one.
        try insert(1_001...1_180, into: cluster)
        for id in 2_001...2_010 { try insert(id...id, into: cluster) }
        store.fail(point, .passing)
        if point != .afterCommit { store.fail(point, .passing) }
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.faultsLeft == 0)
        #expect(
            Array(store.lines.dropFirst(1))
                == insertLines(1_001...1_180) + insertLines(2_001...2_010)
        )
    }

    @Test(arguments: [FaultPoint.open, .write, .commit, .afterCommit])
    func `a lasting fault ends the run with that error, and the next run goes on`(
        point: FaultPoint
    ) async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        try await TaskFixture.runUntilNow(cluster, store)
        try insert(1_001...1_060, into: cluster)
        store.fail(point, .lasting)
        let task = TaskFixture(cluster, store)
        #expect(try await task.failure() == .lasting)
        #expect(task.board.status.phase == .failed)
        #expect(task.board.status.lastError?.code == "sink.test")
        #expect(!store.isOpen && store.complaints.isEmpty)
        let durable = try #require(store.checkpoint?.position)
        #expect(try cluster.confirmed.map { $0 <= durable } == true)
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(Array(store.lines.dropFirst(1)) == insertLines(1_001...1_060))
    }

    @Test func `a fault that does not pass in time ends the run as unreachable`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        store.fail(.open, .passing)
        let task = TaskFixture(cluster, store) { $0.retryFor = .zero }
        let error = try await task.failure()
        #expect(error.exit == .unreachable && !error.isTransient)
    }

    @Test func `a source that goes away is reconnected to, from the durable position`()
        async throws
    {
        let cluster = try await PostgresCluster.withTable(rows: 10)
        let store = MemoryStore()
        let task = TaskFixture(cluster, store)
        try await eventually("the stream runs") { task.board.status.phase == .streaming }
        for round in 1...2 {
            try insert((round * 1_000)...(round * 1_000 + 99), into: cluster)
            try await cluster.restart(.immediate)
            try insert((round * 1_000 + 500)...(round * 1_000 + 510), into: cluster)
        }
        let count = 10 + 2 * (100 + 11)
        try await eventually("all has come", timeout: .seconds(60)) { store.lines.count >= count }
        task.stop.request()
        try await task.end()
        let expected = [1_000...1_099, 1_500...1_510, 2_000...2_099, 2_500...2_510]
        #expect(Array(store.lines.dropFirst(10)) == expected.flatMap(insertLines))
        #expect(task.board.counters.reconnects >= 1)
    }

    @Test func `a stop ends the waiting for a source that is not there`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        try await onThread { try cluster.stop() }
        let task = TaskFixture(cluster, MemoryStore()) { $0.retryFor = nil }
        try await eventually("it waits") { task.board.status.phase == .reconnecting }
        task.stop.request()
        try await task.end()
        #expect(task.board.status.phase == .stopping)
    }

    @Test func `a stop ends a sink that waits for room, and nothing of it counts`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        try await TaskFixture.runUntilNow(cluster, store)
        store.isBlocked.store(true, ordering: .releasing)
        try insert(1_001...1_400, into: cluster)
        let before = store.waiting.load(ordering: .sequentiallyConsistent)
        let task = TaskFixture(cluster, store)
        try await eventually("the sink waits") {
            store.waiting.load(ordering: .sequentiallyConsistent) > before
        }
        task.stop.request()
        try await task.end()
        #expect(store.lines.count == 1)
        store.isBlocked.store(false, ordering: .releasing)
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(Array(store.lines.dropFirst(1)) == insertLines(1_001...1_400))
    }

    @Test func `a slot that somebody holds is waited for`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        try await TaskFixture.runUntilNow(cluster, store)
        // Somebody who takes the slot and confirms nothing.
        let release = StopSignal()
        defer { release.request() }
        startThread(named: "holder") {
            guard let connection = try? Connection.open(cluster.parameters.replication) else {
                return
            }
            let start = "START_REPLICATION SLOT di_slot_t LOGICAL 0/0 "
            let options = "(proto_version '1', publication_names 'di_pub_t')"
            _ = try? connection.query(start + options)
            release.sleep(for: .seconds(300))
        }
        try await eventually("the slot is held") {
            try cluster.psql("SELECT active FROM pg_replication_slots") == "t"
        }
        let task = TaskFixture(cluster, store)
        try await eventually("the task waits") {
            task.board.status.lastError?.code == "slot.in_use"
        }
        #expect(task.board.status.lastError?.message.contains("held by another session") == true)
        try insert(1_001...1_010, into: cluster)
        release.request()
        try await eventually("the task has it", timeout: .seconds(60)) {
            store.lines.count == 11
        }
        task.stop.request()
        try await task.end()
        #expect(Array(store.lines.dropFirst(1)) == insertLines(1_001...1_010))
    }

    @Test func `a sink that comes back without its checkpoint is waited for, not filled anew`()
        async throws
    {
        let cluster = try await PostgresCluster.withTable(rows: 3)
        let store = MemoryStore()
        let task = TaskFixture(cluster, store)
        try await eventually("the stream runs") { task.board.status.phase == .streaming }
        store.hidesCheckpoint.store(true, ordering: .releasing)
        store.fail(.write, .passing)
        try insert(1_001...1_010, into: cluster)
        try await eventually("it waits") {
            task.board.status.lastError?.code == "sink.checkpoint_gone"
        }
        #expect(store.lines.count == 3)
        store.hidesCheckpoint.store(false, ordering: .releasing)
        try await eventually("it goes on", timeout: .seconds(60)) { store.lines.count == 13 }
        task.stop.request()
        try await task.end()
        #expect(store.lines.sorted() == (snapshotLines(3) + insertLines(1_001...1_010)).sorted())
        #expect(store.complaints.isEmpty)
    }

    @Test func `a checkpoint that stays away ends the run as one that does not fit`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 3)
        let store = MemoryStore()
        let task = TaskFixture(cluster, store) { $0.retryFor = .seconds(1) }
        try await eventually("the stream runs") { task.board.status.phase == .streaming }
        store.hidesCheckpoint.store(true, ordering: .releasing)
        store.fail(.write, .passing)
        try insert(1_001...1_010, into: cluster)
        let error = try await task.failure()
        #expect(error.code == "sink.checkpoint_gone" && error.exit == .checkpointMismatch)
        #expect(store.lines.count == 3 && store.points.last != .beginSnapshot)
    }

    @Test func `a pipe gets the snapshot anew when it failed, and no stream without it`()
        async throws
    {
        let cluster = try await PostgresCluster.withTable(rows: 200)
        let store = MemoryStore(keepsCheckpoint: false)
        store.fail(.write, .passing)
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.faultsLeft == 0)
        #expect(Set(store.lines).isSuperset(of: snapshotLines(200)))
        // Another process knows of no checkpoint and goes on where the slot stands.
        try insert(1_001...1_010, into: cluster)
        let next = MemoryStore(keepsCheckpoint: false)
        try await TaskFixture.runUntilNow(cluster, next)
        #expect(Array(next.lines.suffix(10)) == insertLines(1_001...1_010))
        #expect(!next.lines.contains { $0.hasPrefix("read") })
    }

    @Test func `a refused change ends the run with all before it in the sink and nothing of it`()
        async throws
    {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        let task = TaskFixture(cluster, store)
        try await eventually("the stream runs") { task.board.status.phase == .streaming }
        try insert(1_001...1_001, into: cluster)
        try cluster.psql(
            """
            BEGIN; INSERT INTO t SELECT g, 'gone' FROM generate_series(2001, 2200) g;
            ALTER TABLE t DROP COLUMN v; INSERT INTO t VALUES (3000); COMMIT;
            """
        )
        let error = try await task.failure()
        #expect(error.exit == .refused && error.message.contains("\"v\""))
        #expect(Array(store.lines.dropFirst(1)) == insertLines(1_001...1_001))
        // The next run stands before the same transaction.
        #expect(try await TaskFixture(cluster, store).failure() == error)
        #expect(store.lines.count == 2)
    }
}
