// SPDX-License-Identifier: Apache-2.0
//
// A snapshot that is interrupted goes on with what it lacks: whatever is killed when, and whatever
// is written meanwhile, the sink ends with the source's rows, and what was copied is not copied
// again.
import Foundation
import Glibc
import Sink
import Support
import Testing

/// A table that is copied in several parts, one whose rows the stream cannot attribute to parts,
/// and a small one; and statements that move rows between what is copied and what is not.
enum ResumedSource {
    static let keys = ["public.big": ["id"], "public.spread": ["id"], "public.small": ["id"]]

    static func tables(rows: Int) -> String {
        """
        CREATE TABLE big (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, v text, doc text);
        ALTER TABLE big ALTER doc SET STORAGE EXTERNAL;
        INSERT INTO big SELECT g, 0, repeat(md5(g::text), 20),
            CASE WHEN g % 100 = 0 THEN repeat('d', 3000) END FROM generate_series(1, \(rows)) g;
        CREATE TABLE spread (id uuid PRIMARY KEY, v text);
        INSERT INTO spread SELECT md5(g::text)::uuid, repeat('s', 900)
            FROM generate_series(1, \(rows / 6)) g;
        CREATE TABLE small (id int PRIMARY KEY, v text);
        INSERT INTO small SELECT g, 's' || g FROM generate_series(1, 100) g;
        """
    }

    /// Changes of every kind, the same ones for the same number.
    static func change(_ round: Int, rows: Int) -> String {
        let (here, there) = (1 + round * 7_919 % rows, 1 + round * 104_729 % rows)
        // One with an unchanged value that is not sent, and both ways between the parts.
        let (held, free) = (100 * (1 + there / 100), rows + 10 + round)
        return """
            UPDATE big SET n = n + 1 WHERE id BETWEEN \(here) AND \(here) + 3;
            DELETE FROM big WHERE id = \(there) + 1;
            BEGIN; UPDATE big SET id = \(free) + 1000000 WHERE id = \(here) + 5;
            UPDATE big SET id = \(here) + 5 WHERE id = \(held)
                AND NOT EXISTS (SELECT FROM big WHERE id = \(here) + 5); COMMIT;
            INSERT INTO big VALUES (\(free), 1, 'new', repeat('n', 2500));
            UPDATE big SET id = \(there) + 1 WHERE id = \(free)
                AND NOT EXISTS (SELECT FROM big WHERE id = \(there) + 1);
            UPDATE big SET v = 'changed' WHERE id = \(there) + 1;
            DELETE FROM spread WHERE id = md5('\(here)')::uuid;
            UPDATE spread SET v = 'changed' WHERE id = md5('\(there)')::uuid;
            INSERT INTO spread VALUES (md5('new\(round)')::uuid, 'new');
            UPDATE small SET v = v || '.' WHERE id = \(1 + round % 100);
            """
    }
}

/// Writes to the source for as long as it lives.
final class ResumedLoad: Sendable {
    private let stop: Task<Void, Never>

