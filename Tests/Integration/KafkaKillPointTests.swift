// SPDX-License-Identifier: Apache-2.0
//
// The daemon dies at each named place between the source's change and Kafka's commit, under load
// and within its snapshot. What a random kill hits once in a thousand times is hit here each time.
import Foundation
import Sink
import Support
import Testing

@Suite(
    .serialized,
    .enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)),
    .enabled(if: TestKnob.hasFailpoints, "a release build has no failpoints")
)
struct KafkaKillPointTests {
    private static let keys = ["public.t": ["id"], "public.u": ["id"], "public.bag": []]

    /// The places that a sink has which writes as the settings say.
    struct Case: Sendable, CustomTestStringConvertible {
        let point: Failpoint
        let isTransactional: Bool

        var testDescription: String {
            "\(point.rawValue), \(isTransactional ? "transactional" : "plain")"
        }

        static let all =
            [
                Failpoint.beforeWrite, .afterWriteBeforeSync, .afterSyncBeforeCheckpoint,
                .checkpointWrittenBeforeRename, .afterCheckpointBeforeFeedback,
            ].map { Case(point: $0, isTransactional: true) }
            + [
                Failpoint.afterWriteBeforeSync, .afterSyncBeforeCheckpoint,
                .afterCheckpointBeforeFeedback,
            ].map { Case(point: $0, isTransactional: false) }
    }

    private static func change(_ task: KafkaTask, round: Int) async throws {
        let first = 10_000 + round * 1_000
        try await task.sql(
            """
            BEGIN;
            INSERT INTO t SELECT i, \(round), 'new' FROM generate_series(\(first), \(first) + 99) i;
            UPDATE u SET n = n + 1 WHERE id <= 30;
            COMMIT;
            UPDATE t SET n = n + 1 WHERE id % 50 = \(round % 50);
            DELETE FROM t WHERE id BETWEEN \(first) AND \(first) + 9;
            UPDATE u SET id = id + 100000 WHERE id = \(round + 200);
            INSERT INTO bag VALUES (\(round)), (\(round));
            DELETE FROM bag WHERE a = \(round - 2);
            """
        )
    }

    /// Runs until the point has been hit so often, under a load.
    private static func die(
        at point: Failpoint,
        _ hit: Int,
        _ task: KafkaTask,
        _ round: inout Int
    ) async throws {
        let failpoint = "\(point.rawValue):\(hit)"
        // A moment before, so that librdkafka has sent what will be cut off; what has to leave
        // traces, waits for longer than a busy machine may keep its threads.
        let moment = point == .checkpointWrittenBeforeRename ? "500ms" : "40ms"
        let pause = "\(point.rawValue)=\(moment)"
        let daemon = try task.start(failpoint: failpoint, pause: pause)
        try await eventually("\(failpoint) was hit", timeout: .seconds(60)) {
            if daemon.status != nil { return true }
            round += 1
            try await change(task, round: round)
            return false
        } giveUp: {
            // What the load says is a fault of the test and not "not yet".
            $0 is SupportError
        }
        let status = try await daemon.wait()
        guard status == .signal(SIGKILL) else {
            throw SupportError("\(status) at \(failpoint)\n\(daemon.stderr)")
        }
    }

    /// What was cut off must have been there, or the deaths came at no edge.
    private static func expectTraces(of example: Case, in task: KafkaTask) async throws {
        switch example.point {
        case .afterSyncBeforeCheckpoint where !example.isTransactional:
            #expect(try await task.history(keys, dropsRepeats: true).repeats > 0)
        case .checkpointWrittenBeforeRename where example.isTransactional:
            let all = try await task.records("public.t", isolation: .uncommitted).count
            #expect(try await task.records("public.t").count < all)
        default: break
        }
    }

    @Test(.timeLimit(.minutes(5)), arguments: Case.all)
    func `death at an edge loses and doubles nothing`(_ example: Case) async throws {
        let name = "edge_\(example.point.rawValue.filter(\.isLetter).lowercased())"
        let task = try await KafkaTask.sharing(
            name + (example.isTransactional ? "" : "_plain"),
            sql: """
                CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, s text);
                CREATE TABLE u (id int PRIMARY KEY, n int NOT NULL);
                CREATE TABLE bag (a int);
                ALTER TABLE bag REPLICA IDENTITY FULL;
                INSERT INTO t SELECT i, 0, repeat('x', 20) FROM generate_series(1, 1000) i;
                INSERT INTO u SELECT i, 0 FROM generate_series(1, 300) i;
                INSERT INTO bag SELECT i % 3 FROM generate_series(1, 9) i;
                """,
            kafka: ["partitions: 3", "transactional: \(example.isTransactional)"],
            more: "batch: { rows: 400 }"
        )
        var round = 0
        // In the snapshot, as far as it comes to the point there.
        for hit in example.isTransactional ? [1, 2] : [2] {
            try await Self.die(at: example.point, hit, task, &round)
        }
        try await task.runUntilNow()
        for hit in [1, 3] { try await Self.die(at: example.point, hit, task, &round) }
        try await Self.change(task, round: round + 1)
        try await task.runUntilNow()
        let found = try await task.differences(
            Self.keys,
            isInterrupted: true,
            dropsRepeats: !example.isTransactional
        )
        #expect(found == [])
        try await Self.expectTraces(of: example, in: task)
        let position = try await task.checkpoint()?["position"] as? String
        #expect(try task.relay.slot("confirmed_flush_lsn") == position)
        try await task.end()
    }
}
