// SPDX-License-Identifier: Apache-2.0
//
// Tables that come into a running task and leave it: copied beside the stream, under writes, killed
// at the edges; and what is copied once more. The judge is the same as for any snapshot: the
// consumer's tables are the source's, and each row of a copy stands once.
import Foundation
import Glibc
import Sink
import Support
import Testing

/// What these tests begin with, and what is written meanwhile.
enum AdditionLoad {
    /// A table that is taken from the beginning, and one that comes later.
    static let tables = """
        CREATE TABLE a (id int PRIMARY KEY, v text);
        INSERT INTO a SELECT i, 'a' FROM generate_series(1, 100) i;
        CREATE TABLE b (id int PRIMARY KEY, v text, w text);
        INSERT INTO b SELECT i, 'b', repeat('w', 30) FROM generate_series(1, 20000) i;
        """

    /// Transactions on both, one of them large; keys that change, rows that go.
    static func change(_ number: Int) -> String {
        let first = 100_000 + number * 100
        return """
            INSERT INTO a VALUES (\(first), 'new') ON CONFLICT DO NOTHING;
            BEGIN;
            UPDATE a SET v = 'u\(number)' WHERE id = \(number % 100 + 1);
            UPDATE b SET v = 'u\(number)' WHERE id % 1000 = \(number % 1000);
            INSERT INTO b SELECT i, 'new', 'n' FROM generate_series(\(first), \(first) + 20) i
            ON CONFLICT DO NOTHING;
            COMMIT;
            DELETE FROM b WHERE id = \(number * 7 % 20000);
            UPDATE b SET id = id + 1000000 WHERE id = \(number * 11 % 20000);
            """
    }

    static let keys = ["public.a": ["id"], "public.b": ["id"]]
}

extension RelayTask {
    /// Writes other tables into the settings.
    func include(_ tables: [String]) throws {
        let text = try String(contentsOfFile: settingsPath, encoding: .utf8)
        let list = tables.map { "'\($0)'" }.joined(separator: ", ")
        try text.replacing(/include: \[[^\]]*\]/, with: "include: [\(list)]")
            .write(toFile: settingsPath, atomically: true, encoding: .utf8)
    }

    /// Has a daemon read the settings again.
    func reload(_ daemon: DaemonProcess, include tables: [String]) throws {
        try include(tables)
        daemon.kill(SIGHUP)
    }

    /// How often each row of the copy of a table stands in the files, at most.
    func copies(of table: String) throws -> Int {
        var counts: [String: Int] = [:]
        for event in try events.events() where event.table == table && event.op == "r" {
            counts[event.after?["id"]?.text ?? "?", default: 0] += 1
        }
        return counts.values.max() ?? 0
    }
}

extension Changeover {
    @Suite(.serialized) struct AdditionTests {
        /// A running task of table a on a cluster of its own.
        private func task(
            rotate: String = "256MiB",
            more: String = ""
        ) async throws -> RelayTask {
            let cluster = try await PostgresCluster.start()
            try cluster.psql(AdditionLoad.tables)
            return try RelayTask(cluster, tables: ["public.a"], rotate: rotate, more: more)
        }

        @Test(.timeLimit(.minutes(5)))
        func `a table is added under load, in files that rotate`() async throws {
            let task = try await task(rotate: "64KiB")
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            let load = WritingClient(task.cluster, seconds: 6, perSecond: 100) {
                AdditionLoad.change($0)
            }
            try task.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            try await load.wait(.seconds(90))
            #expect(load.errors == [:])
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences(AdditionLoad.keys) == [])
            #expect(try task.copies(of: "public.b") == 1)
            #expect(try task.checkpoint("file") != "000000000001.ndjson.open")
        }

