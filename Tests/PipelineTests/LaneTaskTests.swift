// SPDX-License-Identifier: Apache-2.0
//
// Whole tasks whose sink looks at the tables before anything is made, makes them ready, and takes
// the rows of a snapshot through lanes.

import ChangeModel
import LibPQ
import Pipeline
import Support
import Synchronization
import Testing

@Suite struct LaneTaskTests {
    private func snapshotLines(_ rows: Int) -> [String] {
        (1...rows).map { "read t \($0),v\($0)" }.sorted()
    }

    /// What is there of the task on the server.
    private static func objects(_ cluster: PostgresCluster) throws -> String {
        try cluster.psql(
            """
            SELECT (SELECT count(*) FROM pg_publication),
                   (SELECT count(*) FROM pg_replication_slots)
            """
        )
    }

    @Test(arguments: [true, false])
    func `the sink looks first, then things are made, then the sink makes ready`(
        hasLanes: Bool
    ) async throws {
        let cluster = try await PostgresCluster.withTable(rows: 300)
        try cluster.psql(
            """
            CREATE TYPE mood AS ENUM ('sad');
            ALTER TABLE t ADD feeling mood;
            """
        )
        let seen = Mutex<[FaultPoint: String]>([:])
        let store = MemoryStore(
            hasLanes: hasLanes,
            beforePoint: { point in
                guard [.inspect, .prepare].contains(point) else { return }
                let objects = try Self.objects(cluster)
                seen.withLock { $0[point] = objects }
            }
        )
        try await TaskFixture.runUntilNow(cluster, store)
        let points = store.points.prefix(4)
        #expect(points == [.open, .inspect, .beginSnapshot, .prepare])
        let rows: [FaultPoint] = hasLanes ? [.openLane, .beginChunk, .take, .endChunk] : [.write]
        #expect(Set(rows).isSubset(of: store.points) && store.points.contains(.commit))
        #expect(store.points.contains(.write) != hasLanes)
        #expect(seen.withLock { $0 } == [.inspect: "0|0", .prepare: "1|1"])
        #expect(store.lines.sorted() == snapshotLines(300).map { "\($0),-" })
        let relation = try #require(store.checkpoint?.relations.first)
        store.state.withLock { state in
            #expect(state.inspected == [relation] && state.prepared == [relation])
            #expect(state.inspectedTypes.map(\.name) == ["mood"])
            (state.points, state.inspected, state.inspectedTypes) = ([], [], [])
        }
        // With a whole snapshot there is nothing to make ready any more.
        try cluster.psql("INSERT INTO t VALUES (1001, 'w1001')")
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.points.prefix(3) == [.open, .inspect, .write])
        #expect(store.lines.last == "insert t 1001,w1001,-")
        store.state.withLock { state in
            #expect(state.inspected == [relation])
            #expect(state.inspectedTypes.map(\.name) == ["mood"])
        }
    }

    @Test func `what the settings do not take any more is not looked at`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        try cluster.psql("CREATE TABLE u (id int PRIMARY KEY)")
        let store = MemoryStore()
        let both = ["t", "u"].map { name in
            TableRule(pattern: TablePattern(schema: .exact("public"), name: .exact(name)))
        }
        try await TaskFixture.runUntilNow(cluster, store) { $0.tables.include = both }
        #expect(store.state.withLock { $0.inspected.map(\.name) } == ["t", "u"])
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.state.withLock { $0.inspected.map(\.name) } == ["t"])
    }

    @Test func `a sink that the tables do not fit ends the run with nothing made`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 1)
        let store = MemoryStore()
        store.fail(.inspect, .lasting)
        #expect(try await TaskFixture(cluster, store).failure() == .lasting)
        #expect(try Self.objects(cluster) == "0|0")
        #expect(store.points == [.open, .inspect])
    }

    @Test func `without a snapshot the sink makes ready too, and no row is copied`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 5)
        let store = MemoryStore(hasLanes: true)
        try await TaskFixture.runUntilNow(cluster, store) { $0.snapshot = .never }
        #expect(store.points.prefix(5) == [.open, .inspect, .beginSnapshot, .prepare, .commit])
        #expect(store.lines.isEmpty)
    }

    @Test(arguments: FaultPoint.ofLanes, [1, 2])
    func `a passing fault in a snapshot through lanes loses and doubles nothing`(
        point: FaultPoint,
        times: Int
    ) async throws {
        let cluster = try await PostgresCluster.withTable(rows: 200)
        let store = MemoryStore(hasLanes: true)
        let faults = point == .afterCommit ? 1 : times
        for _ in 0..<faults { store.fail(point, .passing) }
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.faultsLeft == 0)
        #expect(store.lines.sorted() == snapshotLines(200))
        #expect(store.opens == (point == .open ? 1 : faults + 1))
    }

    @Test(arguments: [FaultPoint.prepare, .openLane, .beginChunk, .take, .endChunk])
    func `a lasting fault of a lane ends the run with that error, and the next begins anew`(
        point: FaultPoint
    ) async throws {
        let cluster = try await PostgresCluster.withTable(rows: 200)
        let store = MemoryStore(hasLanes: true)
        store.fail(point, .lasting)
        let task = TaskFixture(cluster, store)
        #expect(try await task.failure() == .lasting)
        #expect(task.board.status.phase == .failed)
        #expect(store.checkpoint?.snapshot == .running)
        #expect(!store.isOpen && store.complaints.isEmpty)
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.lines.sorted() == snapshotLines(200))
    }

    @Test func `several lanes copy one table, and the status tells of it`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 90_000)
        try cluster.psql("UPDATE t SET v = repeat('x', 700)")
        let store = MemoryStore(hasLanes: true)
        let task = TaskFixture(cluster, store) { options in
            options.until = .now
            options.snapshotWorkers = 3
        }
        try await task.end()
        #expect(store.lines.count == 90_000 && Set(store.lines).count == 90_000)
        let table = try #require(task.board.status.snapshot.tables.first)
        #expect(table.state == .done && table.rowsCopied == 90_000)
        #expect(table.bytesCopied > 90_000 * 700)
        #expect(task.board.status.stream.changes == 90_000)
    }

    @Test func `a stop ends lanes that wait for room, and meanwhile all parts beat`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 300)
        let store = MemoryStore(hasLanes: true)
        store.isBlocked.store(true, ordering: .releasing)
        let task = TaskFixture(cluster, store)
        try await eventually("a lane waits") {
            store.waiting.load(ordering: .sequentiallyConsistent) > 0
        }
        for part in [StatusBoard.Part.snapshot, .sink] {
            try await eventually("\(part) beats") {
                let before = try #require(task.board.silence(of: part))
                try await Task.sleep(for: .milliseconds(20))
                return try #require(task.board.silence(of: part)) < before
            }
        }
        task.stop.request()
        try await task.end()
        #expect(task.board.status.phase == .stopping)
        #expect(store.lines.isEmpty && store.complaints.isEmpty)
        #expect(store.checkpoint?.snapshot == .running)
        try await eventually("no session is left on the source") {
            try cluster.psql(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'walrelay%'"
            ) == "0"
        }
        store.isBlocked.store(false, ordering: .releasing)
        try await TaskFixture.runUntilNow(cluster, store)
        #expect(store.lines.sorted() == snapshotLines(300))
    }
}
