// SPDX-License-Identifier: Apache-2.0
//
// How a copy follows the source's tables: columns that are added while it runs and while it does
// not, TRUNCATE in the middle of a transaction, names that differ on the target, and what the
// target has of its own: triggers and foreign keys, which must not act a second time.
import Support
import Testing

extension Acceptance {
    @Suite(.serialized)
    struct CopySchemaTests {
        private static let tables = """
            CREATE TABLE t (id int PRIMARY KEY, n int, s text);
            CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t);
            INSERT INTO t SELECT i, i, 's' FROM generate_series(1, 20) i;
            INSERT INTO u SELECT i, i FROM generate_series(1, 20) i;
            """

        /// Columns in the middle of transactions that write before and after.
        private static let additions = """
            BEGIN;
            INSERT INTO t VALUES (100, 1, 'before');
            ALTER TABLE t ADD COLUMN plain text;
            INSERT INTO t VALUES (101, 1, 'after', 'p');
            ALTER TABLE t ADD COLUMN constant int NOT NULL DEFAULT 42, ADD COLUMN list text[];
            UPDATE t SET n = n + 1, list = '{a,NULL}' WHERE id <= 5;
            INSERT INTO t (id, constant) VALUES (102, 43);
            COMMIT;
            ALTER TABLE t ADD COLUMN "Odd ""name" timestamptz DEFAULT '2024-02-29 12:00+02';
            UPDATE t SET s = 'touched' WHERE id = 7;
            DELETE FROM t WHERE id = 8 AND false;
            """

        @Test(.timeLimit(.minutes(2)), arguments: Moment.allCases)
        func `an added column comes with the values that old rows have`(
            moment: Moment
        ) async throws {
            let task = try await CopyTask.sharing("copy_add_\(moment)", sql: Self.tables)
            if moment == .running {
                let daemon = try task.start()
                try await task.waitForPhase("streaming", of: daemon, timeout: .seconds(60))
                try await task.source(Self.additions)
                try await daemon.until {
                    try await task.target("SELECT count(*) FROM t WHERE s = 'touched'") == "1"
                }
                #expect(try await daemon.stop() == .code(0))
            } else {
                try await task.runUntilNow()
                try await task.source(Self.additions)
            }
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.source("INSERT INTO t VALUES (200, 1, 'x', 'y', 3, '{}', now())")
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `a volatile default is refused and the way out works`() async throws {
            let task = try await CopyTask.sharing("copy_volatile", sql: Self.tables)
            try await task.runUntilNow()
            try await task.source(
                """
                INSERT INTO t VALUES (100, 1, 'before');
                ALTER TABLE t ADD COLUMN r double precision DEFAULT random();
                INSERT INTO t VALUES (101, 1, 'after');
                """
            )
            let log = try await task.runRefused(65)
            for part in ["public.t", "random()"] {
                #expect(log.contains(part), "\(part) is missing in \(log)")
            }
            // Nothing is there of the transaction that comes with the column.
            #expect(try await task.target("SELECT count(*) FROM t WHERE id > 100") == "0")
            try await task.target("ALTER TABLE t ADD COLUMN r double precision")
            try await task.runUntilNow()
            #expect(try await task.verify(["--repair"]) == .code(0))
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `truncate is applied in its place`() async throws {
            let task = try await CopyTask.sharing(
                "copy_truncate",
                sql: Self.tables,
                more: "stream: { onTruncate: apply }"
            )
            try await task.runUntilNow()
            try await task.source(
                """
                BEGIN;
                INSERT INTO t VALUES (50, 1, 'gone');
                UPDATE t SET n = 0;
                TRUNCATE t, u RESTART IDENTITY;
                INSERT INTO t VALUES (51, 1, 'stays'), (1, 1, 'again');
                SAVEPOINT s; TRUNCATE t CASCADE; ROLLBACK TO s;
                COMMIT;
                INSERT INTO u VALUES (1, 51);
                BEGIN; TRUNCATE u; TRUNCATE t CASCADE; COMMIT;
                INSERT INTO t VALUES (60, 1, 'last'); INSERT INTO u VALUES (60, 60);
                """
            )
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            #expect(try await task.target("SELECT count(*) FROM t") == "1")
            try await task.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `tables go by other names where the settings say so`() async throws {
            let sql =
                Self.tables + "CREATE SCHEMA other; CREATE TABLE other.v (id int PRIMARY KEY);"
            let made = try await CopyTask.sharing("copy_names", sql: sql)
            let task = try made.with(target: ["schema: copies"], tables: ["public.*", "other.*"])
            try await task.runUntilNow()
            try await task.source("UPDATE t SET n = 0; INSERT INTO other.v VALUES (1)")
            try await task.runUntilNow()
            let pairs = [("public", "t"), ("public", "u"), ("other", "v")].map {
                TablePair($0.0, $0.1, target: ("copies", $0.1))
            }
            #expect(try await task.differences(of: pairs) == [])
            try await task.end()

            // Of two tables of one name, one goes by another.
            let twins = try await CopyTask.sharing(
                "copy_twins",
                sql: Self.tables
                    + "CREATE SCHEMA other; CREATE TABLE other.t (id text PRIMARY KEY);"
            )
            let entry = "{ table: other.t, target: copies.second }"
            let both = try twins.with(target: ["schema: copies"], tables: ["public.t", entry])
            try await both.runUntilNow()
            try await twins.source("UPDATE t SET n = 0; INSERT INTO other.t VALUES ('x')")
            try await both.runUntilNow()
            let names = [
                TablePair("public", "t", target: ("copies", "t")),
                TablePair("other", "t", target: ("copies", "second")),
            ]
            #expect(try await both.differences(of: names) == [])
            try await twins.end()
        }

        @Test(.timeLimit(.minutes(2)))
        func `the target's triggers and foreign keys do not act on what is copied`() async throws {
            let task = try await CopyTask.sharing(
                "copy_triggers",
                sql: Self.tables,
                targetSQL: """
                    CREATE TABLE t (id int PRIMARY KEY, n int, s text);
                    CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE);
                    CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
                        $$ BEGIN NEW.s := 'meddled'; RETURN NEW; END $$;
                    CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON t
                        FOR EACH ROW EXECUTE FUNCTION meddle();
                    """
            )
            try await task.runUntilNow()
            try await task.source(
                """
                BEGIN; SET CONSTRAINTS ALL DEFERRED;
                INSERT INTO t VALUES (300, 3, 'new'); INSERT INTO u VALUES (300, 300);
                UPDATE t SET n = -n; DELETE FROM u WHERE id < 5; DELETE FROM t WHERE id < 5; COMMIT;
                """
            )
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }
    }
}
