// SPDX-License-Identifier: Apache-2.0
//
// Eight readers of one table are one reader: while other clients move amounts between rows, and
// rows from one key to another, the copy is what the table was at one moment. No row is missing,
// none stands twice, under any kind of key.
//
// WALRELAY_LONG_TESTS=1 takes 20 copies of each kind of a larger table, as for an acceptance.
import Foundation
import Support
import Testing

extension Acceptance {
    @Suite(.serialized)
    struct BatchConsistencyTests {
        /// A type of key, and a key of it that is made of a number and hash.
        struct Key: Sendable, CustomTestStringConvertible {
            let name: String
            /// The column's type, with its collation.
            let type: String
            /// An expression over `g`, a number from 1 on.
            let value: String

            var testDescription: String { name }

            /// Letters that collations treat unlike bytes: case, accents, hyphens, blanks.
            private static let mixed = """
                (ARRAY['a','A','ä','Z','z','-','_',' ','é','E','ß','ss','中','0','9'])[1 + g % 15]
                || substr(md5(g::text), 1, 6) || CASE g % 3 WHEN 0 THEN '-x' ELSE '' END
                """

            static let all = [
                Key(name: "integer", type: "bigint", value: "g::bigint * g * g - 1000000"),
                Key(name: "small integer", type: "smallint", value: "(g % 100)::smallint"),
                Key(name: "uuid", type: "uuid", value: "md5(g::text)::uuid"),
                Key(name: "text, ICU", type: #"text COLLATE "und-x-icu""#, value: mixed),
                Key(name: "text, insensitive", type: "text COLLATE blind", value: mixed),
                Key(name: "text, bytes", type: #"text COLLATE "C""#, value: mixed),
                Key(
                    name: "timestamp",
                    type: "timestamp",
                    value: "timestamp '2026-01-01' + interval '1 day' * (g % 40)"
                        + " + interval '1 ms' * (g % 2) * g"
                ),
                Key(name: "numeric", type: "numeric", value: "(g % 1000) / 7.0"),
            ]
        }

        private static let tables = """
            CREATE COLLATION blind
                (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
            CREATE FUNCTION key(g bigint) RETURNS PLAIN LANGUAGE sql AS $$ SELECT VALUE $$;
            CREATE TABLE t (k KEYTYPE, n int, amount int);
            INSERT INTO t SELECT CASE WHEN g % 100 > 0 THEN key(g) END, g, 100
                FROM generate_series(1, ROWS) g;
            CREATE INDEX ON t (k); CREATE UNIQUE INDEX ON t (n); ANALYZE t
            """

        @Test(.timeLimit(.minutes(10)), arguments: Key.all)
        func `eight readers see one moment`(key: Key) async throws {
            let (copies, rows) = TestKnob.isLong ? (20, 100_000) : (3, 20_000)
            let plain = key.type.prefix { $0 != " " }
            let sql = Self.tables.replacing("KEYTYPE", with: key.type).replacing(
                "PLAIN",
                with: plain
            )
            .replacing("VALUE", with: key.value).replacing("ROWS", with: "\(rows)")
            let task = try await BatchTask(
                "consistent",
                sql: sql,
                targetSQL: "CREATE TABLE t (k text, n int, amount int)"
            )
            let clients = (0..<2).map { Self.mover(task, rows: rows, offset: $0) }
            var job = BatchTask.Document()
            // With a condition a scattered key is not left for the table's pages.
            job.reader = """
                "datasource": "source", "table": "t", "column": ["*"], "splitPk": "k",
                "where": "n > 0"
                """
            job.writer = """
                "datasource": "target", "table": "t", "column": ["*"], "writeMode": "copy",
                "preSql": ["TRUNCATE t"]
                """
            job.setting = #""speed": { "concurrent": 8 }, "errorLimit": { "record": 0 }"#
            var states: Set<String> = []
            for copy in 1...copies {
                let before = clients.map(\.count).reduce(0, +)
                let end = try await task.runWell(job)
                let written = clients.map(\.count).reduce(0, +) - before
                #expect(written > 0, "nobody wrote while copy \(copy) was taken")
                let sums = try await task.target(
                    "SELECT count(*), count(DISTINCT n), sum(amount) FROM t"
                )
                #expect(sums == "\(rows)|\(rows)|\(rows * 100)", "copy \(copy)\n\(end.text)")
                states.insert(
                    try await task.target("SELECT sum(amount::bigint * n) FROM t")
                )
            }
            for client in clients {
                client.stop()
                try await client.wait(.seconds(90))
                #expect(client.errors == [:])
            }
            #expect(states.count == copies, "the table did not change between the copies")
            try await task.end()
        }

        /// A client that moves an amount from a row to another, and rows to other keys, each in
        /// a transaction that leaves the sum and the number of rows as they are.
        ///
        /// Clients have rows of their own: who waits for another's row may find it gone.
        private static func mover(_ task: BatchTask, rows: Int, offset: Int) -> WritingClient {
            WritingClient(task.source, database: task.database, seconds: 600, perSecond: 400) {
                let from = $0 &* 7_919 % (rows / 2) + offset * (rows / 2) + 1
                let to = ($0 &* 104_729 + 5) % (rows / 2) + offset * (rows / 2) + 1
                let key = $0 % 50 == 0 ? "NULL" : "key(\($0 &* 15_485_863 % rows + 1))"
                guard from != to else { return "SELECT 1;" }
                return """
                    UPDATE t SET amount = amount + CASE n WHEN \(to) THEN 7 ELSE -7 END
                        WHERE n IN (\(from), \(to));
                    UPDATE t SET k = \(key) WHERE n = \(from);
                    WITH gone AS (DELETE FROM t WHERE n = \(to) RETURNING n, amount)
                        INSERT INTO t SELECT key(\($0 % rows + 1)), n, amount FROM gone;
                    """
            }
        }
    }
}
