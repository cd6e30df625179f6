// SPDX-License-Identifier: Apache-2.0
//
// What ends a snapshot through lanes: one error that says on which side, and nothing left running.

import ChangeModel
import LibPQ
import Snapshot
import Support
import Synchronization
import Testing

@testable import PostgresSink

@Suite(.serialized) struct LaneFaultTests {
    /// A table of some 45 MiB: many chunks, and far more than sockets hold.
    private func fixture(
        _ versions: VersionPair = VersionPair(.v15, .v15)
    ) async throws
        -> LaneFixture
    {
        let fixture = try await LaneFixture.start(
            versions,
            "CREATE TABLE t (id int, note text)"
        )
        try fixture.source.psql(
            "INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 40000) g"
        )
        return fixture
    }

    @Test(arguments: [
        ("CREATE UNIQUE INDEX one ON t ((note = note))", "23505", "one"),
        ("ALTER TABLE t ADD CONSTRAINT low CHECK (id < 20000)", "23514", "low"),
        ("ALTER TABLE t ALTER note TYPE varchar(999)", "22001", "column note"),
        ("ALTER TABLE t ALTER id TYPE smallint", "22003", "column id"),
        ("ALTER TABLE t ADD must int NOT NULL", "23502", "must"),
        ("ALTER TABLE t ALTER note TYPE int USING 1", "22P02", "column note"),
    ])
    func `a row that the target refuses is named, and nothing of its chunk stays`(
        change: String,
        sqlState: String,
        name: String
    ) async throws {
        let fixture = try await fixture()
        try fixture.target.psql(change)
        let error = try await fixture.failure(workers: 1)
        #expect(error.code == "sink.row_refused", "\(error)")
        #expect(error.exit == .refused && !error.isTransient)
        for part in ["public.t", "SQLSTATE \(sqlState)", "COPY t, line", name] {
            #expect(error.message.contains(part), "\(part) is not in \(error)")
        }
        #expect(try fixture.target.psql("SELECT count(*) FROM t") == "0")
        try await fixture.expectNoSessions()
    }

    @Test(arguments: ["int", "bigint"])
    func `rows that a trigger keeps back are missed`(type: String) async throws {
        let fixture = try await fixture()
        // As text and in binary; an ordinary trigger does not fire for a replica.
        try fixture.target.psql(
            """
            ALTER TABLE t ALTER id TYPE \(type);
            CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN RETURN CASE WHEN NEW.id % 1000 = 0 THEN NULL ELSE NEW END; END';
            CREATE TRIGGER skip BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION skip();
            """
        )
        try await fixture.copy(fixture.tables())
        #expect(try fixture.target.psql("SELECT count(*) FROM t") == "40000")
        try fixture.target.psql("TRUNCATE t; ALTER TABLE t ENABLE ALWAYS TRIGGER skip")
        let error = try await fixture.failure(workers: 1)
        #expect(error.code == "sink.rows_missing" && error.exit == .refused, "\(error)")
        #expect(error.message.contains("took 39960 of 40000 rows"), "\(error)")
    }

    @Test func `a table that may not be written to is a prerequisite`() async throws {
        let fixture = try await fixture()
        for server in [fixture.source, fixture.target] {
            try server.psql("CREATE ROLE writer LOGIN; GRANT SELECT ON t TO writer")
        }
        let error = try await fixture.failure(user: "writer")
        #expect(error.code == "sink.permission_denied", "\(error)")
        #expect(error.exit == .prerequisite && error.message.contains("public.t"))
    }

    @Test func `a role that may not log in is told as the target's`() async throws {
        let fixture = try await fixture()
        let error = try await fixture.failure(user: "nobody")
        #expect(error.code == "sink.login_refused", "\(error)")
        try fixture.target.stop()
        let away = try await fixture.failure()
        #expect(away.code == "sink.unreachable" && away.isTransient, "\(away)")
    }

    @Test(arguments: [1, 4])
    func `a target that is killed in the middle is a passing error`(workers: Int) async throws {
        let fixture = try await fixture()
        let isKilled = Atomic(false)
        let error = try await fixture.failure(workers: workers) { _ in
            guard !isKilled.exchange(true, ordering: .relaxed) else { return }
            do { try fixture.target.stop(mode: .immediate) } catch { Issue.record(error) }
        }
        #expect(error.code == "sink.unreachable" && error.isTransient, "\(error)")
    }

    @Test func `a lane's backend that is terminated is the target's error`() async throws {
        let fixture = try await fixture()
        let isDone = Atomic(false)
        let error = try await fixture.failure { _ in
            guard !isDone.exchange(true, ordering: .relaxed) else { return }
            _ = try? fixture.target.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    + "WHERE application_name = 'lane'"
            )
        }
        #expect(error.code == "sink.unreachable" && error.isTransient, "\(error)")
        try await fixture.expectNoSessions()
    }

    @Test func `a source that is killed in the middle is told as the source`() async throws {
        let fixture = try await fixture()
        let isKilled = Atomic(false)
        let error = try await fixture.failure { _ in
            guard !isKilled.exchange(true, ordering: .relaxed) else { return }
            do { try fixture.source.stop(mode: .immediate) } catch { Issue.record(error) }
        }
        #expect(error.code == "source.unreachable" && error.isTransient, "\(error)")
        try await fixture.expectNoSessions()
    }

    /// How the target is made to wait: before the first row, or at one of them.
    @Test(arguments: [
        "LOCK TABLE t IN ACCESS EXCLUSIVE MODE",
        "INSERT INTO t VALUES (20000, 'somebody else''s')",
    ])
    func `a stop ends the waiting for a target that is blocked`(statement: String) async throws {
        let fixture = try await fixture()
        try fixture.target.psql("CREATE UNIQUE INDEX one ON t (id)")
        let holder = try Connection.open(fixture.target.laneParameters())
        try holder.query("SET application_name = 'holder'; SET search_path = public")
        try holder.query("BEGIN; \(statement)")
        let stop = StopSignal()
        let report = LaneReport()
        async let ending = fixture.failure(workers: 2, stop: stop) { _ in
            report.passed.add(1, ordering: .relaxed)
        }
        // However this ends: nobody must go on waiting.
        defer { stop.request() }
        try await eventually("a lane waits for a lock", timeout: .seconds(120)) {
            try fixture.target.psql(
                "SELECT count(*) > 0 FROM pg_stat_activity "
                    + "WHERE application_name = 'lane' AND wait_event_type = 'Lock'"
            ) == "t"
        }
        // Until the sockets are full as well.
        var last = -1
        try await eventually("nothing passes any more", timeout: .seconds(120)) {
            let now = report.rowsPassed
            defer { last = now }
            try await Task.sleep(for: .milliseconds(300))
            return now == last
        }
        let asked = ContinuousClock.now
        stop.request()
        let error = try await ending
        #expect(error.code == "stopped" && error.exit == .success, "\(error)")
        #expect(ContinuousClock.now - asked < .seconds(15))
        // Not even those that would go on waiting for the lock.
        try await fixture.expectNoSessions()
        try holder.query("ROLLBACK")
        #expect(try fixture.target.psql("SELECT count(*) FROM t WHERE id = 20000") == "0")
    }
}