        @Test(.timeLimit(.minutes(5)))
        func `other tables stream on while a table waits for open transactions`() async throws {
            let task = try await task()
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            // The slot of the copy cannot be made before this ends.
            let holder = try OpenTransaction(task.cluster, "INSERT INTO b VALUES (-1, 'open')")
            try task.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("adding public.b beside the stream")
            for id in 1_001...1_003 {
                // The change of b before it would have to wait, were it not known to lie in the copy.
                try task.cluster.psql("INSERT INTO b VALUES (\(id) + 50000, 'while')")
                try task.cluster.psql("INSERT INTO a VALUES (\(id), 'while')")
                try await daemon.until(.seconds(20), "\(id) is durable") {
                    try task.events.events().contains {
                        $0.table == "public.a" && $0.after?["id"]?.text == "\(id)"
                    }
                }
            }
            #expect(try task.copies(of: "public.b") == 0)
            #expect(!daemon.stderr.contains("copying public.b"))
            try await holder.commit()
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            try task.cluster.psql("UPDATE b SET v = 'after' WHERE id = -1")
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences(AdditionLoad.keys) == [])
        }

        @Test(
            .timeLimit(.minutes(4)),
            .enabled(if: TestKnob.hasFailpoints, "a release build has no failpoints"),
            arguments: [
                "addition.before_write:2", "addition.before_commit",
                "sink.after_sync_before_checkpoint:9", "addition.after_commit",
            ]
        )
        func `death while a table is added loses and doubles nothing`(point: String) async throws {
            let task = try await task(more: "batch: { rows: 50, delay: 5ms }")
            try await task.runUntilNow()
            let daemon = try task.start(failpoint: point)
            try await task.waitForPhase("streaming", of: daemon)
            let load = WritingClient(task.cluster, seconds: 60, perSecond: 60) {
                AdditionLoad.change($0)
            }
            try task.reload(daemon, include: ["public.a", "public.b"])
            #expect(try await daemon.wait() == .signal(SIGKILL))
            // Whatever there is of it, it is gone on with by itself.
            let next = try task.start()
            try await next.until(.seconds(60), "b is whole") {
                try task.copies(of: "public.b") == 1 && task.events.checkpoint()?["copies"] == nil
            }
            load.stop()
            try await load.wait(.seconds(90))
            #expect(try await next.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences(AdditionLoad.keys) == [])
            #expect(try task.copies(of: "public.b") == 1)
        }

        @Test(.timeLimit(.minutes(4)))
        func `a table is removed, and comes back with its rows`() async throws {
            let task = try await task()
            try task.include(["public.a", "public.b"])
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            try task.reload(daemon, include: ["public.a"])
            try await daemon.waitForLog("public.b is not taken any more")
            try await daemon.until {
                try task.cluster.psql("SELECT count(*) FROM pg_publication_tables") == "1"
            }
            try task.cluster.psql("UPDATE b SET v = 'unseen'; INSERT INTO a VALUES (500, 'seen')")
            try await daemon.until {
                try task.events.events().last?.after?["v"]?.text == "seen"
            }
            #expect(try !task.events.events().contains { $0.after?["v"]?.text == "unseen" })
            try task.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            let rows = try task.events.events().filter {
                $0.op == "r" && $0.after?["v"]?.text == "unseen"
            }
            #expect(rows.count == 20_000)
            #expect(try await daemon.stop() == .code(0))
        }

        @Test(.timeLimit(.minutes(2)))
        func `a table that is new under a pattern is added at the next start`() async throws {
            let task = try await task()
            try task.include(["public.*"])
            try await task.runUntilNow()
            try task.cluster.psql(
                "CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c SELECT generate_series(1, 50)"
            )
            // --until now, too, ends with all of it.
            let daemon = try await task.runUntilNow()
            #expect(daemon.stderr.contains("added public.c"))
            let keys = AdditionLoad.keys.merging(["public.c": ["id"]]) { $1 }
            #expect(try await task.differences(keys) == [])
        }

        @Test(.timeLimit(.minutes(4)))
        func `a table with a fault leaves the task as it is`() async throws {
            let task = try await task()
            try task.cluster.psql("CREATE TABLE keyless (n int)")
            try task.cluster.psql("CREATE TABLE c (id int PRIMARY KEY)")
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            try task.reload(daemon, include: ["public.a", "public.keyless"])
            try await daemon.waitForLog("tables are not added")
            #expect(try await task.status("lastError", "code") != nil)
            try task.cluster.psql("INSERT INTO keyless VALUES (1)")
            try task.cluster.psql("INSERT INTO a VALUES (600, 'on')")
            // The application's own updates are not broken by a publication of it.
            try task.cluster.psql("UPDATE keyless SET n = 2")
            try await daemon.until { try task.events.events().last?.after?["v"]?.text == "on" }
            try task.reload(daemon, include: ["public.nothing_at_all"])
            try await daemon.waitForLog("the former tables stay")
            try task.reload(daemon, include: ["public.a", "public.cc"])
            try await daemon.waitForLog("public.cc: does not exist; there is public.c")
            try task.reload(daemon, include: ["public.a", "public.c"])
            try await daemon.waitForLog("added public.c", timeout: .seconds(90))
            #expect(try await daemon.stop() == .code(0))
        }

        @Test(.timeLimit(.minutes(2)))
        func `a table under the name of one that was renamed waits for it`() async throws {
            let task = try await task()
            try task.include(["public.a", "public.b"])
            try await task.runUntilNow()
            try task.cluster.psql(
                """
                ALTER TABLE a RENAME TO a_old;
                CREATE TABLE a (id int PRIMARY KEY, v text);
                INSERT INTO a VALUES (1, 'new');
                INSERT INTO a_old VALUES (501, 'before');
                """
            )
            let refused = try task.start(["--until", "now"])
            #expect(try await refused.wait() == .code(65))
            #expect(refused.stderr.contains("a_old"), "\(refused.stderr)")
            // What is written until somebody has read that is not lost.
            try task.cluster.psql("INSERT INTO a_old VALUES (502, 'after')")
            try task.include(["public.a", "public.a_old", "public.b"])
            let next = try await task.runUntilNow()
            #expect(next.stderr.contains("code=snapshot.name_in_use"), "\(next.stderr)")
            let last = try await task.runUntilNow()
            #expect(last.stderr.contains("added public.a"), "\(last.stderr)")
            let seen = try task.events.events().map {
                "\($0.op) \($0.table) \($0.after?["v"]?.text ?? "")"
            }
            #expect(seen.contains("c public.a_old before") && seen.contains("c public.a_old after"))
            #expect(seen.last == "r public.a new")
        }

        @Test(.timeLimit(.minutes(4)))
        func `without snapshots a table is added from now on`() async throws {
            let task = try await task(more: "snapshot: { mode: never }")
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            try task.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("added public.b, without", timeout: .seconds(90))
            try task.cluster.psql("UPDATE b SET v = 'now' WHERE id = 3")
            try await daemon.until {
                try task.events.events().map(\.table) == ["public.b"]
            }
            #expect(try await daemon.stop() == .code(0))
        }
    }
}

