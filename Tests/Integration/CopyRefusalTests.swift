// SPDX-License-Identifier: Apache-2.0
//
// What a copy must not take: a row that the target refuses, in the stream, as an end with all that
// an operator needs and nothing half-applied, or as a dead letter beside which all else goes on.
import Support
import Testing

extension Acceptance {
    @Suite(.serialized)
    struct CopyRefusalTests {
        /// A rule of the target that one row of the source breaks.
        struct Rule: Sendable, CustomTestStringConvertible {
            let name: String
            /// Makes the rule on the target.
            let makes: String
            /// Takes it away.
            let mends: String
            /// Breaks it on the source, within a transaction.
            let breaks: String
            let state: String
            /// The exit code of later starts: what a table shows of itself is refused before.
            var later: Int32 = 65
            /// What must be said beside the table, the key and the SQLSTATE.
            let says: [String]

            var testDescription: String { name }

            static let all = [
                Rule(
                    name: "unique",
                    makes: "CREATE UNIQUE INDEX t_n_unique ON t (n)",
                    mends: "DROP INDEX t_n_unique",
                    breaks: "INSERT INTO t VALUES (777, 5, 'same n', 'sad')",
                    state: "23505",
                    says: ["t_n_unique"]
                ),
                Rule(
                    name: "unique_update",
                    makes: "CREATE UNIQUE INDEX t_n_unique ON t (n)",
                    mends: "DROP INDEX t_n_unique",
                    breaks: "INSERT INTO t VALUES (777, 900, '', 'sad'); "
                        + "UPDATE t SET n = 6 WHERE id = 777",
                    state: "23505",
                    says: ["t_n_unique"]
                ),
                Rule(
                    name: "check",
                    makes: "ALTER TABLE t ADD CONSTRAINT t_n_small CHECK (n < 5000)",
                    mends: "ALTER TABLE t DROP CONSTRAINT t_n_small",
                    breaks: "INSERT INTO t VALUES (777, 5001, 'large n', 'sad')",
                    state: "23514",
                    says: ["t_n_small"]
                ),
                Rule(
                    name: "value",
                    makes: "SELECT 1",
                    mends: "ALTER TYPE mood ADD VALUE 'new'",
                    breaks: "INSERT INTO t VALUES (777, 777, 'the type has it not', 'new')",
                    state: "22P02",
                    later: 77,
                    says: ["mood"]
                ),
                Rule(
                    name: "null",
                    makes: "ALTER TABLE t ALTER s SET NOT NULL",
                    mends: "ALTER TABLE t ALTER s DROP NOT NULL",
                    breaks: "INSERT INTO t VALUES (777, 777, NULL, 'sad')",
                    state: "23502",
                    later: 77,
                    says: []
                ),
            ]
        }

        private static let tables = """
            CREATE TYPE mood AS ENUM ('sad', 'happy');
            CREATE TABLE t (id int PRIMARY KEY, n int, s text, m mood);
            CREATE TABLE other (id int PRIMARY KEY, n int);
            INSERT INTO t SELECT i, i, 's', 'sad' FROM generate_series(1, 20) i;
            INSERT INTO other SELECT i, i FROM generate_series(1, 20) i;
            """

        /// Good transactions around one that has good rows around the bad one.
        private static func load(_ rule: Rule) -> String {
            """
            INSERT INTO t VALUES (100, 100, 'before', 'happy');
            BEGIN;
            INSERT INTO other VALUES (200, 200);
            INSERT INTO t SELECT i, i, 'beside', 'sad' FROM generate_series(200, 220) i;
            UPDATE t SET s = 'beside' WHERE id = 20;
            \(rule.breaks);
            DELETE FROM t WHERE id = 19;
            INSERT INTO other VALUES (201, 201);
            COMMIT;
            INSERT INTO other VALUES (300, 300);
            """
        }

        /// A task whose snapshot is complete, and the daemon that meets the load.
        private static func startLoaded(
            _ rule: Rule,
            _ kind: String,
            target: [String] = []
        ) async throws -> (CopyTask, DaemonProcess) {
            let task = try await CopyTask.sharing(
                "copy_\(kind)_\(rule.name)",
                sql: tables,
                target: target
            )
            try await task.runUntilNow()
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon, timeout: .seconds(60))
            try await task.target(rule.makes)
            if rule.name == "value" { try await task.source("ALTER TYPE mood ADD VALUE 'new'") }
            try await task.source(load(rule))
            return (task, daemon)
        }

        @Test(.timeLimit(.minutes(2)), arguments: Rule.all)
        func `a row that the target refuses stops before its transaction`(
            rule: Rule
        ) async throws {
            let (task, daemon) = try await Self.startLoaded(rule, "stop")
            #expect(try await daemon.wait() == .code(65))
            let log = daemon.stderr
            for part in ["public.t", "777", rule.state] + rule.says {
                #expect(log.contains(part), "\(part) is missing in \(log)")
            }
            #expect(log.contains(#/[0-9A-F]+/[0-9A-F]{6,}/#), "no LSN in \(log)")
            for round in 0..<2 {
                // Of the transaction there is nothing, and nothing of what comes after it.
                let seen = try await task.target(
                    "SELECT count(*), bool_or(id = 19), bool_or(s = 'beside') FROM t"
                )
                #expect(seen == "21|t|f" || seen == "20|t|f")
                #expect(try await task.target("SELECT count(*) FROM other") == "20")
                if round == 0 { _ = try await task.runRefused(rule.later) }
            }
            try await task.target(rule.mends)
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)), arguments: Rule.all)
        func `a row that the target refuses becomes a dead letter`(rule: Rule) async throws {
            let (task, daemon) = try await Self.startLoaded(
                rule,
                "letter",
                target: ["onRowError: deadLetter"]
            )
            try await daemon.until(.seconds(60), "the last row") {
                try await task.target("SELECT count(*) FROM other WHERE id = 300") == "1"
            }
            #expect(try await daemon.stop() == .code(0))
            let letters = try await task.target(
                """
                SELECT DISTINCT task, schema_name, table_name, sqlstate, reason <> '', \
                lsn IS NOT NULL AND lsn <= commit_lsn, event LIKE '%777%' \
                FROM walrelay.dead_letter
                """
            )
            #expect(letters == "\(task.relay.name)|public|t|\(rule.state)|t|t|t")
            // Without the bad row both sides are equal, and no letter comes a second time.
            let count = try await task.target("SELECT count(*) FROM walrelay.dead_letter")
            try await task.target("DELETE FROM t WHERE id = 777")
            try await task.target(rule.mends)
            try await task.source("DELETE FROM t WHERE id = 777")
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            #expect(try await task.target("SELECT count(*) FROM walrelay.dead_letter") == count)
            try await task.end()
        }
    }
}
