// SPDX-License-Identifier: Apache-2.0
//
// A run that waits as a standby: what fails meanwhile says nothing of its own work, and is waited
// for each time as if it were the first.

import ChangeModel
import LibPQ
import Pipeline
import Support
import Testing

@Suite struct TurnTests {
    /// A run at work, and one that waits for its end.
    private struct Pair {
        let cluster: PostgresCluster
        let first: TaskFixture
        let second: TaskFixture

        init(
            rows: Int = 3,
            second change: (inout TaskOptions) -> Void
        ) async throws {
            cluster = try await PostgresCluster.withTable(rows: rows)
            try cluster.psql("CREATE ROLE standby LOGIN")
            let store = MemoryStore()
            let first = TaskFixture(cluster, store)
            self.first = first
            try await eventually("it streams") { first.board.status.phase == .streaming }
            second = TaskFixture(cluster, store, change: change)
            try await isStandingBy()
        }

        func isStandingBy() async throws {
            try await eventually("it stands by", timeout: .seconds(60)) {
                second.board.status.phase == .standby
            }
        }

        /// Ends the session that asks for the lock; it is known to be lost when this returns.
        func endAsking() async throws {
            let before = second.board.counters.errors
            try cluster.psql(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name LIKE '%lock'
                AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')
                """
            )
            // The phase is over in a fifth of a second.
            try await eventually("it is known") { second.board.counters.errors > before }
        }
    }

    @Test func `each time that a standby loses the source it has all of retry for`() async throws {
        let limit: Duration = .seconds(2)
        let pair = try await Pair { $0.retryFor = limit }
        try await pair.endAsking()
        let begun = ContinuousClock.now
        try await pair.isStandingBy()
        // What an accident of last month leaves of the time for today's.
        try await eventually("the time would be over") { ContinuousClock.now - begun > limit }
        try await pair.endAsking()
        try await pair.isStandingBy()
        pair.first.stop.request()
        try await pair.first.end()
        try await eventually("it takes over") { pair.second.board.status.phase == .streaming }
        pair.second.stop.request()
        try await pair.second.end()
    }

    @Test func `a standby waits for a password that is being renewed`() async throws {
        let pair = try await Pair { options in
            options.source.keywords["user"] = "standby"
        }
        try pair.cluster.psql("ALTER ROLE standby NOLOGIN")
        try await pair.endAsking()
        try await eventually("it is refused") {
            pair.second.board.status.lastError?.code == "source.login_refused"
        }
        try pair.cluster.psql("ALTER ROLE standby LOGIN")
        try await pair.isStandingBy()
        pair.second.stop.request()
        try await pair.second.end()
    }
}
