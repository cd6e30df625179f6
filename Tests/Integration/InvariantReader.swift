// SPDX-License-Identifier: Apache-2.0
//
// A reader of the copy, as a report would be one: it adds up what the application keeps equal in
// each of its transactions. As long as no source transaction is visible in part, every look finds
// it equal, whatever dies meanwhile.
import Foundation
import Support
import Synchronization

/// Looks at a target again and again, each time in one statement, until it is stopped.
final class InvariantReader: Sendable {
    /// What was seen.
    struct Findings: Sendable {
        /// Looks that got an answer.
        var looks = 0
        /// Answers that were not equal, the first twenty.
        var violations: [String] = []
        /// Different states that were seen: a reader who always sees the same proves nothing.
        var states = 0
    }

    private struct State {
        var findings = Findings()
        var last = ""
    }

    private let state = Mutex(State())
    private let isStopped = Atomic(false)
    private let isRunning = Atomic(true)

    /// The sums of pgbench's tables, and that of the shop's ledger, as `t|sum|sum|…`.
    ///
    /// Has a row only while the task's checkpoint says that the snapshot is complete.
    static func query(task: String, ledgerSum: Int) -> String {
        let ledger = "AND (SELECT sum(amount) FROM shop.ledger) = \(ledgerSum)"
        let sums = [
            "SELECT coalesce(sum(abalance), 0) FROM public.pgbench_accounts",
            "SELECT coalesce(sum(delta), 0) FROM public.pgbench_history",
            "SELECT coalesce(sum(tbalance), 0) FROM public.pgbench_tellers",
            "SELECT coalesce(sum(bbalance), 0) FROM public.pgbench_branches",
        ]
        let columns = sums.enumerated().map { "(\($1)) AS s\($0)" }.joined(separator: ", ")
        return "SELECT s0 = s1 AND s1 = s2 AND s2 = s3 \(ledger), s0, s1, s2, s3"
            + " FROM (SELECT \(columns)) AS sums WHERE EXISTS (SELECT FROM walrelay.checkpoint"
            + " WHERE task = '\(task)' AND snapshot = 'complete')"
    }

    /// Starts to look, some twenty times a second; a server that is away is waited for.
    init(_ cluster: PostgresCluster, database: String = "postgres", query: String) {
        Thread.detachNewThread { [self] in
            // Each EXECUTE of a session in READ COMMITTED sees what is committed by then.
            let script = String(repeating: "\(query);\nSELECT pg_sleep(0.03);\n", count: 20)
            while !isStopped.load(ordering: .relaxed) {
                let output = try? runProcess(
                    cluster.program("psql"),
                    ["-AtXq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"],
                    input: script,
                    environment: cluster.environment
                )
                note(output?.stdout ?? "")
                usleep(20_000)
            }
            isRunning.store(false, ordering: .releasing)
        }
    }

    /// How many different states have been seen so far.
    var states: Int { state.withLock(\.findings.states) }

    deinit { isStopped.store(true, ordering: .relaxed) }

    private func note(_ output: String) {
        state.withLock { state in
            for line in output.split(separator: "\n") where line.contains("|") {
                state.findings.looks += 1
                if line != state.last { state.findings.states += 1 }
                state.last = String(line)
                guard !line.hasPrefix("t|"), state.findings.violations.count < 20 else { continue }
                state.findings.violations.append(String(line))
            }
        }
    }

    /// Stops after the present look and gives what was seen.
    func stop() async throws -> Findings {
        isStopped.store(true, ordering: .relaxed)
        try await eventually("the reader's last look", timeout: .seconds(60)) {
            !isRunning.load(ordering: .acquiring)
        }
        return state.withLock(\.findings)
    }
}
