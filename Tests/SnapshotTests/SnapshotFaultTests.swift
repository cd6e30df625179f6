// SPDX-License-Identifier: Apache-2.0
//
// What ends a snapshot early: one clear error, soon, and nothing left open on the server.

import ChangeModel
import Glibc
import LibPQ
import Replication
import Snapshot
import Support
import Synchronization
import Testing

struct SnapshotFaultTests {
    private let lsn = LSN(0x2000)

    /// A cluster with a table of some 48 MiB and one small.
    private func cluster() async throws -> PostgresCluster {
        let cluster = try await PostgresCluster.start(version: .v15)
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, note text);
            INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 45000) g;
            CREATE TABLE small (id int PRIMARY KEY);
            INSERT INTO small VALUES (1);
            """
        )
        return cluster
    }

    /// Copies and gives the error that it has to end with.
    private func failure(
        _ tables: [SnapshotTable],
        _ snapshot: String,
        _ cluster: PostgresCluster,
        _ collector: Collector,
        user: String = "postgres",
        stop: StopSignal = StopSignal()
    ) async throws -> WalrelayError {
        let error = await #expect(throws: WalrelayError.self) {
            try await copy(
                tables,
                snapshot: snapshot,
                of: cluster,
                into: collector,
                lsn: lsn,
                user: user,
                stop: stop,
                adjust: { request in
                    request.lockTimeout = .milliseconds(300)
                    request.batchRows = 100
                }
            )
        }
        return try #require(error)
    }

    @Test func `a terminated backend ends all workers`() async throws {
        let cluster = try await cluster()
        let tables = try cluster.tables(["t"])
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn) { batch in
            guard batch == 3 else { return }
            try cluster.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    + "WHERE query LIKE 'COPY%' AND state = 'active' LIMIT 1"
            )
        }
        let error = try await failure(tables, exporter.snapshot, cluster, collector)
        #expect(error.isTransient, "\(error)")
        #expect(error.message.contains("public.t"))
        try await eventually("only the exporter is in a transaction") {
            try cluster.openTransactions() == 1
        }
    }

    @Test func `a request to stop ends the copying soon`() async throws {
        let cluster = try await cluster()
        let tables = try cluster.tables(["t"])
        let exporter = try Exporter(cluster)
        let stop = StopSignal()
        let asked = Mutex<ContinuousClock.Instant?>(nil)
        let collector = Collector(lsn: lsn) { batch in
            guard batch == 3 else { return }
            asked.withLock { $0 = .now }
            stop.request()
        }
        let error = try await failure(
            tables,
            exporter.snapshot,
            cluster,
            collector,
            stop: stop
        )
        let instant = try #require(asked.withLock { $0 })
        #expect(error.code == "stopped")
        let ended = try #require(collector.ended)
        #expect(ended - instant < .seconds(10))
        try await eventually("only the exporter is in a transaction") {
            try cluster.openTransactions() == 1
        }
    }

    @Test func `a request to stop ends a COPY that finds nothing`() async throws {
        let cluster = try await cluster()
        let tables = try cluster.tables(["t"], filter: "pg_sleep(120) IS NULL")
        let exporter = try Exporter(cluster)
        let stop = StopSignal()
        let collector = Collector(lsn: lsn)
        async let ended = failure(
            tables,
            exporter.snapshot,
            cluster,
            collector,
            stop: stop
        )
        try await eventually("the workers copy") {
            try cluster.psql(
                "SELECT count(*) > 2 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            ) == "t"
        }
        let clock = ContinuousClock.now
        stop.request()
        #expect(try await ended.code == "stopped")
        let end = try #require(collector.ended)
        #expect(end - clock < .seconds(10))
        try await eventually("no COPY goes on") {
            try cluster.openTransactions() == 1
        }
    }

    @Test func `an error of the outlet ends the copying and is passed on`() async throws {
        struct Full: Error {}
        let cluster = try await cluster()
        let tables = try cluster.tables(["t", "small"])
        let exporter = try Exporter(cluster)
        let collector = Collector(lsn: lsn) { batch in
            if batch == 5 { throw Full() }
        }
        await #expect(throws: Full.self) {
            try await copy(
                tables,
                snapshot: exporter.snapshot,
                of: cluster,
                into: collector,
                lsn: lsn,
                adjust: { $0.batchRows = 100 }
            )
        }
        try await eventually("only the exporter is in a transaction") {
            try cluster.openTransactions() == 1
        }
    }

    @Test func `a snapshot that is gone is an error that a new one mends`() async throws {
        let cluster = try await cluster()
        let tables = try cluster.tables(["small"])
        for name in ["00000003-00000FFF-1", "no such thing"] {
            let collector = Collector(lsn: lsn)
            let error = try await failure(tables, name, cluster, collector)
            #expect(error.code == "snapshot.lost", "\(error)")
            #expect(error.isTransient)
            #expect(collector.imports == 0)
        }
    }

    @Test func `a table that is locked exclusively is named with who holds it`() async throws {
        let cluster = try await cluster()
        let tables = try cluster.tables(["small", "t"])
        let exporter = try Exporter(cluster)
        let holder = try Connection.open(cluster.parameters())
        try holder.query("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
        let error = try await failure(tables, exporter.snapshot, cluster, Collector(lsn: lsn))
        #expect(error.code == "snapshot.table_locked")
        #expect(error.isTransient)
        #expect(error.message.contains("public.t"))
        #expect(error.message.contains("process \(holder.backendPID) "))
    }

    @Test(arguments: [
        ("TRUNCATE t", "snapshot.table_rewritten"),
        ("ALTER TABLE t ALTER id TYPE bigint", "snapshot.table_rewritten"),
        ("TRUNCATE leaf", "snapshot.table_rewritten"),
        ("ALTER TABLE t RENAME TO other", "snapshot.table_changed"),
        ("DROP TABLE small", "snapshot.table_changed"),
        ("ALTER TABLE t RENAME COLUMN note TO remark", "snapshot.table_changed"),
        (
            "ALTER TABLE small RENAME TO s; CREATE TABLE small (id int)",
            "snapshot.table_changed"
        ),
    ])
    func `what happens between the snapshot and the locks is noticed`(
        change: String,
        code: String
    ) async throws {
        let cluster = try await cluster()
        try cluster.psql(
            """
            CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
            CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
            INSERT INTO root VALUES (1);
            """
        )
        let tables = try cluster.tables(["t", "small", "root"])
        let exporter = try Exporter(cluster)
        try cluster.psql(change)
        let error = try await failure(tables, exporter.snapshot, cluster, Collector(lsn: lsn))
        #expect(error.code == code, "\(error)")
        #expect(error.isTransient)
    }

    @Test(arguments: [
        "ALTER TABLE t ADD COLUMN more int DEFAULT 5",
        "ALTER TABLE t ALTER id TYPE bigint",
        "ALTER TABLE t DROP COLUMN note",
        "CREATE TABLE leaf2 PARTITION OF root FOR VALUES FROM (10) TO (20)",
        "DROP TABLE t",
    ])
    func `what happens between the look-up and the snapshot is noticed`(
        change: String
    ) async throws {
        let cluster = try await cluster()
        try cluster.psql(
            """
            CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
            CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
            """
        )
        let tables = try cluster.tables(["t", "root"])
        try cluster.psql(change)
        let exporter = try Exporter(cluster)
        let error = try await failure(tables, exporter.snapshot, cluster, Collector(lsn: lsn))
        #expect(error.code == "snapshot.table_changed", "\(error)")
        #expect(error.isTransient)
    }

    @Test func `a column that is added after the snapshot is no fault`() async throws {
        let cluster = try await cluster()
        let tables = try cluster.tables(["small"])
        let exporter = try Exporter(cluster)
        try cluster.psql("ALTER TABLE small ADD COLUMN more int DEFAULT 5")
        let collector = Collector(lsn: lsn)
        try await copy(tables, snapshot: exporter.snapshot, of: cluster, into: collector, lsn: lsn)
        #expect(collector.rows("public.small") == ["<1>"])
    }

    @Test func `a row security policy never hides rows silently`() async throws {
        let cluster = try await cluster()
        try cluster.psql(
            """
            CREATE ROLE reader LOGIN;
            GRANT SELECT ON small TO reader;
            ALTER TABLE small ENABLE ROW LEVEL SECURITY;
            CREATE POLICY none ON small USING (false);
            """
        )
        let tables = try cluster.tables(["small"])
        let exporter = try Exporter(cluster)
        let hidden = try await failure(
            tables,
            exporter.snapshot,
            cluster,
            Collector(lsn: lsn),
            user: "reader"
        )
        #expect(hidden.code == "snapshot.row_security", "\(hidden)")
        #expect(hidden.exit == .prerequisite)
        let denied = try await failure(
            try cluster.tables(["t"]),
            exporter.snapshot,
            cluster,
            Collector(lsn: lsn),
            user: "reader"
        )
        #expect(denied.code == "snapshot.permission_denied", "\(denied)")
        #expect(!denied.isTransient)
    }

    @Test func `a worker that gets no connection does not hang the others`() async throws {
        let cluster = try await cluster()
        try cluster.psql("CREATE ROLE few LOGIN SUPERUSER; GRANT SELECT ON t TO few")
        try cluster.psql("ALTER ROLE few NOSUPERUSER CONNECTION LIMIT 2")
        let tables = try cluster.tables(["t"])
        let exporter = try Exporter(cluster)
        let error = try await failure(
            tables,
            exporter.snapshot,
            cluster,
            Collector(lsn: lsn),
            user: "few"
        )
        #expect(error.message.contains("too many connections"), "\(error)")
        try await eventually("only the exporter is in a transaction") {
            try cluster.openTransactions() == 1
        }
    }
}
