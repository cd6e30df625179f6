// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint and a source that do not belong together, or a sink's directory that was tampered
// with. Going on would be a silent gap or a silent repeat, so each is exit 74, and neither the
// files nor the server change.
import Foundation
import Glibc
import Support
import Testing

struct BadCheckpointTests {
    /// A task that has caught up and is stopped, its two rows in the files.
    private func stopped(_ name: String) async throws -> (task: OddTask, cluster: PostgresCluster) {
        let (task, cluster) = try await SharedCluster.trusting.task(name)
        try await task.catchUp()
        return (task, cluster)
    }

    /// Expects a refusal by which no file of the sink and no slot changed.
    private func expectUntouched(
        _ task: OddTask,
        on cluster: PostgresCluster,
        _ body: () async throws -> Void
    ) async throws {
        func files() throws -> [String: Data] {
            let names = try FileManager.default.contentsOfDirectory(atPath: task.sinkDirectory)
                .filter { $0 != ".lock" }
            return Dictionary(
                uniqueKeysWithValues: names.map { name in
                    (
                        name,
                        FileManager.default.contents(atPath: "\(task.sinkDirectory)/\(name)")
                            ?? Data()
                    )
                }
            )
        }
        let columns = "slot_name || coalesce(confirmed_flush_lsn::text, '')"
        let (before, slot) = (try files(), try task.slot(columns, on: cluster))
        try await body()
        let after = try files()
        #expect(after.keys.sorted() == before.keys.sorted())
        #expect(before.allSatisfy { after[$0.key] == $0.value })
        #expect(try task.slot(columns, on: cluster) == slot)
    }

    // MARK: Of somebody else

    @Test(.enabled(if: PostgresVersion.available.count > 1))
    func `a checkpoint of another cluster is told`() async throws {
        let (task, cluster) = try await stopped("c_cluster")
        // Clusters of one version are copies of one, identifier and all.
        let version = try #require(PostgresVersion.available.first { $0 != .v15 })
        let other = try await PostgresCluster.start(version: version)
        try other.psql("CREATE DATABASE c_cluster")
        var moved = task
        moved.port = other.port
        try await expectUntouched(task, on: cluster) {
            try await moved.run().expectRefusal(
                74,
                "checkpoint.other_system",
                try cluster.psql("SELECT system_identifier FROM pg_control_system()"),
                try other.psql("SELECT system_identifier FROM pg_control_system()")
            )
        }
        try await moved.expectNothingLeft(on: other)
    }

    @Test
    func `a checkpoint of another task or database is told`() async throws {
        let (task, cluster) = try await stopped("c_task")
        var renamed = task
        renamed.name = "c_task_2"
        try await expectUntouched(task, on: cluster) {
            try await renamed.run().expectRefusal(74, "checkpoint.other_task", "\"c_task\"")
        }
        try await renamed.expectNothingLeft(on: cluster)
        var moved = task
        moved.database = "postgres"
        try await expectUntouched(task, on: cluster) {
            try await moved.run().expectRefusal(
                74,
                "checkpoint.other_database",
                "\"c_task\"",
                "\"postgres\""
            )
        }
    }

    // MARK: Malformed

    @Test
    func `a checkpoint that cannot be understood is told`() async throws {
        let (task, cluster) = try await stopped("c_malformed")
        let path = "\(task.sinkDirectory)/checkpoint.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let spoilt = [
            "": "empty", "{": "not valid JSON",
            String(text.prefix(text.count / 2)): "not valid JSON",
            text.replacingOccurrences(of: "\"version\":1", with: "\"version\":2"): "version 2",
            text.replacingOccurrences(of: "\"position\":\"", with: "\"position\":\"x"): "position",
            text.replacingOccurrences(of: "\"length\":", with: "\"length\":-"): "length",
            "[]": "no JSON object", "null": "no JSON object",
        ]
        for (content, reason) in spoilt {
            try task.editCheckpoint { _ in content }
            try await expectUntouched(task, on: cluster) {
                try await task.run().expectRefusal(74, "sink.checkpoint_malformed", path, reason)
            }
        }
        try task.editCheckpoint { _ in text }
        try await task.catchUp()
    }

    @Test
    func `files that do not fit the checkpoint are told`() async throws {
        let (task, cluster) = try await stopped("c_files")
        let file = "\(task.sinkDirectory)/000000000001.ndjson.open"
        let data = try #require(FileManager.default.contents(atPath: file))
        try data.dropLast(1).write(to: URL(filePath: file))
        try await expectUntouched(task, on: cluster) {
            try await task.run().expectRefusal(74, "sink.files_mismatch", file)
        }
        try data.write(to: URL(filePath: file))
        try data.write(to: URL(filePath: "\(task.sinkDirectory)/000000000007.ndjson"))
        try await expectUntouched(task, on: cluster) {
            try await task.run().expectRefusal(
                74,
                "sink.files_mismatch",
                "000000000007.ndjson"
            )
        }
        unlink("\(task.sinkDirectory)/000000000007.ndjson")
        unlink("\(task.sinkDirectory)/checkpoint.json")
        try await expectUntouched(task, on: cluster) {
            try await task.run().expectRefusal(74, "sink.checkpoint_missing", task.sinkDirectory)
        }
    }

    // MARK: Slots

    @Test
    func `a slot that is gone, made anew or advanced is told`() async throws {
        let (task, cluster) = try await stopped("c_slot")
        let drop = "SELECT pg_drop_replication_slot('\(task.slot)');"
        let create = "SELECT 1 FROM pg_create_logical_replication_slot('\(task.slot)','pgoutput');"
        try cluster.psql("INSERT INTO orders VALUES (3)", database: task.database)
        try cluster.psql(
            "SELECT 1 FROM pg_replication_slot_advance('\(task.slot)', pg_current_wal_lsn())",
            database: task.database
        )
        let position = try #require(try task.events.checkpoint()?["position"] as? String)
        try await expectUntouched(task, on: cluster) {
            try await task.run().expectRefusal(
                74,
                "slot.ahead",
                position,
                try task.slot("confirmed_flush_lsn", on: cluster)
            )
        }
        try cluster.psql(drop, database: task.database)
        try await expectUntouched(task, on: cluster) {
            try await task.run().expectRefusal(74, "slot.missing", task.slot, position)
        }
        try cluster.psql(create, database: task.database)
        try await expectUntouched(task, on: cluster) {
            try await task.run().expectRefusal(74, "slot.ahead", task.slot, position, "made anew")
        }
        #expect(try task.ids() == ["1", "2"])
    }

    @Test
    func `a slot that is dropped under a waiting task is told`() async throws {
        let (task, cluster) = try await stopped("c_slot_running")
        let daemon = try await task.stream()
        try await eventually { try task.slot("active", on: cluster) == "t" }
        // The task may have it again before it is dropped.
        try await eventually("the slot is dropped") {
            try cluster.psql(
                """
                SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
                WHERE slot_name = '\(task.slot)' AND active_pid IS NOT NULL;
                SELECT pg_drop_replication_slot('\(task.slot)')
                """,
                database: task.database
            )
            return true
        }
        try await task.outcome(of: daemon).expectRefusal(74, "slot.missing", task.slot)
    }

    @Test
    func `a server that was set back to an earlier state is told`() async throws {
        let (task, cluster) = try await stopped("c_ahead")
        try task.editCheckpoint { text in
            text.replacing(/"position":"[0-9A-F]+\//, with: "\"position\":\"FFFF/")
        }
        try await expectUntouched(task, on: cluster) {
            try await task.run().expectRefusal(74, "checkpoint.ahead", "FFFF/")
        }
    }
}
