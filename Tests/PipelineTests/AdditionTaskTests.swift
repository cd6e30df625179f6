// SPDX-License-Identifier: Apache-2.0
//
// Tables that come into a task, leave it and are asked for once more, where things go wrong in
// between: with a sink in memory that fails when it is told to.

import ChangeModel
import LibPQ
import Pipeline
import Support
import Synchronization
import Testing

@testable import Replication

@Suite struct AdditionTaskTests {
    private static func rules(_ names: String...) -> TableSelection {
        TableSelection(
            include: names.map {
                TableRule(pattern: TablePattern(schema: .exact("public"), name: .exact($0)))
            }
        )
    }

    /// A source with tables t and u.
    private static func source() async throws -> PostgresCluster {
        let cluster = try await PostgresCluster.withTable(rows: 3)
        try cluster.psql(
            "CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u SELECT generate_series(1, 120)"
        )
        return cluster
    }

    private static func start(
        _ cluster: PostgresCluster,
        _ store: MemoryStore,
        tables: TableSelection = rules("t")
    ) async throws -> TaskFixture {
        let task = TaskFixture(cluster, store) { $0.tables = tables }
        try await eventually("it streams") { task.board.status.phase == .streaming }
        return task
    }

    @Test func `a wish outlives the commit that was to note it`() async throws {
        let cluster = try await PostgresCluster.withTable(rows: 3)
        let store = MemoryStore()
        let task = try await Self.start(cluster, store)
        store.fail(.commit, .passing)
        #expect(task.live.ask(for: [TableName(schema: "public", name: "t")]))
        try await eventually("t is copied once more", timeout: .seconds(60)) {
            store.lines.filter { $0.hasPrefix("read t ") }.count == 6
        }
        #expect(store.faultsLeft == 0)
        task.stop.request()
        try await task.end()
    }

    @Test func `no more wishes wait than one request may name`() {
        let source = ConnectionParameters(keywords: [:])
        let live = LiveOptions(
            TaskOptions(task: "t", source: source, tables: Self.rules("t"))
        )
        let names = (0..<[TableName].wishLimit).map { TableName(schema: "s", name: "\($0)") }
        #expect(live.ask(for: names))
        #expect(live.ask(for: [names[0]]))
        #expect(!live.ask(for: [TableName(schema: "s", name: "one more")]))
    }

    @Test func `a reload while the slot is held ends the addition before it`() async throws {
        let cluster = try await Self.source()
        let isArmed = Atomic(false)
        let holder = Mutex<SlotHolder?>(nil)
        // Between two sessions: the point is known, and no row is copied.
        let store = MemoryStore(beforePoint: { point in
            guard point == .prepare, isArmed.exchange(false, ordering: .acquiring) else { return }
            let held = SlotHolder(cluster)
            holder.withLock { $0 = held }
        })
        let task = try await Self.start(cluster, store)
        isArmed.store(true, ordering: .releasing)
        var options = task.live.current
        options.tables = Self.rules("t", "u")
        task.live.replace(options)
        try await eventually("it waits for the slot", timeout: .seconds(60)) {
            task.board.status.lastError?.code == "slot.in_use"
        }
        options.tables = Self.rules("t")
        task.live.replace(options)
        holder.withLock { $0?.release() }
        try cluster.psql("INSERT INTO t VALUES (10, 'y')")
        try await eventually("it goes on") { store.lines.contains("insert t 10,y") }
        #expect(!store.lines.contains { $0.hasPrefix("read u") })
        #expect(store.checkpoint?.relations.map(\.name) == ["t"])
        task.stop.request()
        try await task.end()
    }

