// SPDX-License-Identifier: Apache-2.0
//
// What a copy looks at before its first byte: whether the target's tables fit, are empty, belong
// to another task or to another source; and what it does about those that may be emptied.
import Support
import Testing

extension Acceptance {
    @Suite(.serialized)
    struct CopyClaimTests {
        private static let tables = """
            CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, s text);
            CREATE TABLE u (id int PRIMARY KEY, d date);
            INSERT INTO t SELECT i, i, 's' FROM generate_series(1, 20) i;
            INSERT INTO u SELECT i, '2024-01-01' FROM generate_series(1, 20) i;
            """

        @Test(.timeLimit(.minutes(2)))
        func `tables that do not fit are listed whole before anything is made`() async throws {
            let task = try await CopyTask.sharing(
                "copy_unfit",
                sql: Self.tables,
                targetSQL: """
                    CREATE TABLE t (id int PRIMARY KEY, n date);
                    CREATE TABLE u (id int PRIMARY KEY, d date, must int NOT NULL);
                    """
            )
            let log = try await task.runRefused(77)
            // A column of another type, one that is missing, one that no row would fill.
            for part in ["public.t", "date", "\\bs\\b", "public.u", "must"] {
                #expect(try log.contains(Regex(part)), "\(part) is missing in \(log)")
            }
            let rows = try await task.target("SELECT (SELECT count(*) FROM t) + count(*) FROM u")
            #expect(rows == "0")
            #expect(try task.relay.slot("slot_name") == "")
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `a table without a unique key for the source's key is refused`() async throws {
            let task = try await CopyTask.sharing(
                "copy_keyless",
                sql: Self.tables,
                targetSQL: "CREATE TABLE t (id int, n int, s text)"
            )
            let log = try await task.runRefused(77)
            #expect(log.contains("public.t"))
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `rows in the target are refused, emptied or merged as the settings say`() async throws
        {
            let task = try await CopyTask.sharing("copy_filled", sql: Self.tables)
            let rows = """
                CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, s text);
                INSERT INTO t VALUES (7, 0, 'old'), (700, 0, 'foreign');
                """
            try await task.target(rows)
            let log = try await task.runRefused(77)
            #expect(log.contains("public.t") && log.contains("ifNotEmpty"), "\(log)")
            #expect(try await task.target("SELECT count(*) FROM t") == "2")

            let merging = try task.with(target: ["ifNotEmpty: merge"])
            try await merging.runUntilNow()
            #expect(try await task.target("SELECT count(*), min(s) FROM t") == "21|foreign")
            try await task.target("DELETE FROM t WHERE id = 700")
            #expect(try await task.differences() == [])
            try await task.end()

            let other = try await CopyTask.sharing(
                "copy_emptied",
                sql: Self.tables,
                targetSQL: rows,
                target: ["ifNotEmpty: truncate"]
            )
            try await other.runUntilNow()
            #expect(try await other.differences() == [])
            // A later start has its checkpoint and empties nothing.
            try await other.target("INSERT INTO t VALUES (800, 0, 'kept')")
            try await other.runUntilNow()
            #expect(try await other.target("SELECT count(*) FROM t WHERE id = 800") == "1")
            try await other.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `another task's table is refused`() async throws {
            let task = try await CopyTask.sharing("copy_first", sql: Self.tables)
            try await task.runUntilNow()
            let second = try CopyTask(
                task.servers,
                name: "copy_second",
                database: task.database,
                tables: ["public.t"],
                target: ["ifNotEmpty: truncate"],
                targetDatabase: task.targetDatabase
            )
            let log = try await second.runRefused(74)
            #expect(log.contains("copy_first") && log.contains("public.t"), "\(log)")
            #expect(try await task.target("SELECT count(*) FROM t") == "20")
            try await task.runUntilNow()
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)), .enabled(if: PostgresVersion.v14.isAvailable))
        func `a checkpoint of another system is refused`() async throws {
            let task = try await CopyTask.sharing("copy_system", sql: Self.tables)
            try await task.runUntilNow()
            // Clusters of one version are copies of each other here: they have one identifier.
            let stranger = try await PostgresCluster.start(version: .v14)
            try await onThread {
                try stranger.createDatabase(task.database)
                try stranger.psql(Self.tables, database: task.database)
            }
            let moved = try CopyTask(
                TwinServers(source: stranger, target: task.servers.target),
                name: task.relay.name,
                database: task.database,
                targetDatabase: task.targetDatabase
            )
            _ = try await moved.runRefused(74)
            #expect(try await task.target("SELECT count(*) FROM t") == "20")
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `a login that may not make or write tables is told so`() async throws {
            let task = try await CopyTask.sharing("copy_weak", sql: Self.tables)
            try await task.target(
                "CREATE ROLE copy_weak LOGIN; REVOKE ALL ON SCHEMA public FROM public"
            )
            let weak = try task.with(target: ["user: copy_weak"])
            let log = try await weak.runRefused(77)
            #expect(log.contains("copy_weak") || log.contains("permission"), "\(log)")
            try await task.end()
            try await onThread { _ = try task.servers.target.psql("DROP ROLE copy_weak") }
        }
    }
}
