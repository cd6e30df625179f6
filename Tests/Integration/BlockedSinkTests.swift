// SPDX-License-Identifier: Apache-2.0
//
// A sink that takes nothing for longer than the server's patience: the server is told that we
// live, memory stays bounded, the operator reads why, and it goes on where it stood.
import Foundation
import Glibc
import Support
import Testing

@Suite(.serialized)
struct BlockedSinkTests {
    private static let keys = ["public.t": ["id"]]
    private static let timeout = "terminating walsender process due to replication timeout"

    private static func source(
        _ settings: [String: String] = ["wal_sender_timeout": "2s"]
    ) async throws -> PostgresCluster {
        let cluster = try await PostgresCluster.start(settings: settings)
        try cluster.psql("CREATE TABLE t (id int PRIMARY KEY, s text)")
        return cluster
    }

    /// More than what the sockets and the daemon's own buffers hold.
    private static func write(_ cluster: PostgresCluster, from first: Int) throws {
        try cluster.psql(
            """
            INSERT INTO t SELECT i, repeat(md5(i::text), 10)
            FROM generate_series(\(first), \(first) + 29999) i
            """
        )
    }

    @Test(
        .enabled(if: TestKnob.hasFailpoints, "a release build has no failpoints"),
        .timeLimit(.minutes(3))
    )
    func `keepalives are answered while the sink stands still`() async throws {
        let cluster = try await Self.source(SourcePatience.short)
        let task = try RelayTask(cluster)
        try await task.runUntilNow()
        // Longer than it is looked at.
        let daemon = try task.start(pause: "sink.before_write=120s")
        try await task.waitForPhase("streaming", of: daemon)
        let walsender = try task.makeSourcePatient()
        try Self.write(cluster, from: 1)
        try await task.waitForReplies(to: walsender)
        #expect(try await task.status()["phase"] as? String == "streaming")
        #expect(try task.slot("active_pid") == walsender)
        #expect(MemoryBound.holds(daemon.peakResidentBytes, "a sink that stands still"))
        daemon.kill(SIGKILL)
        try await daemon.wait()
        #expect(!cluster.log(lastBytes: .max).contains(Self.timeout))
        try await task.runUntilNow()
        #expect(try await task.differences(Self.keys) == [])
    }

    @Test(.enabled(if: Tmpfs.isPossible, "only root can mount a small file system"))
    func `a full disk is waited for and writing goes on`() async throws {
        let cluster = try await Self.source(SourcePatience.short)
        let disk = try Tmpfs(mebibytes: 4)
        let task = try RelayTask(cluster, rotate: "1MiB", sinkDirectory: "\(disk.path)/events")
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        let walsender = try task.makeSourcePatient()
        try Self.write(cluster, from: 1)
        try await daemon.until(.seconds(30), "the error on /status") {
            let error = try await task.status()["lastError"] as? [String: Any]
            return error?["code"] as? String == "sink.disk_full"
        }
        try await daemon.waitForLog("No room for")
        #expect(daemon.stderr.contains("df -h"))
        try await task.waitForReplies(to: walsender)
        #expect(try task.slot("active_pid") == walsender)
        #expect(daemon.status == nil)
        try disk.resize(mebibytes: 200)
        try await daemon.until(.seconds(60), "all changes durable") {
            try await task.status("stream", "changes") == "30000"
        }
        #expect(try await daemon.stop() == .code(0))
        #expect(MemoryBound.holds(daemon.peakResidentBytes, "a full disk"))
        #expect(!cluster.log(lastBytes: .max).contains(Self.timeout))
        #expect(try await task.differences(Self.keys) == [])
    }

    @Test(.enabled(if: Tmpfs.isPossible, "only root can mount a small file system"))
    func `a disk that is full in the snapshot is waited for as well`() async throws {
        let cluster = try await Self.source()
        try Self.write(cluster, from: 1)
        let disk = try Tmpfs(mebibytes: 4)
        let task = try RelayTask(cluster, rotate: "1MiB", sinkDirectory: "\(disk.path)/events")
        let daemon = try task.start()
        try await daemon.waitForLog("No room for")
        try await Task.sleep(for: .seconds(3))
        try disk.resize(mebibytes: 200)
        try await task.waitForPhase("streaming", of: daemon)
        #expect(try await daemon.stop() == .code(0))
        #expect(try await task.differences(Self.keys) == [])
        try await task.waitUntilNothingIsLeft()
    }

    @Test(.enabled(if: Tmpfs.isPossible, "only root can mount a small file system"))
    func `a stop does not wait for room on the disk`() async throws {
        let cluster = try await Self.source()
        let disk = try Tmpfs(mebibytes: 4)
        let task = try RelayTask(cluster, rotate: "1MiB", sinkDirectory: "\(disk.path)/events")
        let daemon = try task.start()
        try await task.waitForPhase("streaming", of: daemon)
        try Self.write(cluster, from: 1)
        try await daemon.waitForLog("No room for")
        #expect(try await daemon.stop(.seconds(20)) == .code(0))
        try disk.resize(mebibytes: 200)
        try await task.runUntilNow()
        #expect(try await task.differences(Self.keys) == [])
    }
}

/// How long a source waits for an answer (wal_sender_timeout).
enum SourcePatience {
    /// While a daemon begins to stream, which asks for it to know how often it has to answer.
    static let short = ["wal_sender_timeout": "5s"]
    /// From then on: a machine that stands still for a moment is not a daemon that does.
    static let long = ["wal_sender_timeout": "2min"]
}

extension RelayTask {
    /// Makes the source patient with the daemon that streams, and gives its walsender.
    func makeSourcePatient() throws -> String {
        try cluster.reload(settings: SourcePatience.long)
        return try slot("active_pid")
    }

    /// Waits until this walsender has heard of the daemon five times with nothing durable between.
    ///
    /// For the short patience that takes 6 s; for one that the daemon does not know, 40 s or more.
    func waitForReplies(to walsender: String) async throws {
        var flushed = ""
        var replies: Set<String> = []
        try await eventually("answers of a daemon whose sink stands still") {
            let row = try cluster.psql(
                "SELECT flush_lsn, reply_time FROM pg_stat_replication WHERE pid = \(walsender)"
            ).split(separator: "|")
            guard row.count == 2 else { throw SupportError("no walsender \(walsender)") }
            if row[0] != flushed { (flushed, replies) = (String(row[0]), []) }
            replies.insert(String(row[1]))
            return replies.count > 5
        }
    }
}

/// A small file system that is unmounted with the last reference.
final class Tmpfs: Sendable {
    /// Where it is mounted.
    let path: String
    private let directory: TemporaryDirectory

    /// Whether this process may mount one.
    static let isPossible: Bool = {
        guard geteuid() == 0, let probe = try? Tmpfs(mebibytes: 1) else { return false }
        return access(probe.path, W_OK) == 0
    }()

    init(mebibytes: Int) throws {
        directory = try TemporaryDirectory()
        path = directory.file("disk")
        mkdir(path, 0o755)
        try Self.mount(["-t", "tmpfs", "-o", "size=\(mebibytes)m", "walrelay-test", path])
    }

    func resize(mebibytes: Int) throws {
        try Self.mount(["-o", "remount,size=\(mebibytes)m", path])
    }

    deinit {
        _ = try? runProcess("/bin/umount", ["-l", path])
    }

    private static func mount(_ arguments: [String]) throws {
        let output = try runProcess("/bin/mount", arguments)
        guard output.status == .code(0) else { throw SupportError(output.stderr) }
    }
}