/// A transaction that stays open on a server, after one statement.
final class OpenTransaction: Sendable {
    private let process: Process
    private let input: FileHandle

    /// `sql` has to change a row: a transaction that has, has a number.
    init(_ cluster: PostgresCluster, _ sql: String) throws {
        let pipe = Pipe()
        let name = "open \(UUID())"
        process = Process()
        process.executableURL = URL(filePath: cluster.program("psql"))
        process.arguments = [
            "-qAt", "-h", cluster.host, "-p", "\(cluster.port)", "-U", cluster.superuser,
            "postgres",
        ]
        process.environment = cluster.version.environment.merging(["PGAPPNAME": name]) { $1 }
        process.standardInput = pipe
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        input = pipe.fileHandleForWriting
        input.write(Data("BEGIN; \(sql);\n".utf8))
        // Its own, after the statement: before 14 a task's lock is in a transaction, too.
        while try cluster.psql(
            """
            SELECT count(*) FROM pg_stat_activity WHERE application_name = '\(name)'
            AND state = 'idle in transaction' AND backend_xid IS NOT NULL
            """
        ) == "0" {
            guard process.isRunning else { throw SupportError("psql has ended: \(sql)") }
            usleep(10_000)
        }
    }

    deinit { process.terminate() }

    /// Commits and ends the session.
    func commit() async throws {
        input.write(Data("COMMIT;\n".utf8))
        try input.close()
        try await eventually("the end of psql") { !process.isRunning }
    }
}
