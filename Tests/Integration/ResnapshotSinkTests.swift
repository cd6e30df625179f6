// SPDX-License-Identifier: Apache-2.0
//
// `run --resnapshot` with each kind of sink, killed in the midst of it: what becomes of the data
// that is there, and that a plain run goes on with it.
import Foundation
import Glibc
import Sink
import Support
import Testing

@Suite(.enabled(if: TestKnob.hasFailpoints, "a release build has no failpoints"))
struct ResnapshotSinkTests {
    private static let changes = """
        DELETE FROM t WHERE id <= 10;
        UPDATE t SET n = 7 WHERE id % 3 = 0;
        INSERT INTO t SELECT i, 1 FROM generate_series(10000, 10009) i
        """
    private static let table = """
        CREATE TABLE t (id int PRIMARY KEY, n int);
        INSERT INTO t SELECT i, 0 FROM generate_series(1, 3000) i
        """

    /// Runs `--resnapshot` and expects that it is killed at a failpoint.
    private static func die(_ task: RelayTask, at failpoint: String) async throws {
        let daemon = try task.start(["--resnapshot"], failpoint: failpoint)
        let status = try await daemon.wait()
        #expect(status == .signal(SIGKILL), "\(status): \(daemon.stderr)")
        #expect(daemon.stderr.contains("taking a new snapshot"), "\(daemon.stderr)")
    }

    /// Expects that a plain run is refused with the command that mends it.
    private static func expectRefusal(
        _ task: RelayTask,
        _ code: String,
        at location: SourceLocation = #_sourceLocation
    ) async throws {
        let daemon = try task.start(["--until", "now"])
        #expect(try await daemon.wait() == .code(74), sourceLocation: location)
        for text in ["[\(code)]", "walrelay run --config FILE --resnapshot", "public.t"] {
            #expect(daemon.stderr.contains(text), "\(daemon.stderr)", sourceLocation: location)
        }
    }

    // MARK: Files

    @Test(
        .timeLimit(.minutes(2)),
        arguments: [.v11, .v13, .v15].filter(\PostgresVersion.isAvailable)
    )
    func `files keep what they have, and all rows come behind it`(
        version: PostgresVersion
    ) async throws {
        let isLost = version >= .v13
        let cluster = try await PostgresCluster.start(
            version: version,
            settings: isLost ? ["max_slot_wal_keep_size": "1MB", "wal_keep_size": "0"] : [:]
        )
        try cluster.psql(Self.table)
        let task = try RelayTask(cluster, rotate: "64KiB")
        try await task.runUntilNow()
        let before = try task.events.events().count
        let sealed = try task.events.fileNames().filter { !$0.hasSuffix(".open") }
        let contents = try sealed.map { try Data(contentsOf: task.path(of: $0)) }
        if isLost {
            for _ in 0..<3 {
                try cluster.psql("CREATE TABLE w AS SELECT 1; DROP TABLE w; SELECT pg_switch_wal()")
            }
            try cluster.psql("CHECKPOINT")
        } else {
            try cluster.psql("SELECT pg_drop_replication_slot('di_slot_orders')")
        }
        try cluster.psql(Self.changes)
        try await Self.expectRefusal(task, isLost ? "slot.wal_lost" : "slot.missing")
        try await Self.die(task, at: "sink.before_write:3")
        #expect(try task.checkpoint("snapshot") == "running")
        try await Self.die(task, at: "sink.after_sync_before_checkpoint:2", asPlain: true)
        try await task.runUntilNow()
        let events = try task.events.events().dropFirst(before)
        let ids = events.compactMap { $0.after?["id"]?.text }
        #expect(Set(events.map(\.op)) == ["r"])
        #expect(ids.count == 3000 && Set(ids).count == 3000, "\(ids.count)")
        #expect(Set(ids).isDisjoint(with: (1...10).map(String.init)))
        #expect(try sealed.map { try Data(contentsOf: task.path(of: $0)) } == contents)
        // Once more, where nothing is to be mended.
        let again = try task.start(["--resnapshot", "--until", "now"])
        #expect(try await again.wait() == .code(0))
        #expect(again.stderr.contains("nothing is lost, so no new snapshot is taken"))
        #expect(try task.events.events().count == before + 3000)
        try await task.waitUntilNothingIsLeft()
    }

    /// The same of a run without the option.
    private static func die(_ task: RelayTask, at failpoint: String, asPlain: Bool) async throws {
        let daemon = try task.start(failpoint: failpoint)
        #expect(try await daemon.wait() == .signal(SIGKILL), "\(daemon.stderr)")
    }

