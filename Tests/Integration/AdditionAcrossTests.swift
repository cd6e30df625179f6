// SPDX-License-Identifier: Apache-2.0
//
// A table that comes into a running task while a transaction that has written it is open. A server
// that decodes such a transaction may take the table for one that is not published, and leave out
// all that is written to it from then on, until the session ends: always before 13, and in minors
// of 13 to 17 that do not tell transactions in progress of a publication's change.
import Foundation
import Glibc
import Support
import Synchronization
import Testing

extension Changeover {
    @Suite(.serialized) struct AdditionAcrossTests {
        /// The oldest that is here, which has the fault, and the usual one.
        static let versions = Set([PostgresVersion.available.first ?? .v15, .v15]).sorted()

        private static func task(
            _ version: PostgresVersion,
            more: String = ""
        ) async throws -> RelayTask {
            let cluster = try await PostgresCluster.start(version: version)
            try cluster.psql(AdditionLoad.tables)
            return try RelayTask(cluster, tables: ["public.a"], more: more)
        }

        /// Has the task take b while a transaction that has written b goes on.
        private static func addAcross(
            _ task: RelayTask,
            _ daemon: DaemonProcess
        ) async throws -> OpenTransaction {
            try await task.waitForPhase("streaming", of: daemon)
            let writer = try OpenTransaction(task.cluster, "INSERT INTO b VALUES (-1, 'across')")
            try task.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.until(.seconds(30), "b is published") {
                try task.cluster.psql("SELECT count(*) FROM pg_publication_tables") == "2"
            }
            return writer
        }

        @Test(.timeLimit(.minutes(5)), arguments: versions)
        func `changes after a transaction that began before the table came are kept`(
            version: PostgresVersion
        ) async throws {
            let task = try await Self.task(version)
            // A sink that takes its time: each session goes on past the point of the copy.
            let pause = TestKnob.hasFailpoints ? "sink.after_sync_before_checkpoint=500ms" : nil
            let daemon = try task.start(pause: pause)
            let writer = try await Self.addAcross(task, daemon)
            // Not before: whoever is decoded first decides what the server takes the table for.
            let isWriting = Atomic(false)
            let load = WritingClient(task.cluster, seconds: 60, perSecond: 100) { number in
                let a = "UPDATE a SET v = '' WHERE id = 1;"
                guard isWriting.load(ordering: .acquiring) else { return a }
                return "INSERT INTO b VALUES (\(-2 - number), 'load'); \(a)"
            }
            try await eventually("the load has begun") { load.count > 20 }
            try await writer.commit()
            isWriting.store(true, ordering: .releasing)
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            load.stop()
            try await load.wait(.seconds(90))
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences(AdditionLoad.keys) == [])
            #expect(try task.copies(of: "public.b") == 1)
        }

        @Test(.timeLimit(.minutes(4)), arguments: versions)
        func `without snapshots, too, nothing is left out after a table was added`(
            version: PostgresVersion
        ) async throws {
            let task = try await Self.task(version, more: "snapshot: { mode: never }")
            let daemon = try task.start()
            let writer = try await Self.addAcross(task, daemon)
            try await writer.commit()
            try await daemon.waitForLog("added public.b, without", timeout: .seconds(90))
            try task.cluster.psql("INSERT INTO b VALUES (-2, 'after')")
            try task.cluster.psql("INSERT INTO a VALUES (500, 'end')")
            try await daemon.until { try task.events.events().last?.after?["v"]?.text == "end" }
            #expect(try task.events.events().contains { $0.after?["v"]?.text == "after" })
            #expect(try await daemon.stop() == .code(0))
        }
    }
}
