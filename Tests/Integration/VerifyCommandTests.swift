// SPDX-License-Identifier: Apache-2.0
//
// `walrelay verify` as its operator runs it, beside a running task and without one.
import Foundation
import Glibc
import Support
import Testing

@Suite(.serialized) struct VerifyCommandTests {
    private static let sql = """
        CREATE TABLE a (id int PRIMARY KEY, v text);
        INSERT INTO a SELECT g, 'v' || g FROM generate_series(1, 5000) g;
        CREATE TABLE b (id int PRIMARY KEY);
        """

    private static let damage = """
        UPDATE a SET v = '' WHERE id = 7;
        DELETE FROM a WHERE id BETWEEN 100 AND 102;
        INSERT INTO a VALUES (-1, 'never')
        """

    /// Runs `verify` to its end.
    private func verify(_ task: CopyTask, _ options: [String] = []) async throws -> DaemonProcess {
        let process = try DaemonProcess(["verify", "--config", task.relay.settingsPath] + options)
        try await process.wait(.seconds(120))
        return process
    }

    @Test func `beside a running task it tells equal from different, and mends`() async throws {
        let task = try await CopyTask.sharing("verifying", sql: Self.sql)
        let daemon = try task.start()
        try await task.relay.waitForPhase("streaming", of: daemon)
        try await task.source("INSERT INTO b SELECT generate_series(1, 100)")
        let equal = try await verify(task)
        #expect(equal.status == .code(0), "\(equal.stderr)")
        #expect(equal.stdout.contains("public.a  5,000 rows"))
        #expect(equal.stdout.contains("2 tables equal: 5,100 rows at "))

        try await task.target(Self.damage)
        let found = try await verify(task)
        #expect(found.status == .code(65), "\(found.stderr)")
        #expect(found.stdout.contains("differs: 3 missing, 1 extra, 1 changed"))
        for line in ["id -1: 1 extra", "id 7: 1 changed", "id 100 to 102: 3 missing"] {
            #expect(found.stdout.contains("    \(line)\n"), "\(found.stdout)")
        }
        let other = try await verify(task, ["b"])
        #expect(other.status == .code(0) && !other.stdout.contains("public.a"))
        let json = try await verify(task, ["--json", "public.a"])
        #expect(json.status == .code(65))
        let report = try JSONSerialization.jsonObject(with: Data(json.stdout.utf8))
        #expect((report as? [String: Any])?["equal"] as? Bool == false)

        let mended = try await verify(task, ["--repair"])
        #expect(mended.status == .code(0), "\(mended.stderr)")
        #expect(mended.stdout.contains("mended: 3 inserted, 1 deleted, 1 replaced"))
        #expect(mended.stdout.contains("The task was held back for "))
        #expect(daemon.status == nil, "the task goes on")
        try await task.source("UPDATE a SET v = 'last' WHERE id = 5000")
        #expect(try await verify(task).status == .code(0))
        #expect(try await daemon.stop() == .code(0))
        #expect(try await task.differences() == [])
        try await task.end()
    }

    @Test func `without a running task it runs the task up to its own position`() async throws {
        let task = try await CopyTask.sharing("catchingup", sql: Self.sql)
        let before = try await verify(task)
        #expect(before.status == .code(74))
        #expect(before.stderr.contains("verify.no_checkpoint"))
        try await task.runUntilNow()
        try await task.source("DELETE FROM a WHERE id <= 10; INSERT INTO b VALUES (1)")
        let process = try await verify(task)
        #expect(process.status == .code(0), "\(process.stderr)")
        #expect(process.stderr.contains("nobody runs the task"))
        #expect(try await task.differences() == [])
        try await task.end()
    }

    @Test func `wrong usage, and a task whose sink is no server`() async throws {
        let task = try await CopyTask.sharing("misused", sql: Self.sql)
        try await task.runUntilNow()
        let unknown = try await verify(task, ["public.c"])
        #expect(unknown.status == .code(64) && unknown.stderr.contains("verify.no_such_table"))
        let malformed = try await verify(task, ["a.b.c"])
        #expect(malformed.status == .code(64) && malformed.stderr.contains("usage.table"))
        let files = try RelayTask(task.servers.source, name: "files", database: task.database)
        let other = try DaemonProcess(["verify", "--config", files.settingsPath])
        #expect(try await other.wait() == .code(64))
        #expect(other.stderr.contains("verify.no_target"))
        try await task.end()
    }

    @Test func `stopped while it waits it leaves nothing behind and is no success`() async throws {
        let task = try await CopyTask.sharing("stopped", sql: Self.sql)
        let daemon = try task.start()
        try await task.relay.waitForPhase("streaming", of: daemon)
        // The server is one that other tests use as well.
        let sleepers = """
            FROM pg_stat_activity
            WHERE wait_event = 'PgSleep' AND datname = current_database()
            """
        let temporarySlots = """
            FROM pg_replication_slots
            WHERE slot_name LIKE 'di_tmp_%' AND database = current_database()
            """
        // A transaction that holds the making of the temporary slot up.
        let writer = try task.servers.source.spawn(
            "psql",
            ["-d", task.database, "-c", "BEGIN; INSERT INTO b VALUES (1); SELECT pg_sleep(60)"]
        )
        try await eventually("the open transaction") {
            try await task.source("SELECT count(*) \(sleepers)") != "0"
        }
        let process = try DaemonProcess(["verify", "--config", task.relay.settingsPath])
        try await eventually("the temporary slot") {
            try await task.source("SELECT count(*) \(temporarySlots)") == "1"
        }
        process.kill(SIGINT)
        #expect(try await process.wait(.seconds(20)) == .code(75))
        #expect(process.stderr.contains("verify.stopped"))
        writer.signal(SIGTERM)
        try await task.source("SELECT pg_terminate_backend(pid) \(sleepers)")
        try await eventually("the temporary slot's end") {
            try await task.source("SELECT count(*) \(temporarySlots)") == "0"
        }
        try await daemon.stop()
        try await task.end()
    }
}
