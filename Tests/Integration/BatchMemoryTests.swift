// SPDX-License-Identifier: Apache-2.0
//
// Memory stays where it is, however many rows there are and however large they are, for every
// way to read and to write.
//
// WALRELAY_LONG_TESTS=1 moves 10,000,000 rows, as for an acceptance; otherwise a twentieth.
import Support
import Testing

extension Acceptance {
    @Suite(.serialized)
    struct BatchMemoryTests {
        /// How rows are read and written.
        struct Way: Sendable, CustomTestStringConvertible {
            let name: String
            /// What is added to the reader's and the writer's parameters.
            var reader = ""
            var writer = ""
            var isPrinted = false

            /// With a key, and behind a cursor, a value is in memory once or twice more.
            var largeRowBytes: Int {
                ["upsert", "cursor"].contains(name) ? 96 << 20 : MemoryBound.bytes
            }

            var testDescription: String { name }

            static let all = [
                Way(name: "copy", writer: #", "writeMode": "copy""#),
                Way(name: "insert"),
                Way(
                    name: "upsert",
                    writer: #", "writeMode": "upsert", "uniqueKey": ["id"]"#
                ),
                Way(name: "cursor", reader: #", "fetchSize": 10000000"#),
                Way(
                    name: "large batches",
                    writer: #", "batchSize": 1000000"#
                ),
                Way(name: "print", isPrinted: true),
            ]

            func document(concurrent: Int, splitKey: Bool) -> BatchTask.Document {
                var job = BatchTask.Document()
                job.reader += reader + (splitKey ? #", "splitPk": "id""# : "")
                job.writer += writer + #", "preSql": "TRUNCATE t""#
                if isPrinted {
                    job.writerType = "stream"
                    job.writer = #""print": true"#
                }
                job.setting = """
                    "errorLimit": { "record": 0 }, "speed": { "concurrent": \(concurrent) }
                    """
                return job
            }
        }

        @Test(.timeLimit(.minutes(30)))
        func `ten million rows`() async throws {
            let rows = TestKnob.isLong ? 10_000_000 : 500_000
            let task = try await BatchTask(
                "many_rows",
                sql: """
                    CREATE TABLE t (id bigint, a int, note text);
                    INSERT INTO t SELECT g, g % 1000, 'a note of fifty characters ' || g
                        FROM generate_series(1, \(rows)) g;
                    ALTER TABLE t ADD PRIMARY KEY (id); ANALYZE t
                    """,
                targetSQL: "CREATE TABLE t (id bigint PRIMARY KEY, a int, note text)"
            )
            for way in Way.all {
                let job = way.document(concurrent: 4, splitKey: true)
                let end = try await task.runWell(job, limit: .seconds(900))
                let what = "\(rows) rows, \(way.name)"
                #expect(MemoryBound.holds(end.peakResidentBytes, what))
                guard !way.isPrinted else { continue }
                let copied = "SELECT count(*), sum(id), sum(hashtext(note)::bigint) FROM t"
                #expect(try await task.target(copied) == task.source(copied), "\(way.name)")
            }
            try await task.end()
        }

        @Test(.timeLimit(.minutes(10)))
        func `rows of 10 MB`() async throws {
            let task = try await BatchTask(
                "large_rows",
                sql: """
                    CREATE TABLE t (id int PRIMARY KEY, body text);
                    ALTER TABLE t ALTER body SET STORAGE external;
                    INSERT INTO t SELECT g, repeat(md5(g::text), 327680)
                        FROM generate_series(1, 12) g
                    """,
                targetSQL: """
                    CREATE TABLE t (id int PRIMARY KEY, body text);
                    ALTER TABLE t ALTER body SET STORAGE external
                    """
            )
            for way in Way.all {
                let job = way.document(concurrent: 1, splitKey: false)
                let end = try await task.runWell(job, limit: .seconds(300))
                let what = "rows of 10 MB, \(way.name)"
                #expect(
                    MemoryBound.holds(end.peakResidentBytes, what, bytes: way.largeRowBytes)
                )
                guard !way.isPrinted else { continue }
                let copied = "SELECT count(*), string_agg(md5(body), ',' ORDER BY id) FROM t"
                #expect(try await task.target(copied) == task.source(copied), "\(way.name)")
            }
            try await task.end()
        }
    }
}
