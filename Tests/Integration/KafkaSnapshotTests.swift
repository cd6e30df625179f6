// SPDX-License-Identifier: Apache-2.0
//
// A snapshot that is interrupted after consumers have seen some of its rows. The next one does not
// simply begin anew: what went in between is told first, or it would stay with them for ever.
import Glibc
import Support
import Testing

@Suite(
    .serialized,
    .enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)),
    .enabled(if: TestKnob.hasFailpoints, "a snapshot has to be slow on purpose")
)
struct KafkaSnapshotTests {
    private static let keys = ["public.t": ["id"], "public.u": ["id"], "public.bag": []]

    private static let changes = """
        DELETE FROM t WHERE id % 2 = 0;
        UPDATE t SET n = n + 1 WHERE id % 3 = 0;
        UPDATE t SET id = -id WHERE id % 5 = 0;
        INSERT INTO t SELECT i, 7 FROM generate_series(10000, 10100) i;
        DELETE FROM bag WHERE a = 1;
        INSERT INTO bag SELECT 4 FROM generate_series(1, 5);
        UPDATE u SET n = 5;
        """

    /// A task whose daemon was killed when some of its rows, not all, could be seen.
    private static func interrupted(
        _ name: String,
        isTransactional: Bool
    ) async throws -> KafkaTask {
        // A third of this is how long a Kafka transaction stays open.
        let age = "properties: { transaction.timeout.ms: 1500 }"
        let task = try await KafkaTask.sharing(
            name,
            sql: """
                CREATE TABLE bag (a int);
                ALTER TABLE bag REPLICA IDENTITY FULL;
                CREATE TABLE t (id int PRIMARY KEY, n int);
                CREATE TABLE u (id int PRIMARY KEY, n int);
                INSERT INTO bag SELECT i % 3 FROM generate_series(1, 30) i;
                INSERT INTO t SELECT i, 0 FROM generate_series(1, 3000) i;
                INSERT INTO u SELECT i, 0 FROM generate_series(1, 300) i;
                """,
            kafka: ["partitions: 2"] + (isTransactional ? [age] : ["transactional: false"]),
            more: "batch: { rows: 60 }"
        )
        try await interrupt(task, after: 0)
        return task
    }

    /// Kills a daemon within its snapshot, once more rows than `count` can be seen.
    private static func interrupt(_ task: KafkaTask, after count: Int) async throws {
        let daemon = try task.start(pause: "sink.before_write=300ms")
        try await daemon.until(.seconds(60), "rows that a consumer sees") {
            try await task.records("public.t").count { $0.headers.isEmpty } > count
        }
        daemon.kill(SIGKILL)
        try await daemon.wait()
        #expect(try await task.checkpoint()?["snapshot"] as? String == "running")
    }

    @Test(.timeLimit(.minutes(3)), arguments: [true, false])
    func `what went while nobody looked is told before the rows come again`(
        isTransactional: Bool
    ) async throws {
        let task = try await Self.interrupted(
            isTransactional ? "cut" : "cut_plain",
            isTransactional: isTransactional
        )
        try await task.sql(Self.changes)
        try await task.runUntilNow()
        let found = try await task.differences(
            Self.keys,
            isInterrupted: true,
            dropsRepeats: !isTransactional
        )
        #expect(found == [])
        // A row that was seen and has gone must have its delete.
        let events = try await task.records("public.t").filter { $0.value != nil }
            .map { try $0.event() }
        let first = events.filter { $0.op == "r" }.compactMap(\.commitLSN).min()
        let seen = Set(
            events.filter { $0.op == "r" && $0.commitLSN == first }
                .compactMap { $0.after?["id"]?.text }
        )
        let gone = Set(events.filter { $0.op == "d" }.compactMap { $0.before?["id"]?.text })
        let even = seen.filter { (Int($0) ?? 1) % 2 == 0 }
        #expect(!even.isEmpty)
        #expect(even.subtracting(gone) == [])
        // And it goes on as ever.
        try await task.sql("INSERT INTO t VALUES (20000, 1); DELETE FROM t WHERE id = 10001")
        try await task.runUntilNow()
        #expect(
            try await task.differences(
                Self.keys,
                isInterrupted: true,
                dropsRepeats: !isTransactional
            ) == []
        )
        try await task.end()
    }

    @Test(.timeLimit(.minutes(2)))
    func `a slot that went meanwhile is an error and no second beginning`() async throws {
        let task = try await Self.interrupted("cut_slotless", isTransactional: false)
        try await eventually("the slot is free") {
            try await task.sql("SELECT pg_drop_replication_slot('di_slot_cut_slotless')")
            return true
        }
        let outcome = try await task.run("run", ["--until", "now"])
        #expect(outcome.status == .code(74), "\(outcome.stderr)")
        #expect(outcome.stderr.contains("di_slot_cut_slotless"), "\(outcome.stderr)")
        // The way on that an operator has.
        let teardown = try await task.run("teardown", ["--yes"])
        #expect(teardown.status == .code(0), "\(teardown.stderr)")
        try await task.runUntilNow()
        let found = try await task.differences(
            Self.keys,
            isInterrupted: true,
            dropsRepeats: true
        )
        #expect(found == [])
        try await task.end()
    }
}
