// SPDX-License-Identifier: Apache-2.0
//
// What may have become of the source and the settings since a snapshot was interrupted whose rows
// were seen.

import ChangeModel
import LibPQ
import Pipeline
import Replication
import Support
import Synchronization
import Testing

@Suite struct SeenSnapshotEdgeTests {
    private func failure(
        _ seen: SeenSnapshot,
        change: (inout TaskOptions) -> Void = SeenSnapshot.both
    ) async throws -> WalrelayError {
        let task = TaskFixture(seen.cluster, seen.store) { options in
            options.until = .now
            change(&options)
        }
        let error = try await task.failure()
        #expect(seen.store.complaints.isEmpty && !seen.store.isOpen)
        #expect(seen.store.checkpoint?.snapshot == .running)
        return error
    }

    private func settings(
        _ names: [String],
        accepting lsn: LSN? = nil
    ) -> (inout TaskOptions) -> Void {
        { options in
            options.tables.include = names.map { name in
                TableRule(pattern: TablePattern(schema: .exact("public"), name: .exact(name)))
            }
            if let lsn { options.policy.acceptedDDL = [lsn] }
        }
    }

    @Test func `a slot that is gone is a gap, and so is one that was made anew`() async throws {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        try seen.churn(1)
        try seen.cluster.psql("SELECT pg_drop_replication_slot('di_slot_t')")
        let missing = try await failure(seen)
        #expect(missing.code == "slot.missing" && missing.exit == .checkpointMismatch)
        #expect(missing.hint.contains("run --config FILE --resnapshot"))
        try seen.cluster.psql("SELECT pg_create_logical_replication_slot('di_slot_t', 'pgoutput')")
        #expect(try await failure(seen).code == "slot.ahead")
    }

    @Test func `a publication that was dropped, remade or narrowed is a gap`() async throws {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        try seen.cluster.psql("ALTER PUBLICATION di_pub_t DROP TABLE f")
        #expect(try await failure(seen).code == "publication.gap")
        try seen.cluster.psql("ALTER PUBLICATION di_pub_t ADD TABLE ONLY f")
        try seen.churn(1)
        try await seen.interrupt([.write], hit: 2)
        try seen.cluster.psql("DROP PUBLICATION di_pub_t")
        #expect(try await failure(seen).exit == .checkpointMismatch)
        try seen.cluster.psql(
            "CREATE PUBLICATION di_pub_t FOR TABLE ONLY t, ONLY f"
                + " WITH (publish_via_partition_root = true)"
        )
        #expect(try await failure(seen).code == "publication.remade")
    }

    @Test func `a column that was added is followed, be there a change after it or not`()
        async throws
    {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        try seen.churn(1)
        try seen.cluster.psql(
            """
            ALTER TABLE t ADD more int DEFAULT 7; UPDATE t SET more = 8 WHERE id % 2 = 0;
            ALTER TABLE f ADD more int DEFAULT 9;
            """
        )
        try seen.churn(2)
        try await seen.finish()
        #expect(seen.store.checkpoint?.relations.allSatisfy { $0.columns.count == 4 } == true)
    }

    @Test func `DDL that the stream comes to is refused there, and accepted by its position`()
        async throws
    {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        try seen.cluster.psql("ALTER TABLE t DROP doc; UPDATE t SET v = v || '!' WHERE id < 50")
        let error = try await failure(seen)
        #expect(error.code == "stream.ddl_refused" && error.exit == .refused)
        let transaction = try #require(
            error.hint.split(separator: "\"").compactMap { LSN($0) }.first
        )
        try await seen.finish(change: settings(["t", "f"], accepting: transaction))
    }

    @Test func `DDL that only the next snapshot shows is refused, by the former one's position`()
        async throws
    {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        let lsn = try #require(seen.store.checkpoint?.snapshotLSN)
        try seen.cluster.psql(
            "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (id, v)"
        )
        for _ in 1...2 {
            let error = try await failure(seen)
            #expect(error.code == "stream.ddl_refused" && error.exit == .refused)
            #expect(error.message.contains("\(lsn)") && error.message.contains("\"v\""))
            #expect(error.hint.contains("acceptDDL: \"\(lsn)\""))
            #expect(seen.store.state.withLock { $0.events.last?.commitLSN } == lsn)
        }
        try await TaskFixture.runUntilNow(
            seen.cluster,
            seen.store,
            change: settings(["t", "f"], accepting: lsn)
        )
        #expect(seen.store.checkpoint?.snapshot == .complete)
    }

    @Test func `a table that was dropped is refused until the settings let it go`() async throws {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        try seen.churn(1)
        try seen.cluster.psql("DROP TABLE f")
        let error = try await failure(seen)
        #expect(error.code == "stream.table_gone" && error.message.contains("public.f"))
        try await TaskFixture.runUntilNow(seen.cluster, seen.store, change: settings(["t"]))
        try seen.expectEqual(["t"])
        #expect(seen.store.checkpoint?.relations.map(\.name) == ["t"])
    }

    @Test func `a table that the settings name since comes after it, one let go not again`()
        async throws
    {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        try seen.cluster.psql(
            "CREATE TABLE late (id int PRIMARY KEY, v text); INSERT INTO late VALUES (1, 'l')"
        )
        try seen.churn(1)
        try await TaskFixture.runUntilNow(
            seen.cluster,
            seen.store,
            change: settings(["t", "late"])
        )
        try seen.expectEqual(["t"])
        #expect(seen.store.checkpoint?.relations.map(\.name) == ["t", "late"])
        #expect(seen.store.applied("late").count == 1)
        let last = try #require(seen.store.checkpoint?.snapshotLSN)
        #expect(
            !seen.store.state.withLock { state in
                state.events.contains { $0.table == "f" && $0.commitLSN >= last }
            }
        )
    }

    @Test func `without a snapshot the task goes on from the interrupted one's position`()
        async throws
    {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        let copied = seen.store.lines.count
        try seen.churn(1)
        try await TaskFixture.runUntilNow(seen.cluster, seen.store) { options in
            SeenSnapshot.both(&options)
            options.snapshot = .never
        }
        #expect(seen.store.checkpoint?.snapshot == .complete)
        let events = seen.store.state.withLock { $0.events }
        #expect(events.count > copied && !events.dropFirst(copied).contains { $0.kind == .read })
    }

    @Test func `a snapshot without a stream is begun anew, since no slot has what came after it`()
        async throws
    {
        let seen = try await SeenSnapshot()
        func only(_ options: inout TaskOptions) {
            SeenSnapshot.both(&options)
            options.snapshot = .only
        }
        try await seen.interrupt(change: only)
        let first = try #require(seen.store.checkpoint)
        #expect(first.snapshotLSN != nil && first.position == .zero && !first.goesOn)
        try seen.cluster.psql("UPDATE t SET v = 'changed'; UPDATE f SET v = 'changed'")
        try await seen.finish(change: only)
        #expect(
            try seen.cluster.psql("SELECT count(*) FROM pg_replication_slots") == "0"
        )
    }

    @Test func `one with a stream is finished without it, where that is what is asked for now`()
        async throws
    {
        let seen = try await SeenSnapshot()
        try await seen.interrupt()
        try seen.churn(1)
        try await seen.finish { options in
            SeenSnapshot.both(&options)
            options.snapshot = .only
        }
    }
}
