// SPDX-License-Identifier: Apache-2.0
//
// What becomes of slots between the answer to the question and the drop: others drop some, and
// start tasks on others. What was agreed to and still holds is done all the same.

import ChangeModel
import Foundation
import Glibc
import LibPQ
import Replication
import Support
import Testing

@testable import Commands

@Suite struct SlotsDropRaceTests {
    private static func parameters(
        _ cluster: PostgresCluster,
        database: String = "postgres",
        user: String? = nil
    ) -> ConnectionParameters {
        ConnectionParameters(keywords: [
            "host": cluster.host, "port": "\(cluster.port)", "dbname": database,
            "user": user ?? cluster.superuser,
        ])
    }

    private static func connect(
        _ cluster: PostgresCluster,
        user: String? = nil
    ) throws -> Connection {
        try Connection.open(parameters(cluster, user: user))
    }

    private static func wish(_ tasks: String...) -> SlotsDropWish {
        SlotsDropWish(
            tasks: tasks,
            olderThan: nil,
            retainedMoreThan: tasks.isEmpty ? 0 : nil,
            publications: false
        )
    }

    private static func makeSlot(
        _ name: String,
        in database: String = "postgres",
        of cluster: PostgresCluster
    ) throws {
        try cluster.psql(
            "SELECT pg_create_logical_replication_slot('di_slot_\(name)', 'pgoutput')",
            database: database
        )
    }

    @Test(arguments: [.v11, .v15, .v18].filter(\PostgresVersion.isAvailable))
    func `what went or came into use meanwhile keeps its own slot only`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        for name in ["gone", "busy", "idle"] {
            try cluster.psql(
                "SELECT pg_create_logical_replication_slot('di_slot_\(name)', 'pgoutput')"
            )
            try cluster.psql("CREATE PUBLICATION di_pub_\(name)")
        }
        let wish = SlotsDropWish(
            tasks: ["gone", "busy", "idle"],
            olderThan: nil,
            retainedMoreThan: nil,
            publications: true
        )
        let agreed = try await onThread { try wish.plan(on: Self.connect(cluster)).drops }
        #expect(agreed.count == 3)
        try cluster.psql("SELECT pg_drop_replication_slot('di_slot_gone')")
        let reader = try cluster.spawn(
            "pg_recvlogical",
            [
                "-d", "postgres", "--slot", "di_slot_busy", "--start", "-f", "/dev/null",
                "-o", "proto_version=1", "-o", "publication_names=di_pub_busy",
            ]
        )
        defer { reader.signal(SIGKILL) }
        try await eventually("the slot is in use") {
            try cluster.psql(
                "SELECT active FROM pg_replication_slots WHERE slot_name = 'di_slot_busy'"
            ) == "t"
        }
        let refusal = try await #require(throws: WalrelayError.self) {
            try await onThread { try wish.drop(agreed, on: Self.connect(cluster)) }
        }
        #expect(refusal.code == "slot.active" && refusal.exit == .prerequisite)
        #expect(try cluster.psql("SELECT slot_name FROM pg_replication_slots") == "di_slot_busy")
        #expect(try cluster.psql("SELECT pubname FROM pg_publication") == "di_pub_busy")
    }

    @Test(arguments: [.v11, .v15, .v18].filter(\PostgresVersion.isAvailable))
    func `the slot of a task that runs stays, also while nobody reads it`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql("CREATE DATABASE crm")
        for (name, database) in [("here", "postgres"), ("there", "crm"), ("idle", "postgres")] {
            try Self.makeSlot(name, in: database, of: cluster)
        }
        try cluster.psql("CREATE TABLE w AS SELECT 1")
        func locked() throws -> String {
            try cluster.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        }
        // One runs from the start, of both databases; the other begins after the answer.
        let there = TaskLock(task: "there", parameters: Self.parameters(cluster, database: "crm"))
        try await eventually("a task of another database runs") { try locked() == "1" }
        for tasks in [Self.wish("there"), Self.wish("idle", "there")] {
            let refusal = try await #require(throws: WalrelayError.self) {
                _ = try await onThread { try tasks.plan(on: Self.connect(cluster)) }
            }
            #expect(refusal.code == "task.running" && refusal.exit == .prerequisite)
        }
        let wish = Self.wish()
        let plan = try await onThread { try wish.plan(on: Self.connect(cluster)) }
        #expect(Set(plan.drops.map(\.name)) == ["di_slot_here", "di_slot_idle"])
        #expect(plan.items.contains { $0.reason.hasPrefix("its task is running: ") })
        let here = TaskLock(task: "here", parameters: Self.parameters(cluster))
        try await eventually("another one runs") { try locked() == "2" }
        let named = try await #require(throws: WalrelayError.self) {
            try await onThread {
                try Self.wish("here").drop(
                    plan.drops.filter { $0.task == "here" },
                    on: Self.connect(cluster)
                )
            }
        }
        #expect(named.code == "task.running" && named.exit == .prerequisite)
        try await onThread { try wish.drop(plan.drops, on: Self.connect(cluster)) }
        let left = "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots"
        #expect(try cluster.psql(left) == "di_slot_here,di_slot_there")
        await withCheckedContinuation { continuation in
            startThread(named: "release") {
                for lock in [here, there] { lock.release() }
                continuation.resume()
            }
        }
    }

    @Test func `a stale slot that cannot be dropped is a failure`() async throws {
        let cluster = try await PostgresCluster.start()
        try Self.makeSlot("old", of: cluster)
        try cluster.psql("CREATE TABLE w AS SELECT 1; CREATE ROLE guest LOGIN")
        let failure = try await #require(throws: WalrelayError.self) {
            try await onThread {
                let wish = Self.wish()
                let connection = try Self.connect(cluster, user: "guest")
                try wish.drop(wish.plan(on: connection).drops, on: connection)
            }
        }
        #expect(failure.exit == .prerequisite && failure.message.contains("di_slot_old"))
        #expect(try cluster.psql("SELECT slot_name FROM pg_replication_slots") == "di_slot_old")
    }
}
