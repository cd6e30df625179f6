// SPDX-License-Identifier: Apache-2.0
//
// The source fails over to a physical standby while a task runs, with both servers in its settings:
// the task goes on where the new primary has its slot and all that the sink has, and stops with
// what is lost where it has not. Slots are copied by the servers from 17 on; before that by hand,
// as an extension would.
import Foundation
import Support
import Testing

extension Changeover {
    @Suite(.serialized)
    struct FailoverTests {
        private static let keys = ["public.t": ["id"]]

        /// A primary with a standby, and a task that knows both.
        private struct Pair {
            let primary: PostgresCluster
            let standby: PostgresCluster
            /// The task as the primary is judged.
            let task: RelayTask
            /// The same as the standby is judged, once it is the primary.
            let promoted: RelayTask

            init(
                _ version: PostgresVersion = .v15,
                settings: [String: String] = [:],
                standbySettings: [String: String] = [:],
                more: String = "retry: { for: 60s }"
            ) async throws {
                let primary = try await PostgresCluster.start(version: version, settings: settings)
                try primary.psql(
                    """
                    CREATE TABLE t (id int PRIMARY KEY, n int);
                    INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i;
                    """
                )
                if !settings.isEmpty {
                    try primary.psql("SELECT pg_create_physical_replication_slot('standby1', true)")
                }
                let standby = try await primary.startStandby(settings: standbySettings)
                let task = try RelayTask(primary, hosts: [primary, standby], more: more)
                (self.primary, self.standby, self.task) = (primary, standby, task)
                promoted = try RelayTask(
                    standby,
                    sinkDirectory: task.sinkDirectory,
                    hosts: [standby],
                    more: more
                )
            }

            func change(_ cluster: PostgresCluster, _ first: Int) throws {
                try cluster.psql(
                    """
                    INSERT INTO t SELECT i, 1 FROM generate_series(\(first), \(first) + 99) i;
                    UPDATE t SET n = n + 1 WHERE id % 7 = 0
                    """
                )
            }

            /// Waits until all that a server has is durable in the files.
            func catchUp(_ daemon: DaemonProcess, to task: RelayTask) async throws {
                let end = try task.cluster.psql("SELECT pg_current_wal_insert_lsn()")
                try await daemon.until(.seconds(60), "everything confirmed") {
                    try task.slot("confirmed_flush_lsn >= '\(end)'") == "t"
                }
            }

            /// Brings the slot as it is now to the standby, which is restarted for it.
            func copySlot() async throws {
                try primary.psql("CHECKPOINT")
                try standby.stop()
                let copy = try runProcess(
                    "/bin/cp",
                    [
                        "-a", "\(primary.dataDirectory)/pg_replslot/\(task.slot)",
                        "\(standby.dataDirectory)/pg_replslot/",
                    ]
                )
                guard copy.status == .code(0) else { throw SupportError(copy.stderr) }
            }

