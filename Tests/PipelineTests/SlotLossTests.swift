// SPDX-License-Identifier: Apache-2.0
//
// A slot that is lost under a task is found out at once, whatever the task is doing: while its sink
// stands still, between attempts, in the midst of a snapshot. And what the settings ask for where
// the slot holds back too much.

import ChangeModel
import LibPQ
import Pipeline
import Support
import Synchronization
import Testing

/// A server on which a slot is soon lost, and a task that may be held up.
struct Lossy {
    let cluster: PostgresCluster
    let store: MemoryStore

    init(
        _ version: PostgresVersion = .v15,
        rows: Int = 3,
        keepsSize: String = "1MB",
        showsUnfinishedSnapshots: Bool = false
    ) async throws {
        var settings = ["wal_sender_timeout": "60s"]
        if version >= .v13 {
            settings["max_slot_wal_keep_size"] = keepsSize
            settings["wal_keep_size"] = "0"
        }
        cluster = try await PostgresCluster.start(version: version, settings: settings)
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, v text);
            INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, \(rows)) g
            """
        )
        store = MemoryStore(
            showsUnfinishedSnapshots: showsUnfinishedSnapshots,
            mayBeginAnew: true
        )
    }

    /// Has the server write several segments of WAL, and give up slots that are past its limit.
    func writeWAL() throws {
        for _ in 0..<4 {
            try cluster.psql("CREATE TABLE w AS SELECT 1; DROP TABLE w; SELECT pg_switch_wal()")
        }
        try cluster.psql("CHECKPOINT")
    }

    /// A task that streams into a sink which stands still.
    func blockedTask(
        _ change: @escaping (inout TaskOptions) -> Void = { _ in }
    ) async throws -> TaskFixture {
        try await TaskFixture.runUntilNow(cluster, store, change: change)
        store.isBlocked.store(true, ordering: .releasing)
        let waiting = store.waiting.load(ordering: .relaxed)
        let task = TaskFixture(cluster, store) { options in
            options.retryFor = nil
            change(&options)
        }
        try await eventually("it streams") { task.board.status.phase == .streaming }
        try cluster.psql("INSERT INTO t VALUES (100, 'w100')")
        try await eventually("the sink stands still") {
            store.waiting.load(ordering: .relaxed) > waiting
        }
        return task
    }

    /// A task whose sink cannot be opened, from the start or from the next change on.
    func shutOutTask(
        inTheMidst: Bool,
        _ change: @escaping (inout TaskOptions) -> Void = { _ in }
    ) async throws -> TaskFixture {
        try await TaskFixture.runUntilNow(cluster, store)
        func shut() { for _ in 0..<400 { store.fail(.open, .passing) } }
        if !inTheMidst { shut() }
        let task = TaskFixture(cluster, store) { options in
            options.retryFor = nil
            change(&options)
        }
        if inTheMidst {
            try await eventually("it streams") { task.board.status.phase == .streaming }
            shut()
            store.fail(.write, .passing)
            try cluster.psql("INSERT INTO t VALUES (100, 'w100')")
        }
        try await eventually("the sink is not opened") {
            (1..<398).contains(store.faultsLeft) && !store.isOpen
        }
        return task
    }

    func unblock() { store.isBlocked.store(false, ordering: .releasing) }

    var slots: String {
        get throws {
            try cluster.psql("SELECT string_agg(slot_name, ',') FROM pg_replication_slots")
        }
    }

    /// Ends our sessions of the slot and drops it before we are back.
    func dropSlot() async throws {
        try await eventually("the slot is dropped") {
            try cluster.psql(
                """
                SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                WHERE active_pid IS NOT NULL;
                SELECT pg_drop_replication_slot('di_slot_t')
                """
            )
            return true
        }
    }
}

@Suite struct SlotLossTests {
    @Test(arguments: [.v13, .v15].filter(\PostgresVersion.isAvailable))
    func `a slot that the server gives up ends a task whose sink stands still`(
        version: PostgresVersion
    ) async throws {
        let lossy = try await Lossy(version)
        let task = try await lossy.blockedTask()
        let position = try #require(lossy.store.checkpoint?.position)
        try lossy.writeWAL()
        let error = try await task.failure()
        #expect(error.code == "slot.wal_lost" && error.exit == .checkpointMismatch)
        #expect(error.message.contains("the changes of public.t between \(position) and "))
        #expect(error.hint.contains("walrelay run --config FILE --resnapshot"))
        #expect(lossy.store.complaints.isEmpty && !lossy.store.isOpen)
        #expect(lossy.store.checkpoint?.position == position)
    }

    @Test(arguments: [.v11, .v15].filter(\PostgresVersion.isAvailable))
    func `a slot that is dropped ends a task whose sink stands still`(
        version: PostgresVersion
    ) async throws {
        let lossy = try await Lossy(version)
        let task = try await lossy.blockedTask()
        try await lossy.dropSlot()
        let error = try await task.failure()
        #expect(error.code == "slot.missing" && error.exit == .checkpointMismatch)
        #expect(error.message.contains("public.t"))
    }

    @Test func `a slot that is dropped between attempts ends the waiting`() async throws {
        let lossy = try await Lossy()
        try await TaskFixture.runUntilNow(lossy.cluster, lossy.store)
        // After eight attempts in a row the wait is of more than 20 s, past the bound below.
        for _ in 0..<40 { lossy.store.fail(.commit, .passing) }
        let task = TaskFixture(lossy.cluster, lossy.store) { $0.retryFor = nil }
        try await eventually("it waits for long", timeout: .seconds(120)) {
            try lossy.cluster.psql("INSERT INTO t SELECT max(id) + 1, 'w' FROM t")
            return lossy.store.faultsLeft < 33
        }
        let begun = ContinuousClock.now
        try await lossy.dropSlot()
        #expect(try await task.failure().code == "slot.missing")
        #expect(ContinuousClock.now - begun < .seconds(15))
    }

    @Test(arguments: [false, true])
    func `a slot that is dropped while the sink cannot be opened ends the task`(
        inTheMidst: Bool
    ) async throws {
        let lossy = try await Lossy()
        let task = try await lossy.shutOutTask(inTheMidst: inTheMidst)
        try await lossy.dropSlot()
        let error = try await task.failure()
        #expect(error.code == "slot.missing" && error.exit == .checkpointMismatch)
        #expect(error.message.contains("could not be opened") == !inTheMidst, "\(error)")
        #expect(lossy.store.complaints.isEmpty)
        // What is gone before the start is not taken for a loss before the sink has said so.
        let again = TaskFixture(lossy.cluster, lossy.store) { $0.retryFor = nil }
        try await eventually("it waits") { again.board.status.phase == .reconnecting }
        lossy.store.state.withLock { $0.faults = [:] }
        #expect(try await again.failure().message.contains("public.t"))
    }

    @Test(arguments: [false, true])
    func `a sink that cannot be opened does not hold the source's disk past retainStop`(
        inTheMidst: Bool
    ) async throws {
        let lossy = try await Lossy(keepsSize: "-1")
        let task = try await lossy.shutOutTask(inTheMidst: inTheMidst) { options in
            options.budget.warning = 16 << 20
            options.budget.stop = 32 << 20
            options.budget.patience = .seconds(3)
        }
        try await eventually("it is measured") { task.board.status.source.retention != nil }
        try lossy.writeWAL()
        let error = try await task.failure()
        #expect(error.code == "slot.retain_stop" && error.exit == .checkpointMismatch)
        #expect(error.message.contains("could not be opened") == !inTheMidst, "\(error)")
        #expect(try lossy.slots == "")
    }

    @Test
    func `a slot that is lost in the midst of a snapshot ends it, and a plain run begins anew`()
        async throws
    {
        let lossy = try await Lossy(rows: 400)
        lossy.store.isBlocked.store(true, ordering: .releasing)
        let task = TaskFixture(lossy.cluster, lossy.store)
        try await eventually("rows come") { lossy.store.waiting.load(ordering: .relaxed) > 0 }
        try lossy.writeWAL()
        let error = try await task.failure()
        #expect(error.code == "slot.wal_lost" && error.exit == .checkpointMismatch)
        #expect(error.message.contains("no whole snapshot"))
        lossy.unblock()
        #expect(try lossy.slots == "di_slot_t")
        try await TaskFixture.runUntilNow(lossy.cluster, lossy.store)
        #expect(lossy.store.lines.count == 400)
        #expect(try lossy.cluster.psql("SELECT wal_status FROM pg_replication_slots") != "lost")
    }

    @Test
    func `past retainStop the slot is dropped, and nothing is acknowledged that is not there`()
        async throws
    {
        let lossy = try await Lossy(keepsSize: "-1")
        let change: @Sendable (inout TaskOptions) -> Void = { options in
            options.budget.warning = 16 << 20
            options.budget.stop = 32 << 20
            options.budget.patience = .seconds(3)
        }
        let task = try await lossy.blockedTask(change)
        let position = try #require(lossy.store.checkpoint?.position)
        try lossy.writeWAL()
        try await eventually("the warning") {
            task.board.status.source.retention?.warning?.contains("is dropped unless") == true
        }
        let error = try await task.failure()
        #expect(error.code == "slot.retain_stop" && error.exit == .checkpointMismatch)
        for text in ["past slot.retainStop (32 MiB)", "was dropped", "\(position)", "public.t"] {
            #expect(error.message.contains(text), "\(error.message)")
        }
        #expect(error.hint.contains("--resnapshot"))
        #expect(try lossy.slots == "")
        #expect(lossy.store.checkpoint?.position == position)
        lossy.unblock()
        let again = TaskFixture(lossy.cluster, lossy.store) { $0.until = .now }
        #expect(try await again.failure().code == "slot.missing")
        try await TaskFixture.runUntilNow(lossy.cluster, lossy.store) { $0.resnapshot = true }
        #expect(
            lossy.store.lines.sorted() == [
                "read t 1,v1", "read t 100,w100", "read t 2,v2", "read t 3,v3",
            ]
        )
    }
}
