// SPDX-License-Identifier: Apache-2.0
//
// pgbench as the application: its four tables, and clients that come back when the server was
// away. Writes at a bounded rate, so that a debug build is tested and not measured.
import Foundation
import Support
import Synchronization

/// Writing clients of pgbench, for a time or until told to stop.
final class PgbenchLoad: Sendable {
    /// pgbench's tables and their keys; the history has none.
    static let keys = [
        "public.pgbench_accounts": ["aid"], "public.pgbench_branches": ["bid"],
        "public.pgbench_tellers": ["tid"], "public.pgbench_history": [],
    ]

    private let isStopped = Atomic(false)
    private let isRunning = Atomic(true)
    private let cluster: PostgresCluster

    /// Makes the tables; the history gets the identity that its operator would have to choose.
    static func createTables(in cluster: PostgresCluster, scale: Int = 1) throws {
        let output = try cluster.run("pgbench", ["-i", "-q", "-s", "\(scale)", "postgres"])
        guard output.status == .code(0) else { throw SupportError(output.stderr) }
        try cluster.psql("ALTER TABLE pgbench_history REPLICA IDENTITY FULL")
    }

    /// Starts four clients that write for so many seconds, at most `rate` transactions a second.
    init(_ cluster: PostgresCluster, seconds: Int, rate: Int = 400) {
        self.cluster = cluster
        Thread.detachNewThread { [self] in
            let end = ContinuousClock.now + .seconds(seconds)
            while !isStopped.load(ordering: .relaxed), ContinuousClock.now < end {
                let left = max(1, Int((end - .now).components.seconds))
                let child = try? cluster.spawn(
                    "pgbench",
                    ["-n", "-c", "4", "-T", "\(left)", "-R", "\(rate)", "postgres"]
                )
                while let child, child.status() == nil, !isStopped.load(ordering: .relaxed) {
                    usleep(20_000)
                }
                // The server may be away: the next attempt comes soon, and not at once.
                usleep(50_000)
            }
            isRunning.store(false, ordering: .releasing)
        }
    }

    deinit { isStopped.store(true, ordering: .relaxed) }

    /// Ends the clients early and waits until the server has seen the last of them.
    func stop() async throws {
        isStopped.store(true, ordering: .relaxed)
        try await wait(.seconds(30))
    }

    /// Waits for the end of the time and until the server has seen the last client.
    func wait(_ limit: Duration) async throws {
        try await eventually("the end of pgbench", timeout: limit) {
            guard !isRunning.load(ordering: .acquiring) else { return false }
            return try cluster.psql(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'"
            ) == "0"
        }
    }
}
