// SPDX-License-Identifier: Apache-2.0
//
// A copy between servers that are set up oddly or behave badly: settings of both databases that
// would change what is printed and read, columns and rows that are not taken, a target that dies
// within the snapshot, and one where somebody holds a lock.
import Glibc
import Support
import Testing

extension Acceptance {
    @Suite(.serialized)
    struct CopyServerTests {
        /// Settings that change how values are written and read, or end a session early.
        private static let oddSettings = [
            ("DateStyle", "German, DMY"), ("IntervalStyle", "postgres_verbose"),
            ("TimeZone", "Asia/Kolkata"), ("bytea_output", "escape"), ("extra_float_digits", "-15"),
            ("xmloption", "document"), ("standard_conforming_strings", "off"),
            ("array_nulls", "off"), ("quote_all_identifiers", "on"), ("statement_timeout", "300"),
            ("lock_timeout", "100"), ("idle_in_transaction_session_timeout", "300"),
            ("default_transaction_isolation", "serializable"),
            ("default_transaction_deferrable", "on"), ("synchronous_commit", "off"),
        ]

        @Test(.timeLimit(.minutes(2)))
        func `settings of the databases change nothing in what is copied`() async throws {
            let task = try await CopyTask.sharing("copy_odd_settings", sql: "SELECT 1")
            let cases = TypeCase.all.filter { $0.since <= .v15 && $0.needs == nil }
            let columns = cases.enumerated().map { "c\($0) \($1.type)" }.joined(separator: ", ")
            let count = (cases.map(\.values.count).max() ?? 0) + 1
            let rows = (0..<count).map { row in
                let values = cases.map {
                    $0.values.indices.contains(row) ? $0.values[row].sql : "NULL"
                }
                return "INSERT INTO old VALUES (\(row), \(values.joined(separator: ", ")));"
            }
            try await task.source(
                """
                \(TypeCase.prelude)
                CREATE TABLE old (id int PRIMARY KEY, \(columns));
                CREATE TABLE live (LIKE old INCLUDING ALL);
                CREATE TABLE bag (LIKE old);
                ALTER TABLE bag REPLICA IDENTITY FULL;
                \(rows.joined(separator: "\n"))
                """
            )
            for (cluster, database) in [
                (task.servers.source, task.database), (task.servers.target, task.targetDatabase),
            ] {
                let changes = Self.oddSettings.map { name, value in
                    "ALTER DATABASE \(sqlName(database)) SET \(name) = '\(value)';"
                }
                try await onThread { _ = try cluster.psql(changes.joined()) }
            }
            try await task.runUntilNow()
            try await task.source(
                """
                SET statement_timeout = 0;
                INSERT INTO live SELECT * FROM old;
                INSERT INTO bag SELECT * FROM old;
                INSERT INTO bag SELECT * FROM old;
                UPDATE live SET id = id + 100 WHERE id % 2 = 0;
                UPDATE live SET c0 = NULL;
                UPDATE bag SET c0 = NULL WHERE id % 2 = 0;
                DELETE FROM bag WHERE id % 3 = 0;
                """
            )
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            #expect(try await task.target("SELECT count(*) FROM live") == "\(count)")
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `columns and rows that are not taken stay away`() async throws {
            let made = try await CopyTask.sharing(
                "copy_parts",
                sql: """
                    CREATE TABLE t (secret text, id int PRIMARY KEY, n int, s text);
                    INSERT INTO t SELECT 'x', i, i, 's' FROM generate_series(1, 20) i;
                    ALTER TABLE t REPLICA IDENTITY FULL;
                    CREATE TABLE u (id int PRIMARY KEY, secret text, s text);
                    INSERT INTO u SELECT i, 'x', 's' FROM generate_series(1, 20) i;
                    """
            )
            let task = try made.with(tables: [
                "{ table: public.t, where: \"n > 5\" }",
                "{ table: public.u, columns: [id, s] }",
            ])
            try await task.runUntilNow()
            try await task.source(
                """
                UPDATE t SET n = n + 3;
                UPDATE t SET n = 0 WHERE id % 5 = 0;
                DELETE FROM t WHERE id = 4;
                UPDATE u SET s = 'new', secret = 'y' WHERE id > 10;
                INSERT INTO u VALUES (30, 'z', 'last');
                """
            )
            try await task.runUntilNow()
            let parts = [
                "SELECT id, n, s FROM t WHERE n > 5 ORDER BY id", "SELECT id, s FROM u ORDER BY id",
            ]
            for part in parts {
                let copy = part.replacing(" WHERE n > 5", with: "")
                #expect(try await task.source(part) == task.target(copy))
            }
            let secrets =
                "SELECT count(*) FROM pg_attribute WHERE attrelid = 'u'::regclass"
                + " AND attname = 'secret'"
            #expect(try await task.target(secrets) == "0")
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)), .enabled(if: TestKnob.hasFailpoints))
        func `a target that dies within the snapshot is waited for`() async throws {
            let servers = try await TwinServers.start()
            _ = try await onThread {
                try servers.source.psql(
                    """
                    CREATE TABLE t (id int PRIMARY KEY, s text);
                    INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i;
                    """
                )
            }
            let task = try CopyTask(servers)
            let daemon = try task.relay.start([], pause: "sink.before_write=100ms")
            try await daemon.until(.seconds(30), "rows on the way") {
                try await task.snapshotState() == "running"
            }
            try await task.crashServer()
            try await task.waitForPhase("streaming", of: daemon, timeout: .seconds(60))
            try await task.source("UPDATE t SET s = 'new' WHERE id < 100")
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
        }

        @Test(.timeLimit(.minutes(2)))
        func `a lock on the target is waited for while the source is answered`() async throws {
            let servers = try await TwinServers.start(settings: SourcePatience.short)
            _ = try await onThread {
                try servers.source.psql("CREATE TABLE t (id int PRIMARY KEY, n int)")
            }
            let task = try CopyTask(servers)
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon, timeout: .seconds(60))
            let walsender = try task.relay.makeSourcePatient()
            let holder = try servers.target.spawn(
                "psql",
                ["-X", "-d", "postgres", "-c", "BEGIN; LOCK TABLE t; SELECT pg_sleep(300)"]
            )
            try await eventually("the lock is held") {
                try await task.target(
                    """
                    SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
                    AND relation = 't'::regclass
                    """
                )
                    == "1"
            }
            try await task.source("INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i")
            try await task.relay.waitForReplies(to: walsender)
            #expect(holder.status() == nil, "the lock is held no more")
            try await task.target(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE wait_event = 'PgSleep'
                """
            )
            try await daemon.until(.seconds(30), "the rows") {
                try await task.target("SELECT count(*) FROM t") == "1000"
            }
            holder.signal(SIGKILL)
            #expect(try task.relay.slot("active_pid") == walsender)
            #expect(try await daemon.stop() == .code(0))
            #expect(try await task.differences() == [])
        }
    }
}
