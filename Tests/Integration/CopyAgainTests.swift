// SPDX-License-Identifier: Apache-2.0
//
// What a table of another PostgreSQL holds when its rows are copied beside the stream: merged into,
// referred to by foreign keys, of a task without snapshots, of somebody else.
import Foundation
import Glibc
import Support
import Testing

extension CopyTask {
    /// Has `walrelay snapshot` note the wish in the checkpoint of a task that nobody runs.
    fileprivate func noteSnapshot(_ tables: [String]) async throws {
        let process = try DaemonProcess(["snapshot", "--config", relay.settingsPath] + tables)
        #expect(try await process.wait() == .code(0), "\(process.stderr)")
        #expect(process.stdout.contains("Noted"))
    }

    /// Runs until a log says this, and stops.
    fileprivate func run(until text: String) async throws {
        let daemon = try start()
        try await daemon.waitForLog(text, timeout: .seconds(60))
        #expect(try await daemon.stop() == .code(0))
    }
}

extension Changeover {
    @Suite(.serialized) struct CopyAgainTests {
        @Test(.timeLimit(.minutes(3)))
        func `a copy that is merged has what was deleted before it`() async throws {
            let task = try await CopyTask.sharing(
                "again_merge",
                sql: AdditionLoad.tables + """
                    CREATE TABLE q (n int, v text);
                    ALTER TABLE q REPLICA IDENTITY FULL;
                    INSERT INTO q SELECT i, 'q' FROM generate_series(1, 300) i;
                    """,
                target: ["ifNotEmpty: merge"]
            )
            try await task.runUntilNow()
            try await task.target("UPDATE b SET v = 'spoilt' WHERE id % 5 = 0")
            try await task.noteSnapshot(["public.b"])
            // Before the copy's position, behind the checkpoint's.
            try await task.source(
                """
                DELETE FROM b WHERE id % 3 = 0;
                UPDATE b SET id = id + 1000000 WHERE id % 7 = 0;
                """
            )
            if TestKnob.hasFailpoints {
                let daemon = try task.start(failpoint: "addition.before_commit")
                #expect(try await daemon.wait() == .signal(SIGKILL), "\(daemon.stderr)")
                try await task.source("DELETE FROM b WHERE id % 11 = 0; INSERT INTO b VALUES (0)")
            }
            try await task.run(until: "added public.b")
            try await task.runUntilNow()
            #expect(try await task.differences() == [])

            // Without a key each row would stand twice.
            try await task.noteSnapshot(["public.q"])
            try await task.run(until: "have no key to merge by: public.q")
            try await task.source("INSERT INTO q VALUES (301, 'q'); DELETE FROM q WHERE n = 1")
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.with(target: ["ifNotEmpty: truncate"]).run(until: "added public.q")
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `a table that others refer to is emptied, and they keep their rows`() async throws {
            let task = try await CopyTask.sharing(
                "again_referred",
                sql: """
                    CREATE TABLE parent (id int PRIMARY KEY, v text);
                    INSERT INTO parent SELECT i, 'p' FROM generate_series(1, 100) i;
                    CREATE TABLE child (id int PRIMARY KEY,
                        parent int REFERENCES parent ON DELETE CASCADE);
                    INSERT INTO child SELECT i, i FROM generate_series(1, 100) i;
                    """,
                target: ["indexes: afterSnapshot"]
            )
            try await task.runUntilNow()
            let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
            #expect(try await task.target(keys) == "1")
            try await task.target("INSERT INTO parent VALUES (999, 'of nobody')")
            try await task.noteSnapshot(["public.parent"])
            try await task.source("UPDATE parent SET v = 'while' WHERE id = 5")
            try await task.run(until: "added public.parent")
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            #expect(try await task.target(keys) == "1")
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `without snapshots a table comes in with its key, and is copied on request`()
            async throws
        {
            var task = try await CopyTask.sharing("again_never", sql: AdditionLoad.tables)
            task = try task.with(tables: ["public.a"], more: "snapshot: { mode: never }")
            try await task.runUntilNow()
            let daemon = try task.start()
            try await task.relay.waitForPhase("streaming", of: daemon)
            try task.relay.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("added public.b, without")
            try await task.source(
                "DELETE FROM b WHERE id = 4; UPDATE b SET v = 'now' WHERE id = 3"
            )
            try await daemon.until(.seconds(20), "the change is there") {
                try await task.target("SELECT count(*), min(v) FROM b") == "1|now"
            }
            #expect(try await daemon.stop() == .code(0))
            // Rows that are there are in the way of a copy, whatever the settings say of snapshots.
            try await task.noteSnapshot(["public.a", "public.b"])
            try await task.run(until: "added public.a, public.b")
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `somebody else's rows refuse a table before anything is changed`() async throws {
            var task = try await CopyTask.sharing(
                "again_filled",
                sql: AdditionLoad.tables,
                targetSQL: "CREATE TABLE b (id int PRIMARY KEY, v text, w text)"
            )
            task = try task.with(tables: ["public.a"])
            let daemon = try task.start()
            try await task.relay.waitForPhase("streaming", of: daemon)
            try await task.target("INSERT INTO b VALUES (-1, 'of somebody')")
            try task.relay.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("code=sink.table_not_empty")
            let published = try await task.source(
                "SELECT string_agg(tablename, ' ') FROM pg_publication_tables"
            )
            #expect(published == "a")
            #expect(try await task.checkpoint("document LIKE '%\"b\"%'") == "f")
            #expect(try await daemon.stop() == .code(0))
            try await task.target("DELETE FROM b")
            try await task.run(until: "added public.b")
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }
    }
}
