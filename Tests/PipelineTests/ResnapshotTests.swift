// SPDX-License-Identifier: Apache-2.0
//
// `--resnapshot`: after each kind of loss the sink ends equal to the source, whatever fails in
// between; where nothing is lost, nothing is thrown away.

import ChangeModel
import LibPQ
import Pipeline
import Support
import Synchronization
import Testing

@Suite struct ResnapshotTests {
    /// A task that has streamed for a while and stands still.
    private func stopped(_ version: PostgresVersion = .v15) async throws -> Lossy {
        let lossy = try await Lossy(version)
        try await TaskFixture.runUntilNow(lossy.cluster, lossy.store)
        try lossy.cluster.psql("INSERT INTO t VALUES (4, 'v4')")
        try await TaskFixture.runUntilNow(lossy.cluster, lossy.store)
        #expect(lossy.store.lines.last == "insert t 4,v4")
        return lossy
    }

    private func resnapshot(_ lossy: Lossy) async throws {
        try await TaskFixture.runUntilNow(lossy.cluster, lossy.store) { $0.resnapshot = true }
    }

    private func failure(
        _ lossy: Lossy,
        change: (inout TaskOptions) -> Void = { _ in }
    ) async throws -> WalrelayError {
        let task = TaskFixture(lossy.cluster, lossy.store) { options in
            options.until = .now
            change(&options)
        }
        return try await task.failure()
    }

    private static let rows = ["read t 2,v2", "read t 3,v3", "read t 4,v4", "read t 5,v5"]

    /// What happens between two runs, and the code of a plain run after it.
    private static let losses: [(code: String, sql: String)] = [
        ("slot.missing", "SELECT pg_drop_replication_slot('di_slot_t')"),
        (
            "slot.ahead",
            """
            SELECT pg_drop_replication_slot('di_slot_t');
            SELECT pg_create_logical_replication_slot('di_slot_t', 'pgoutput')
            """
        ),
        ("publication.missing", "DROP PUBLICATION di_pub_t"),
        (
            "publication.remade",
            "DROP PUBLICATION di_pub_t; CREATE PUBLICATION di_pub_t FOR TABLE ONLY t "
                + "WITH (publish_via_partition_root = true)"
        ),
        ("publication.gap", "ALTER PUBLICATION di_pub_t DROP TABLE t"),
    ]

    @Test(arguments: losses.indices)
    func `after a loss a plain run refuses, and a new snapshot makes good for it`(
        index: Int
    ) async throws {
        let loss = Self.losses[index]
        let lossy = try await stopped()
        for statement in loss.sql.split(separator: ";") {
            try lossy.cluster.psql(String(statement))
        }
        try lossy.cluster.psql("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (5, 'v5')")
        let before = lossy.store.lines
        let refusal = try await failure(lossy)
        #expect(refusal.code == loss.code && refusal.exit == .checkpointMismatch)
        #expect(refusal.hint.contains("--resnapshot"), "\(refusal.hint)")
        #expect(lossy.store.lines == before)
        try await resnapshot(lossy)
        #expect(lossy.store.lines.sorted() == Self.rows)
        // And on from there.
        try lossy.cluster.psql("INSERT INTO t VALUES (6, 'v6')")
        try await TaskFixture.runUntilNow(lossy.cluster, lossy.store)
        #expect(lossy.store.lines.last == "insert t 6,v6")
        #expect(try lossy.slots == "di_slot_t")
    }

    @Test(.enabled(if: PostgresVersion.v18.isAvailable))
    func `a slot that was given up for its idleness is told by that`() async throws {
        let lossy = try await stopped(.v18)
        try lossy.cluster.reload(settings: ["idle_replication_slot_timeout": "1s"])
        try await eventually("the slot is given up") {
            try lossy.cluster.psql("CREATE TABLE w AS SELECT 1; DROP TABLE w; CHECKPOINT")
            return try lossy.cluster.psql("SELECT wal_status FROM pg_replication_slots") == "lost"
        }
        try lossy.cluster.reload(settings: ["idle_replication_slot_timeout": "0"])
        let error = try await failure(lossy)
        #expect(error.code == "slot.wal_lost" && error.exit == .checkpointMismatch)
        #expect(error.message.contains("given up the slot di_slot_t (idle_timeout)"))
        try await resnapshot(lossy)
        #expect(lossy.store.lines.count == 4)
    }

    @Test(arguments: [.v13, .v15, .v18].filter(\PostgresVersion.isAvailable))
    func `a slot that was given up is dropped for the new snapshot`(
        version: PostgresVersion
    ) async throws {
        let lossy = try await stopped(version)
        try lossy.writeWAL()
        try lossy.cluster.psql("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (5, 'v5')")
        #expect(try await failure(lossy).code == "slot.wal_lost")
        try await resnapshot(lossy)
        #expect(lossy.store.lines.sorted() == Self.rows)
        #expect(try lossy.cluster.psql("SELECT wal_status FROM pg_replication_slots") != "lost")
    }

