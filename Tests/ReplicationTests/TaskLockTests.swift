// SPDX-License-Identifier: Apache-2.0
//
// The lock of a task on real servers: one has it, it goes with its session, and a holder that falls
// silent loses it on both sides, on its own first.

import ChangeModel
import Glibc
import LibPQ
import Support
import Testing

@testable import Replication

@Suite struct TaskLockTests {
    private func isOurs(_ lock: TaskLock) -> Bool {
        guard case .ours = lock.state else { return false }
        return true
    }

    private func holder(_ lock: TaskLock) -> TaskHolder? {
        guard case .held(let holder) = lock.state else { return nil }
        return holder
    }

    @Test(arguments: [PostgresVersion.v11, .v15, .v18].filter(\.isAvailable))
    func `one has it, the other sees who, and gets it when it is given back`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        var parameters = cluster.parameters()
        parameters.task = "orders"
        let first = TaskLock(task: "orders", parameters: parameters)
        try await eventually("the first has it") { isOurs(first) }
        let second = TaskLock(task: "orders", parameters: parameters)
        let third = TaskLock(task: "order", parameters: parameters)
        try await eventually("another task's lock is another") { isOurs(third) }
        try await eventually("the second sees who has it") { holder(second) != nil }
        let seen = try #require(holder(second))
        #expect(seen.applicationName == "walrelay/orders lock")
        #expect(seen.clientAddress == "127.0.0.1")
        #expect(seen.text == "walrelay/orders lock from 127.0.0.1 (pid \(seen.pid) of the source)")
        // A session that holds it for days is in nobody's way.
        #expect(
            try cluster.psql(
                """
                SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%lock'
                AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)
                """
            ) == "0"
        )
        await release(first)
        try await eventually("the second has it") { isOurs(second) }
        await release(second)
        await release(third)
        #expect(
            try cluster.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"
        )
    }

    @Test func `the end of its session is made good at once, unless somebody was faster`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        // Not only the next sign of life finds out.
        var quiet = TaskLock.Pace()
        quiet.sign = .seconds(600)
        quiet.lease = .seconds(600)
        let lock = TaskLock(task: "orders", parameters: cluster.parameters(), pace: quiet)
        let holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
        var pid = ""
        try await eventually("it is ours") {
            pid = try cluster.psql(holder)
            return isOurs(lock) && !pid.isEmpty
        }
        try cluster.psql("SELECT pg_terminate_backend(\(pid))")
        try await eventually("another session of ours has it") {
            let other = try cluster.psql(holder)
            return !other.isEmpty && other != pid
        }
        #expect(isOurs(lock), "all the while")
        // Somebody who waits for the lock on the server gets it from one session to the next.
        let thief = try cluster.spawn(
            "psql",
            [
                "-X", "-d", "postgres", "-c",
                """
                SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
                UNION ALL SELECT pg_advisory_lock(\(TaskLock.key(of: "orders"))) IS NULL \
                UNION ALL SELECT pg_sleep(60) IS NULL
                """,
            ]
        )
        defer { thief.signal(SIGKILL) }
        try await eventually("it is known") { !isOurs(lock) }
        guard case .lost(let error) = lock.state else {
            Issue.record("\(lock.state)")
            return
        }
        #expect(error.code == "task.taken_over" && error.isTransient)
        await release(lock)
    }

    @Test func `a holder that cannot reach the server counts the lock as lost in time`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        var brisk = TaskLock.Pace()
        brisk.sign = .milliseconds(100)
        brisk.attempt = .milliseconds(100)
        brisk.lease = .seconds(2)
        let lock = TaskLock(task: "orders", parameters: cluster.parameters(), pace: brisk)
        try await eventually("it is ours") { isOurs(lock) }
        try await onThread { try cluster.stop() }
        try await eventually("it is known", timeout: .seconds(10)) { !isOurs(lock) }
        guard case .lost(let error) = lock.state else {
            Issue.record("\(lock.state)")
            return
        }
        #expect(error.code == "source.unreachable" && error.isTransient)
        await release(lock)
    }

    @Test(arguments: [PostgresVersion.v11, .v15].filter(\.isAvailable))
    func `the server ends the session of a holder that is silent`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        var silent = TaskLock.Pace()
        silent.sign = .seconds(120)
        silent.server = .seconds(4)
        silent.lease = .seconds(1)
        let first = TaskLock(task: "orders", parameters: cluster.parameters(), pace: silent)
        try await eventually("the first has it") {
            try cluster.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "1"
        }
        var next = TaskLock.Pace()
        next.attempt = .milliseconds(100)
        let second = TaskLock(task: "orders", parameters: cluster.parameters(), pace: next)
        try await eventually("the second has it") { isOurs(second) }
        #expect(!isOurs(first), "on its own side first, whoever looks when")
        #expect(TaskLock.Pace().lease < TaskLock.Pace().server)
        await release(first)
        await release(second)
    }

    @Test func `a holder that gives signs of life keeps it`() async throws {
        let cluster = try await PostgresCluster.start()
        var brisk = TaskLock.Pace()
        brisk.sign = .milliseconds(100)
        // Longer than a busy machine may keep a thread, and shorter than what is looked at.
        brisk.server = .seconds(12)
        brisk.lease = .seconds(10)
        let lock = TaskLock(task: "orders", parameters: cluster.parameters(), pace: brisk)
        try await eventually("it is ours") { isOurs(lock) }
        let end = ContinuousClock.now + .seconds(15)
        while ContinuousClock.now < end {
            try #require(isOurs(lock))
            try await Task.sleep(for: .milliseconds(50))
        }
        await release(lock)
    }

    @Test(arguments: [PostgresVersion.v11, .v13].filter(\.isAvailable))
    func `who waits for it for months does so in one short transaction after another`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        let first = TaskLock(task: "orders", parameters: cluster.parameters())
        try await eventually("the first has it") { isOurs(first) }
        var brisk = TaskLock.Pace()
        brisk.attempt = .milliseconds(100)
        let second = TaskLock(task: "orders", parameters: cluster.parameters(), pace: brisk)
        try await eventually("the second waits") { holder(second) != nil }
        func begun() throws -> String {
            try cluster.psql(
                """
                SELECT xact_start FROM pg_stat_activity WHERE application_name LIKE '%lock'
                AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')
                """
            )
        }
        for _ in 0..<2 {
            let former = try begun()
            try await eventually("another transaction") {
                let now = try begun()
                return !now.isEmpty && now != former
            }
        }
        await release(second)
        await release(first)
    }

    @Test func `a process that has the number of a former one is another`() {
        var holder = TaskHolder(pid: 7, applicationName: "", clientAddress: nil)
        let session = TaskLock.Session(pid: 7, began: "1.5")
        #expect(!holder.isOther(than: session), "it cannot be seen")
        holder.began = "1.5"
        #expect(!holder.isOther(than: session))
        holder.began = "2.5"
        #expect(holder.isOther(than: session))
        holder = TaskHolder(pid: 8, applicationName: "", clientAddress: nil)
        #expect(holder.isOther(than: session))
    }

    @Test func `a server that is not there is told, and does not keep anybody`() async throws {
        let port = try FreePort.find()
        let lock = TaskLock(
            task: "orders",
            parameters: ConnectionParameters(keywords: ["host": "127.0.0.1", "port": "\(port)"])
        )
        try await eventually("it is told") {
            guard case .lost(let error) = lock.state else { return false }
            return error.code == "source.unreachable"
        }
        await release(lock)
    }

    @Test func `the key of a task is the same in every version of walrelay`() {
        #expect(TaskLock.key(of: "orders") == -3_700_115_534_448_808_444)
    }

    private func release(_ lock: TaskLock) async {
        await withCheckedContinuation { continuation in
            startThread(named: "release") {
                lock.release()
                continuation.resume()
            }
        }
    }
}
