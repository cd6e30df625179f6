// SPDX-License-Identifier: Apache-2.0
//
// The promise itself: whatever is killed when, each change stands once, in commit order, in whole
// transactions, and a consumer who applies the files has the source's rows.
//
// WALRELAY_TEST_PGBENCH_SECONDS says how long the application writes, WALRELAY_TEST_SEED makes
// the moments of a failed run come again.
import Support
import Testing

/// Heavy tests: one after another, since each wants the whole machine.
@Suite(.serialized)
enum Acceptance {}

/// Heavy tests of what changes while a task runs: tables come in, another daemon takes over.
///
/// They wait more than they work, so they go on beside the others.
@Suite(.serialized)
enum Changeover {}

extension Acceptance {
    @Suite(.serialized)
    struct ExactlyOnceTests {
        @Test(.timeLimit(.minutes(10)))
        func `20 kills and 2 crashes of the server leave each change once`() async throws {
            let seconds = TestKnob.number("WALRELAY_TEST_PGBENCH_SECONDS") ?? 25
            let cluster = try await PostgresCluster.start()
            try PgbenchLoad.createTables(in: cluster)
            try await Self.killed(
                20,
                restarts: 2,
                seconds: seconds,
                in: try RelayTask(cluster, rotate: "4MiB")
            )
        }

        @Test(.timeLimit(.minutes(5)), arguments: PostgresCluster.availableVersions)
        func `every version of the server`(version: PostgresVersion) async throws {
            let cluster = try await PostgresCluster.start(version: version)
            try PgbenchLoad.createTables(in: cluster)
            try cluster.psql("DELETE FROM pgbench_accounts WHERE aid > 25000")
            try await Self.killed(5, restarts: 1, seconds: 6, in: try RelayTask(cluster))
        }

        private static func killed(
            _ kills: Int,
            restarts: Int,
            seconds: Int,
            in task: RelayTask
        ) async throws {
            var random = SeededGenerator()
            print("WALRELAY_TEST_SEED=\(random.seed)")
            let load = PgbenchLoad(task.cluster, seconds: seconds)
            var campaign = KillCampaign(
                task,
                kills: kills,
                restarts: restarts,
                interval: .seconds(seconds) / kills
            )
            campaign.writePause = kills > 10 ? "30ms" : "100ms"
            try await campaign.run(using: &random)
            #expect(campaign.killsInSnapshot > 0 || !TestKnob.hasFailpoints)
            try await load.wait(.seconds(seconds + 60))
            let last = try await task.runUntilNow()
            let peak = max(campaign.peakResidentBytes, last.peakResidentBytes)
            #expect(MemoryBound.holds(peak, "\(kills) kills on \(task.cluster.version)"))
            #expect(try await task.differences(PgbenchLoad.keys) == [], "seed \(random.seed)")
            try await task.waitUntilNothingIsLeft()
            #expect(try task.slot("confirmed_flush_lsn") == task.checkpoint("position"))
        }
    }
}