    @Test func `rows that were seen and deleted before a second try are deleted`() async throws {
        let cluster = try await Self.source()
        let shown = Mutex<MemoryStore?>(nil)
        // It fails once some rows of u are there, after one of them is gone at the source.
        let store = MemoryStore(
            keepsCheckpoint: false,
            beforePoint: { point in
                let isShown = shown.withLock { store in
                    guard point == .write, store?.lines.contains("read u 1") ?? false else {
                        return false
                    }
                    store = nil
                    return true
                }
                guard isShown else { return }
                try cluster.psql("DELETE FROM u WHERE id = 1")
                throw WalrelayError.passing
            }
        )
        shown.withLock { $0 = store }
        let task = try await Self.start(cluster, store)
        var options = task.live.current
        options.tables = Self.rules("t", "u")
        task.live.replace(options)
        try await eventually("u is copied", timeout: .seconds(60)) {
            store.lines.contains { $0.hasPrefix("read u 120") }
        }
        try await eventually("its deletion is told") { store.lines.contains("delete u 1") }
        task.stop.request()
        try await task.end()
    }

    @Test func `a table that comes without its rows leaves a part counted as it was`()
        async throws
    {
        let cluster = try await Self.source()
        let store = MemoryStore()
        let task = TaskFixture(cluster, store) {
            ($0.tables, $0.snapshot) = (Self.rules("t"), .never)
        }
        try await eventually("it streams") { task.board.status.phase == .streaming }
        // The sink keeps what it has of a transaction that goes on when u comes in.
        store.leavingPart.withLock { $0 = { try cluster.psql("CREATE TABLE other ()") } }
        var options = task.live.current
        options.tables = Self.rules("t", "u")
        task.live.replace(options)
        try await eventually("u is whole from behind that on", timeout: .seconds(60)) {
            guard let part = store.part.withLock({ $0 }) else { return false }
            return store.state.withLock(\.copies).contains {
                $0.point == LSN(part.rawValue + 1) && $0.progress == .whole
            }
        }
        #expect(store.checkpoint?.relations.map(\.name).sorted() == ["t", "u"])
        task.stop.request()
        try await task.end()
    }

    @Test func `a table stays until a transaction is past of which a part is there`() async throws {
        let cluster = try await Self.source()
        let store = MemoryStore()
        try await TaskFixture.runUntilNow(cluster, store) { $0.tables = Self.rules("t", "u") }
        // Somewhere behind what is there, as if the sink had seen the beginning of it.
        let position = try #require(store.checkpoint?.position)
        store.part.withLock { $0 = position }
        try cluster.psql("CREATE TABLE other ()")
        let task = TaskFixture(cluster, store) { $0.tables = Self.rules("t") }
        try cluster.psql("BEGIN; INSERT INTO u VALUES (200); INSERT INTO t VALUES (9, 'x'); COMMIT")
        try await eventually("the transaction comes") { store.lines.contains("insert t 9,x") }
        #expect(store.lines.contains("insert u 200"))
        store.part.withLock { $0 = nil }
        try await eventually("u is gone", timeout: .seconds(60)) {
            store.checkpoint?.relations.map(\.name) == ["t"]
        }
        try cluster.psql("INSERT INTO u VALUES (201); INSERT INTO t VALUES (10, 'y')")
        try await eventually("it goes on") { store.lines.contains("insert t 10,y") }
        #expect(!store.lines.contains("insert u 201"))
        task.stop.request()
        try await task.end()
    }
}

/// Somebody else's hold on the task's slot, who confirms nothing; a connection has a thread.
private final class SlotHolder: Sendable {
    private let isReleased = StopSignal()
    private let isHeld = Atomic(false)

    /// Waits until the slot is free, and takes it.
    init(_ cluster: PostgresCluster) {
        let parameters = cluster.parameters
        startThread(named: "holder") { [isReleased, self] in
            while !isReleased.isRequested {
                try? hold(parameters, isReleased)
                isReleased.sleep(for: .milliseconds(20))
            }
        }
        while !isHeld.load(ordering: .acquiring) { isReleased.sleep(for: .milliseconds(10)) }
    }

    func release() { isReleased.request() }

    private func hold(_ parameters: ConnectionParameters, _ isReleased: StopSignal) throws {
        let stream = try ReplicationStream(
            on: try Connection.open(parameters.for(.stream).replication, stop: isReleased),
            slot: "di_slot_t",
            publication: "di_pub_t",
            from: .zero
        )
        isHeld.store(true, ordering: .releasing)
        while !isReleased.sleep(for: .seconds(1)) { _ = stream.socket }
    }
}
