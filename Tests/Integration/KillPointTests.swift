// SPDX-License-Identifier: Apache-2.0
//
// The daemon dies at each named place on the way to durability: within its snapshot, under load,
// between the steps of a rotation, and within a transaction that fills several files. What a
// random kill hits once in a thousand times is hit here each time.
import Foundation
import Glibc
import Sink
import Support
import Testing

extension Acceptance {
    @Suite(.serialized, .enabled(if: TestKnob.hasFailpoints, "a release build has no failpoints"))
    struct KillPointTests {
        private static let keys = ["public.t": ["id"], "public.u": ["id"]]

        /// Two tables with rows, and a load that adds, changes and takes away.
        private static func source() async throws -> PostgresCluster {
            let cluster = try await PostgresCluster.start()
            try cluster.psql(
                """
                CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, s text);
                CREATE TABLE u (id int PRIMARY KEY, n int NOT NULL, s text);
                INSERT INTO t SELECT i, 0, repeat('x', 20) FROM generate_series(1, 3000) i;
                INSERT INTO u SELECT i, 0, NULL FROM generate_series(1, 500) i;
                """
            )
            return cluster
        }

        /// Whole transactions, some larger than a file of 64 KiB.
        private static func change(_ cluster: PostgresCluster, round: Int) throws {
            let first = 10_000 + round * 1_000
            try cluster.psql(
                """
                BEGIN;
                INSERT INTO t SELECT i, \(round), 'new' FROM generate_series(\(first), \(first) + 399) i;
                UPDATE u SET n = n + 1 WHERE id <= 100;
                COMMIT;
                UPDATE t SET n = n + 1 WHERE id % 50 = \(round % 50);
                DELETE FROM t WHERE id BETWEEN \(first) AND \(first) + 9;
                UPDATE u SET id = id + 100000 WHERE id = \(round + 200);
                """
            )
        }

        /// All that files come to; chunks of lanes are another sink's, and tables that come into a
        /// running task have tests of their own (AdditionTests).
        private static let points = Failpoint.allCases.filter {
            !$0.rawValue.hasPrefix("sink.chunk_") && !$0.rawValue.hasPrefix("addition.")
        }

        @Test(.timeLimit(.minutes(5)), arguments: points)
        func `death at a durability edge loses and doubles nothing`(
            point: Failpoint
        ) async throws {
            let cluster = try await Self.source()
            let task = try RelayTask(cluster, rotate: "64KiB")
            // The first ones are in the snapshot, as far as it comes to the point there.
            var round = 0
            for hit in [1, 2, 4, 1, 1, 2, 3, 7] {
                try await die(at: point, hit, task) {
                    round += 1
                    try Self.change(cluster, round: round)
                }
            }
            try Self.change(cluster, round: round + 1)
            try await task.runUntilNow()
            #expect(try await task.differences(Self.keys) == [])
            #expect(try task.events.fileNames().count > 3)
            try await task.waitUntilNothingIsLeft()
            #expect(try task.slot("confirmed_flush_lsn") == task.checkpoint("position"))
        }

        /// Runs until the point has been hit so often; `load` is called meanwhile, again and again.
        private func die(
            at point: Failpoint,
            _ hit: Int,
            _ task: RelayTask,
            load: () throws -> Void
        ) async throws {
            let daemon = try task.start(failpoint: "\(point.rawValue):\(hit)")
            try await eventually("\(point.rawValue):\(hit) was hit", timeout: .seconds(60)) {
                if daemon.status != nil { return true }
                try load()
                return false
            } giveUp: {
                // What the load says is a fault of the test and not "not yet".
                $0 is SupportError
            }
            let status = try await daemon.wait()
            guard status == .signal(SIGKILL) else {
                throw SupportError("\(status) at \(point.rawValue):\(hit)\n\(daemon.stderr)")
            }
        }

        @Test
        func `a mistyped failpoint is refused`() async throws {
            let cluster = try await Self.source()
            let task = try RelayTask(cluster)
            let daemon = try task.start(failpoint: "sink.no_such_place")
            #expect(try await daemon.wait() == .code(64))
        }
    }
}
