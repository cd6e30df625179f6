// SPDX-License-Identifier: Apache-2.0
//
// The daemon dies at each named place on the way into another PostgreSQL: with statements sent and
// not committed, with a commit that the source does not know of, within a transaction that fills
// several batches. Whatever was committed there stands once.
import Foundation
import Sink
import Support
import Testing

extension Acceptance {
    @Suite(.serialized, .enabled(if: TestKnob.hasFailpoints, "a release build has no failpoints"))
    struct CopyKillPointTests {
        private static let points: [Failpoint] = [
            .beforeWrite, .afterWriteBeforeSync, .afterSyncBeforeCheckpoint,
            .afterCheckpointBeforeFeedback,
        ]

        private static let tables = """
            CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, s text);
            CREATE TABLE bag (n int, s text);
            ALTER TABLE bag REPLICA IDENTITY FULL;
            INSERT INTO t SELECT i, 0, repeat('x', 20) FROM generate_series(1, 2000) i;
            INSERT INTO bag SELECT i % 5, 'b' FROM generate_series(1, 100) i;
            """

        /// Whole transactions, one larger than several batches; a row that is applied twice shows.
        private static func change(_ round: Int) -> String {
            let first = 10_000 + round * 1_000
            return """
                BEGIN;
                INSERT INTO t SELECT i, \(round), 'new' FROM generate_series(\(first), \(first) + 399) i;
                INSERT INTO bag SELECT \(round % 5), 'b' FROM generate_series(1, 3);
                COMMIT;
                UPDATE t SET n = n + 1 WHERE id % 50 = \(round % 50);
                DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE n = \(round % 5) LIMIT 1);
                DELETE FROM t WHERE id BETWEEN \(first) AND \(first) + 9;
                UPDATE t SET id = id + 100000 WHERE id = \(round + 200);
                """
        }

        @Test(.timeLimit(.minutes(5)), arguments: points)
        func `death on the way into the target loses and doubles nothing`(
            point: Failpoint
        ) async throws {
            let name = "kill_" + (point.rawValue.split(separator: ".").last ?? "")
            let task = try await CopyTask.sharing(
                String(name.prefix(40)),
                sql: Self.tables,
                more: "batch: { rows: 100, delay: 5ms }"
            )
            var round = 0
            for hit in [1, 1, 2, 5, 9] {
                let daemon = try task.start(failpoint: "\(point.rawValue):\(hit)")
                try await eventually("\(point.rawValue):\(hit) was hit", timeout: .seconds(60)) {
                    if daemon.status != nil { return true }
                    round += 1
                    try await task.source(Self.change(round))
                    return false
                } giveUp: {
                    $0 is SupportError
                }
                let status = try await daemon.wait()
                #expect(status == .signal(SIGKILL), "\(hit): \(daemon.stderr.suffix(2_000))")
            }
            try await task.source(Self.change(round + 1))
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }
    }
}
