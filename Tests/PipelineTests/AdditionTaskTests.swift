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
}