            func promote() async throws {
                try standby.psql("SELECT pg_promote()")
                try await eventually("the standby is a primary") {
                    try standby.psql("SELECT pg_is_in_recovery()") == "f"
                }
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a promoted standby without the slot ends the task with what is lost`() async throws {
            let pair = try await Pair()
            let daemon = try pair.task.start()
            try await pair.task.waitForPhase("streaming", of: daemon)
            try pair.change(pair.primary, 1_000)
            try await pair.catchUp(daemon, to: pair.task)
            try await onThread { try pair.primary.stop() }
            try await pair.task.waitForPhase("reconnecting", of: daemon)
            // Until there is a primary again it is waited for one.
            try await daemon.waitForLog("trying again")
            #expect(daemon.status == nil)
            try await pair.promote()
            #expect(try await daemon.wait() == .code(74))
            #expect(daemon.stderr.contains("[slot.missing]"), "\(daemon.stderr.suffix(2_000))")
        }

        @Test(.timeLimit(.minutes(5)))
        func `a promoted standby with the slot is gone on with, and the former primary is not`()
            async throws
        {
            let pair = try await Pair()
            let daemon = try pair.task.start()
            try await pair.task.waitForPhase("streaming", of: daemon)
            try pair.change(pair.primary, 1_000)
            try await pair.copySlot()
            try await pair.standby.start()
            try pair.change(pair.primary, 2_000)
            // An orderly end: the standby gets all that was written.
            try await onThread { try pair.primary.stop() }
            try await pair.promote()
            try pair.change(pair.standby, 3_000)
            try await pair.task.waitForPhase("streaming", of: daemon)
            try pair.change(pair.standby, 4_000)
            try await pair.catchUp(daemon, to: pair.promoted)

            // The former primary comes back as if nothing had been, and is the first of the hosts.
            try await pair.primary.start()
            try pair.change(pair.primary, 5_000)
            // The watch over the slot comes to it, and judges nothing there.
            try pair.primary.psql("SELECT pg_drop_replication_slot('\(pair.task.slot)')")
            let watch = "FROM pg_stat_activity WHERE application_name LIKE '%orders monitor'"
            try pair.standby.psql("SELECT pg_terminate_backend(pid) \(watch)")
            var seen: Set<String> = []
            try await daemon.until(.seconds(60), "it has come, gone and come again") {
                seen.insert(try pair.primary.psql("SELECT max(pid) \(watch)"))
                return seen.subtracting([""]).count > 2
            }
            try pair.change(pair.standby, 5_500)
            try await pair.catchUp(daemon, to: pair.promoted)
            let pid = try pair.promoted.slot("active_pid")
            try pair.standby.psql("SELECT pg_terminate_backend(\(pid))")
            try await daemon.waitForLog("server.passed_over")
            try pair.change(pair.standby, 6_000)
            try await onThread { try pair.primary.stop() }
            try await pair.task.waitForPhase("streaming", of: daemon)
            try await pair.catchUp(daemon, to: pair.promoted)
            #expect(try await daemon.stop() == .code(0))
            #expect(try await pair.promoted.differences(Self.keys) == [])
        }

        @Test(.timeLimit(.minutes(5)))
        func `a second daemon that finds the former primary demoted waits for the new one`()
            async throws
        {
            let cluster = try await NumberedTable.source()
            let first = try Contender(RelayTask(cluster))
            try await first.wait(for: "streaming")
            let second = try Contender(first.task.another())
            try await second.wait(for: "standby")
            try NumberedTable.change(cluster, 1_000)
            try await onThread { try cluster.stop() }
            try await first.kill()
            // One address for both, which still leads to the former primary.
            try Data().write(to: URL(filePath: "\(cluster.dataDirectory)/standby.signal"))
            try await cluster.start()
            try await second.daemon.waitForLog("server.standby")
            // So does one that is started meanwhile: it has a checkpoint.
            try await second.kill()
            let third = try Contender(second.task)
            try await third.daemon.waitForLog("server.standby")
            try cluster.psql("SELECT pg_promote()")
            try await third.wait(for: "streaming")
            try NumberedTable.change(cluster, 2_000)
            #expect(try await third.daemon.stop() == .code(0))
            try await third.task.runUntilNow()
            #expect(try await third.task.differences(NumberedTable.keys) == [])
        }

        @Test(.timeLimit(.minutes(2)))
        func `a promoted standby that lacks what the sink has is refused`() async throws {
            let pair = try await Pair()
            let daemon = try pair.task.start()
            try await pair.task.waitForPhase("streaming", of: daemon)
            try pair.change(pair.primary, 1_000)
            // The standby is away while the sink gets more.
            try await pair.copySlot()
            try pair.change(pair.primary, 2_000)
            try await pair.catchUp(daemon, to: pair.task)
            let seen = try pair.task.checkpoint("position")
            try await onThread { try pair.primary.stop() }
            try await pair.standby.start()
            try await pair.promote()
            // Its positions go past the checkpoint's with changes that the stream would leave out.
            for round in 3...9 { try pair.change(pair.standby, 1_000 * round) }
            #expect(try await daemon.wait() == .code(74))
            // Which of the two it is said by depends on the moment.
            #expect(
                daemon.stderr.contains("[checkpoint.diverged]")
                    || daemon.stderr.contains("[checkpoint.ahead]"),
                "\(daemon.stderr.suffix(2_000))"
            )
            let again = try pair.promoted.start()
            #expect(try await again.wait() == .code(74))
            #expect(again.stderr.contains("[checkpoint.diverged]"), "\(again.stderr.suffix(2_000))")
            #expect(try pair.task.checkpoint("position") == seen)
        }

        @Test(
            .timeLimit(.minutes(5)),
            arguments: [PostgresVersion.v17, .v18].filter {
                $0.isAvailable && ($0 == .v17 || TestKnob.isLong)
            }
        )
        func `a slot that the servers copy is gone on with`(version: PostgresVersion) async throws {
            let pair = try await Pair(
                version,
                settings: ["synchronized_standby_slots": "standby1"],
                standbySettings: [
                    "primary_slot_name": "standby1", "hot_standby_feedback": "on",
                    "sync_replication_slots": "on",
                ],
                more: "slot: { failover: true }\nretry: { for: 60s }"
            )
            let (primary, standby) = (pair.primary, pair.standby)
            try standby.psql(
                """
                ALTER SYSTEM SET primary_conninfo = 'host=\(primary.host) port=\(primary.port) \
                user=\(primary.superuser) dbname=postgres'
                """
            )
            try standby.psql("SELECT pg_reload_conf()")
            let daemon = try pair.task.start()
            try await pair.task.waitForPhase("streaming", of: daemon)
            #expect(try pair.task.slot("failover") == "t")
            let check = try DaemonProcess(["check", "--config", pair.task.settingsPath])
            #expect(try await check.wait() == .code(0))
            #expect(check.stdout.contains("standby1 can copy it"), "\(check.stdout)")
            #expect(!check.stdout.contains("synchronized_standby_slots"), "\(check.stdout)")
            var round = 1
            try await eventually("the standby has the slot", timeout: .seconds(90)) {
                // The copy counts once the slot has come past where the standby began; a
                // checkpoint lets it move.
                try primary.psql("CHECKPOINT")
                try pair.change(primary, 1_000 * round)
                round += 1
                try await Task.sleep(for: .milliseconds(500))
                return try standby.psql(
                    "SELECT synced AND NOT temporary FROM pg_replication_slots"
                ) == "t"
            }
            try pair.change(primary, 1_000_000)
            // As a crash: what the standby does not have, the sink does not have either.
            try await onThread { try primary.stop(mode: .immediate) }
            try await pair.promote()
            // Nobody else is to be waited for any more.
            try pair.change(standby, 2_000_000)
            try await pair.task.waitForPhase("streaming", of: daemon)
            try pair.change(standby, 3_000_000)
            try await pair.catchUp(daemon, to: pair.promoted)
            #expect(try await daemon.stop() == .code(0))
            #expect(try await pair.promoted.differences(Self.keys) == [])
        }

        @Test(.timeLimit(.minutes(2)))
        func `a target that fails over is followed, too`() async throws {
            let source = try await PostgresCluster.start()
            try source.psql(
                """
                CREATE TABLE t (id int PRIMARY KEY, n int);
                INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i;
                """
            )
            let target = try await PostgresCluster.start()
            let standby = try await target.startStandby()
            let entries = [
                "host: '\(target.host),\(standby.host)'", "port: '\(target.port),\(standby.port)'",
                "database: postgres", "user: \(target.superuser)",
            ]
            let task = try RelayTask(
                source,
                sink: "{ kind: postgresql, postgresql: { \(entries.joined(separator: ", ")) } }"
            )
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            try source.psql("INSERT INTO t SELECT i, 1 FROM generate_series(1001, 1100) i")
            // An orderly end: the standby gets all that was written, the checkpoint with it.
            try await onThread { try target.stop() }
            try standby.psql("SELECT pg_promote()")
            try source.psql("UPDATE t SET n = n + 1 WHERE id % 7 = 0")
            try await daemon.waitForLog("trying again")
            try await task.waitForPhase("streaming", of: daemon)
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            let found = try await onThread {
                try TwinServers(source: source, target: standby).differences(
                    inSchemas: ["public"]
                )
            }
            #expect(found == [])
        }

        @Test(.timeLimit(.minutes(3)), .enabled(if: PostgresVersion.v17.isAvailable))
        func `a slot that is there is marked, and what it lacks is said`() async throws {
            let cluster = try await PostgresCluster.start(version: .v17)
            try cluster.psql("CREATE TABLE t (id int PRIMARY KEY, n int)")
            let task = try RelayTask(cluster)
            try await task.runUntilNow()
            #expect(try task.slot("failover") == "f")
            let marked = try RelayTask(
                cluster,
                sinkDirectory: task.sinkDirectory,
                more: "slot: { failover: true }"
            )
            try await marked.runUntilNow()
            #expect(try task.slot("failover") == "t")
            let check = try DaemonProcess(["check", "--config", marked.settingsPath])
            #expect(try await check.wait() == .code(0))
            #expect(check.stdout.contains("no standby streams from this server"))
            #expect(check.stdout.contains("sync_replication_slots = on"))
        }

        @Test(.timeLimit(.minutes(3)))
        func `a server that copies no slots is refused for it`() async throws {
            let cluster = try await PostgresCluster.start()
            try cluster.psql("CREATE TABLE t (id int PRIMARY KEY, n int)")
            let task = try RelayTask(cluster, more: "slot: { failover: true }")
            let daemon = try task.start()
            #expect(try await daemon.wait() == .code(77))
            #expect(daemon.stderr.contains("17 is the first that does"), "\(daemon.stderr)")
        }
    }
}