    @Test func `another cluster in the place of the source is taken anew only on request`()
        async throws
    {
        let lossy = try await stopped()
        try lossy.cluster.psql("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (5, 'v5')")
        lossy.store.state.withLock { $0.checkpoint?.systemIdentifier = "1" }
        #expect(try await failure(lossy).code == "checkpoint.other_system")
        try await resnapshot(lossy)
        #expect(lossy.store.lines.sorted() == Self.rows)
        // Another task's sink is never taken.
        lossy.store.state.withLock { $0.checkpoint?.task = "u" }
        let error = try await failure(lossy) { $0.resnapshot = true }
        #expect(error.code == "checkpoint.other_task")
    }

    @Test func `where nothing is lost nothing is thrown away`() async throws {
        let lossy = try await stopped()
        try lossy.cluster.psql("INSERT INTO t VALUES (5, 'v5')")
        let slot = try lossy.cluster.psql("SELECT catalog_xmin FROM pg_replication_slots")
        try await resnapshot(lossy)
        #expect(lossy.store.lines.suffix(2) == ["insert t 4,v4", "insert t 5,v5"])
        #expect(!slot.isEmpty)
        // A first run with it is a first run.
        let fresh = try await Lossy()
        try await resnapshot(fresh)
        #expect(fresh.store.lines.count == 3)
    }

    @Test(arguments: [FaultPoint.beginSnapshot, .prepare, .write, .commit, .afterCommit])
    func `one that is cut short is gone on with by a plain run`(point: FaultPoint) async throws {
        let lossy = try await stopped()
        try lossy.writeWAL()
        try lossy.cluster.psql("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (5, 'v5')")
        lossy.store.fail(point, .lasting)
        #expect(try await failure(lossy) { $0.resnapshot = true }.code == "sink.test")
        // Before the sink knew of it nothing has begun, and the slot is as it was.
        if point == .beginSnapshot {
            #expect(try await failure(lossy).code == "slot.wal_lost")
            try await resnapshot(lossy)
        } else {
            try await TaskFixture.runUntilNow(lossy.cluster, lossy.store)
        }
        #expect(lossy.store.lines.sorted() == Self.rows)
        #expect(lossy.store.complaints.isEmpty)
    }

    @Test func `a passing fault in the midst of it loses nothing`() async throws {
        let lossy = try await stopped()
        try lossy.cluster.psql("SELECT pg_drop_replication_slot('di_slot_t')")
        try lossy.cluster.psql("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (5, 'v5')")
        for point in [FaultPoint.inspect, .beginSnapshot, .write, .commit] {
            lossy.store.fail(point, .passing)
        }
        try await resnapshot(lossy)
        #expect(lossy.store.faultsLeft == 0)
        #expect(lossy.store.lines.sorted() == Self.rows)
    }

    @Test func `a task without a snapshot is not given one by it`() async throws {
        let lossy = try await stopped()
        try lossy.cluster.psql("SELECT pg_drop_replication_slot('di_slot_t')")
        let before = lossy.store.checkpoint
        let plain = try await failure(lossy) { $0.snapshot = .never }
        #expect(plain.code == "slot.missing" && plain.hint.contains("walrelay teardown"))
        let error = try await failure(lossy) { options in
            options.snapshot = .never
            options.resnapshot = true
        }
        #expect(error.code == "resnapshot.never" && error.exit == .usage)
        #expect(error.hint.contains("snapshot.mode"))
        #expect(lossy.store.checkpoint == before)
    }

    @Test func `a slot in use is waited for and not dropped`() async throws {
        let lossy = try await stopped()
        let daemon = TaskFixture(lossy.cluster, lossy.store)
        try await eventually("it streams") { daemon.board.status.phase == .streaming }
        let second = MemoryStore(mayBeginAnew: true)
        let eager = TaskFixture(lossy.cluster, second) { options in
            options.resnapshot = true
            options.until = .now
        }
        try await eventually("it waits") { eager.board.status.lastError?.code == "task.in_use" }
        #expect(try lossy.cluster.psql("SELECT active FROM pg_replication_slots") == "t")
        eager.stop.request()
        try await eager.end()
        daemon.stop.request()
        try await daemon.end()
        #expect(second.lines.isEmpty && second.checkpoint == nil)
    }

    @Test func `a snapshot without a stream is complete once, and needs no slot`() async throws {
        let lossy = try await Lossy()
        for resnapshot in [false, false, true] {
            let task = TaskFixture(lossy.cluster, lossy.store) { options in
                options.snapshot = .only
                options.resnapshot = resnapshot
            }
            try await task.end()
            #expect(lossy.store.lines.count == 3 && lossy.store.points.last != .beginSnapshot)
        }
        #expect(lossy.store.points.count { $0 == .beginSnapshot } == 1)
        #expect(try lossy.slots == "")
    }

    @Test func `rows that are seen stay in the sink, behind them all rows come again`() async throws
    {
        let lossy = try await Lossy(showsUnfinishedSnapshots: true)
        try await TaskFixture.runUntilNow(lossy.cluster, lossy.store)
        try lossy.cluster.psql("SELECT pg_drop_replication_slot('di_slot_t')")
        try lossy.cluster.psql("DELETE FROM t WHERE id = 1")
        try await resnapshot(lossy)
        #expect(
            lossy.store.lines.prefix(3).sorted() == ["read t 1,v1", "read t 2,v2", "read t 3,v3"]
        )
        #expect(lossy.store.lines.dropFirst(3).sorted() == ["read t 2,v2", "read t 3,v3"])
    }
}