    init(_ cluster: PostgresCluster, database: String = "postgres", rows: Int, from round: Int) {
        stop = Task.detached {
            var round = round
            while !Task.isCancelled {
                let number = round
                round += 1
                let wrote = try? await onThread {
                    try cluster.psql(
                        ResumedSource.change(number, rows: rows),
                        database: database
                    )
                }
                if wrote == nil { Issue.record("the load was refused in round \(number)") }
                try? await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    func end() async {
        stop.cancel()
        await stop.value
    }
}

extension Changeover {
    @Suite(
        .serialized,
        .enabled(if: TestKnob.hasFailpoints, "a snapshot has to be slow on purpose")
    )
    struct ResumedSnapshotTests {
        private static let rows = 30_000

        /// Kills daemons at random moments of a snapshot, with something to go on from each time.
        private func kill(
            _ count: Int,
            _ task: RelayTask,
            pause: String,
            upTo limit: Duration,
            using random: inout SeededGenerator,
            isRunning: () async throws -> Bool,
            copied: () async throws -> Int
        ) async throws {
            var before = 0
            for number in 1...count {
                if number > 2, try await !isRunning() { break }
                let daemon = try task.start(pause: "sink.before_write=\(pause)")
                // The first one has to leave something behind.
                try await daemon.until(.seconds(120), "rows that count") {
                    number > 1 ? daemon.stderr.contains("snapshotting") : try await copied() > 0
                }
                try await Task.sleep(for: limit * Double.random(in: 0..<1, using: &random))
                daemon.kill(SIGKILL)
                #expect(
                    try await daemon.wait() == .signal(SIGKILL),
                    "\(daemon.stderr.suffix(2_000))"
                )
                let now = try await copied()
                // At the end nothing is said of it any more.
                let isRunning = try await isRunning()
                #expect(now >= before || !isRunning, "what was copied stays so")
                before = max(before, now)
            }
            #expect(before > 0)
        }

        private func rowsInCheckpoint(_ task: RelayTask) throws -> Int {
            let copies = try task.events.checkpoint()?["copies"] as? [[String: Any]] ?? []
            return copies.compactMap { $0["rows"] as? Int }.reduce(0, +)
        }

        /// The same in another PostgreSQL, chunks included that only walrelay.copied knows of.
        private func rowsOnTarget(_ task: CopyTask) async throws -> Int {
            let text = try await task.checkpoint("document") ?? "{}"
            let document =
                try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            let copies = document?["copies"] as? [[String: Any]] ?? []
            guard try await task.target("SELECT to_regclass('walrelay.copied') IS NOT NULL") == "t"
            else { return 0 }
            let chunks = try await task.target("SELECT coalesce(sum(rows), 0) FROM walrelay.copied")
            return copies.compactMap { $0["rows"] as? Int }.reduce(Int(chunks) ?? 0, +)
        }

        @Test(.timeLimit(.minutes(5)), arguments: [1, 4])
        func `files have each row once, whatever was killed when`(workers: Int) async throws {
            // More parts than workers: a table beside them that counts as a whole would hold up the
            // commits.
            let rows = 70_000
            var random = SeededGenerator()
            print("WALRELAY_TEST_SEED=\(random.seed)")
            let cluster = try await PostgresCluster.start()
            try cluster.psql(ResumedSource.tables(rows: rows))
            let task = try RelayTask(
                cluster,
                rotate: "2MiB",
                more: "snapshot: { workers: \(workers) }\nbatch: { rows: 500 }"
            )
            let load = ResumedLoad(cluster, rows: rows, from: 1)
            try await kill(
                4,
                task,
                pause: "300ms",
                upTo: .milliseconds(1_500),
                using: &random,
                isRunning: { try task.checkpoint("snapshot") == "running" },
                copied: { try rowsInCheckpoint(task) }
            )
            await load.end()
            try await task.runUntilNow()
            #expect(try await task.differences(ResumedSource.keys) == [], "seed \(random.seed)")
            #expect(try task.events.checkpoint()?["copies"] == nil)
        }

        @Test(
            .timeLimit(.minutes(5)),
            arguments: [
                Failpoint.chunkBeforeRecord, .chunkBeforeCommit, .chunkAfterCommit,
                .afterWriteBeforeSync,
            ]
        )
        func `chunks that went through lanes are there and known of, or neither`(
            point: Failpoint
        ) async throws {
            let name = "resume_" + (point.rawValue.split(separator: ".").last ?? "")
            let task = try await CopyTask.sharing(
                String(name.prefix(40)),
                sql: ResumedSource.tables(rows: Self.rows),
                more: "snapshot: { workers: 3 }"
            )
            var (round, before) = (1, 0)
            for hit in [1, 2, 2] {
                let daemon = try task.start(failpoint: "\(point.rawValue):\(hit)")
                let status = try await daemon.wait(.seconds(120))
                #expect(status == .signal(SIGKILL), "\(daemon.stderr.suffix(2_000))")
                let now = try await rowsOnTarget(task)
                #expect(now >= before, "what was copied stays so")
                before = now
                for _ in 0..<5 {
                    try await task.source(ResumedSource.change(round, rows: Self.rows))
                    round += 1
                }
                if now > 0 {
                    try await task.source(
                        "ALTER TABLE big ADD COLUMN IF NOT EXISTS late int DEFAULT 7"
                    )
                }
            }
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            #expect(try await task.target("SELECT count(*) FROM walrelay.copied") == "0")
            try await task.end()
        }

        @Test(.timeLimit(.minutes(5)), arguments: [1, 2])
        func `death after the first commit of a resume forgets no chunk`(
            interruptions: Int
        ) async throws {
            // More parts than workers: each run leaves some of them.
            let rows = 70_000
            let task = try await CopyTask.sharing(
                "resume_caught_\(interruptions)",
                sql: ResumedSource.tables(rows: rows),
                more: "snapshot: { workers: 2 }"
            )
            var copied = 0
            for number in 1...interruptions {
                let daemon = try task.start(failpoint: "sink.chunk_after_commit:1")
                #expect(try await daemon.wait(.seconds(120)) == .signal(SIGKILL))
                let now = try await rowsOnTarget(task)
                #expect(now > copied)
                copied = now
                try await task.source(
                    """
                    UPDATE big SET n = n + \(number) WHERE id % 100 = 1;
                    UPDATE small SET v = v || '.'
                    """
                )
            }
            let catching = try task.start(failpoint: "sink.after_checkpoint_before_feedback:1")
            #expect(try await catching.wait(.seconds(120)) == .signal(SIGKILL))
            #expect(try await task.target("SELECT count(*) FROM walrelay.copied") == "0")
            #expect(try await rowsOnTarget(task) == copied, "what was copied stays so")
            let last = try await task.runUntilNow()
            // Each row counts once, those of the runs before counted in.
            let total = rows + rows / 6 + 100
            #expect(
                last.stderr.contains("snapshot complete: \(total) rows of 3 tables"),
                "\(last.stderr.suffix(2_000))"
            )
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(5)))
        func `what was copied is not copied again`() async throws {
            let task = try await CopyTask.sharing(
                "resume_once",
                sql: ResumedSource.tables(rows: Self.rows),
                more: "snapshot: { workers: 1 }\nlog: { level: debug }"
            )
            let daemon = try task.start(failpoint: "sink.chunk_after_commit:1")
            #expect(try await daemon.wait(.seconds(120)) == .signal(SIGKILL))
            let first = try #require(
                Int(try await task.target("SELECT sum(rows) FROM walrelay.copied"))
            )
            #expect(first > 0)
            try await task.source("UPDATE big SET n = n + 1 WHERE id % 100 = 1")
            // As of a lane that came further: rows that do not count are emptied, and no others.
            // A table that keeps its rows refers to these, which TRUNCATE would refuse.
            try await task.target(
                """
                INSERT INTO small VALUES (1, 'of another lane');
                ALTER TABLE small ADD UNIQUE (id);
                ALTER TABLE big ADD FOREIGN KEY (n) REFERENCES small (id) NOT VALID
                """
            )
            let again = try await task.runUntilNow()
            let total = Self.rows + Self.rows / 6 + 100
            // Those of the first run counted in: each row counts once.
            #expect(
                again.stderr.contains("snapshot complete: \(total) rows of 3 tables"),
                "\(again.stderr)"
            )
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(5)))
        func `rows that are merged into a target go on too`() async throws {
            var random = SeededGenerator()
            print("WALRELAY_TEST_SEED=\(random.seed)")
            let rows = 40_000
            let task = try await CopyTask.sharing(
                "resume_merge",
                sql: ResumedSource.tables(rows: rows),
                target: ["ifNotEmpty: merge"],
                more: "snapshot: { workers: 3 }\nbatch: { rows: 500 }"
            )
            let load = ResumedLoad(
                task.servers.source,
                database: task.database,
                rows: rows,
                from: 1
            )
            try await kill(
                3,
                task.relay,
                pause: "200ms",
                upTo: .milliseconds(1_500),
                using: &random,
                isRunning: { try await task.checkpoint("snapshot") == "running" },
                copied: { try await rowsOnTarget(task) }
            )
            await load.end()
            try await task.runUntilNow()
            #expect(try await task.differences() == [], "seed \(random.seed)")
            try await task.end()
        }

        /// The acceptance: minutes.
        @Test(.timeLimit(.minutes(60)), .enabled(if: TestKnob.isLong), arguments: [1, 4])
        func `5,000,000 rows, 10 kills at random moments, under writes`(workers: Int) async throws {
            var random = SeededGenerator()
            print("WALRELAY_TEST_SEED=\(random.seed)")
            let rows = TestKnob.number("WALRELAY_TEST_RESUME_ROWS") ?? 5_000_000
            let cluster = try await PostgresCluster.start()
            try cluster.psql(
                """
                \(ResumedSource.tables(rows: 1_000));
                INSERT INTO big SELECT g, 0, md5(g::text),
                    CASE WHEN g % 1000 = 0 THEN repeat('d', 3000) END
                    FROM generate_series(1001, \(rows)) g;
                """,
                limit: .seconds(600)
            )
            let task = try RelayTask(cluster, more: "snapshot: { workers: \(workers) }")
            let load = ResumedLoad(cluster, rows: rows, from: 1)
            try await kill(
                10,
                task,
                pause: "1ms",
                upTo: .seconds(8),
                using: &random,
                isRunning: { try task.checkpoint("snapshot") == "running" },
                copied: { try rowsInCheckpoint(task) }
            )
            await load.end()
            try await task.runUntilNow(.seconds(1_800))
            let differences = try await task.differences(ResumedSource.keys)
            #expect(differences.prefix(20) == [], "seed \(random.seed)")
        }
    }
}