    // MARK: Tables of another PostgreSQL

    @Test(.timeLimit(.minutes(2)), arguments: ["refuse", "merge"])
    func `tables are emptied and copied again, or merged into`(ifNotEmpty: String) async throws {
        let isMerge = ifNotEmpty == "merge"
        let task = try await CopyTask.sharing(
            "anew_\(ifNotEmpty)",
            sql: """
                \(Self.table);
                CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t);
                """,
            target: ["ifNotEmpty: \(ifNotEmpty)"] + (isMerge ? [] : ["indexes: afterSnapshot"])
        )
        try await task.runUntilNow()
        #expect(try await task.differences() == [])
        try await task.source("SELECT pg_drop_replication_slot('\(task.relay.slot)')")
        try await task.source(Self.changes)
        try await Self.expectRefusal(task.relay, "slot.missing")
        try await Self.die(task.relay, at: "sink.after_sync_before_checkpoint:1")
        #expect(try await task.checkpoint("snapshot") == "running")
        try await task.source("UPDATE t SET n = 8 WHERE id = 11")
        try await task.runUntilNow()
        if isMerge {
            // What was deleted in the gap stays, as the settings say, and `verify` finds it.
            #expect(try await task.target("SELECT count(*) FROM t WHERE id <= 10") == "10")
            #expect(try await task.verify() == .code(65))
            #expect(try await task.verify(["--repair"]) == .code(0))
        }
        #expect(try await task.differences() == [])
        try await task.source("INSERT INTO u VALUES (1, 11); DELETE FROM t WHERE id = 12")
        try await task.runUntilNow()
        #expect(try await task.differences() == [])
        try await task.end()
    }

    // MARK: Topics

    @Test(
        .enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)),
        .timeLimit(.minutes(2))
    )
    func `topics get all rows again, and what was deleted in the gap stays`() async throws {
        let task = try await KafkaTask.sharing(
            "anew",
            sql: Self.table,
            kafka: ["properties: { transaction.timeout.ms: 1500 }"],
            more: "batch: { rows: 60 }"
        )
        try await task.runUntilNow()
        try await task.sql("SELECT pg_drop_replication_slot('di_slot_anew')")
        try await task.sql(Self.changes)
        try await Self.expectRefusal(task.relay, "slot.missing")
        let daemon = try task.relay.start(["--resnapshot"], pause: "sink.before_write=300ms")
        try await daemon.until(.seconds(60), "rows that a consumer sees again") {
            try await task.records("public.t").count { $0.headers.isEmpty } > 3000
        }
        daemon.kill(SIGKILL)
        try await daemon.wait()
        #expect(daemon.stderr.contains("deleted at the source meanwhile stay"))
        #expect(try await task.checkpoint()?["snapshot"] as? String == "running")
        try await task.sql("DELETE FROM t WHERE id = 20; UPDATE t SET n = 9 WHERE id = 21")
        try await task.runUntilNow()
        // The ten rows of the gap, and not the one that was deleted while the snapshot stood still.
        let found = try await task.differences(["public.t": ["id"]], isInterrupted: true)
        #expect(found == ["public.t: 3009 rows, not 2999"])
        try await task.end()
    }

    // MARK: Lines on a pipe

    @Test func `a pipe gets all rows again`() async throws {
        let cluster = try await PostgresCluster.start(
            settings: ["max_slot_wal_keep_size": "1MB", "wal_keep_size": "0"]
        )
        try cluster.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
        let task = try RelayTask(cluster, sink: "{ kind: stream }")
        try await task.runUntilNow()
        for _ in 0..<3 {
            try cluster.psql("CREATE TABLE w AS SELECT 1; DROP TABLE w; SELECT pg_switch_wal()")
        }
        try cluster.psql("CHECKPOINT")
        let plain = try task.start(["--until", "now"])
        #expect(try await plain.wait() == .code(74))
        #expect(plain.stderr.contains("[slot.wal_lost]") && plain.stderr.contains("--resnapshot"))
        let anew = try task.start(["--resnapshot", "--until", "now"])
        #expect(try await anew.wait() == .code(0), "\(anew.stderr)")
        #expect(anew.stdout.split(separator: "\n").count == 2)
        #expect(try task.slot("wal_status") == "reserved")
    }
}

extension RelayTask {
    /// Where a file of the ndjson sink lies.
    fileprivate func path(of name: String) -> URL {
        URL(filePath: sinkDirectory).appending(path: name)
    }
}
