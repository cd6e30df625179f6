// SPDX-License-Identifier: Apache-2.0
//
// What EXPLAIN tells of a statement. It also asks for the privileges that running it needs, and
// locks the partitions that it would read.

import ChangeModel
import LibPQ

/// The planner's view of a statement.
struct PlanOutline {
    /// About how many rows it returns.
    let rows: Int
    /// What running it costs, in the planner's units: a page read in order is 1.
    let cost: Double
    /// How many steps of the plan make one row of several, or look at several for one.
    let gathering: Int
    /// Whether it inserts, updates or deletes.
    let writes: Bool

    /// Asks the server; blocks.
    ///
    /// Throws what it does not take of the job's words.
    init(
        of statement: ComposedStatement,
        while action: String,
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        let lines = try connection.ask(statement.between("EXPLAIN "), while: action)
        let plan = (0..<lines.count).map { lines.text($0, 0) }
        let estimate = plan.first?.firstMatch(of: #/\(cost=[0-9.]+\.\.([0-9.]+) rows=([0-9]+) /#)
        cost = estimate.flatMap { Double($0.output.1) } ?? 0
        rows = estimate.flatMap { Int($0.output.2) } ?? 0
        // A step's line has its costs; the lines between have conditions, which may say anything.
        let steps = plan.filter { $0.contains("(cost=") }
            .map { $0.drop { " ->".contains($0) } }
        gathering =
            steps.filter { step in
                ["Aggregate", "GroupAggregate", "HashAggregate", "MixedAggregate", "WindowAgg"]
                    .contains { step.contains($0) }
                    || ["Unique", "Group", "Limit"].contains { step.hasPrefix($0) }
            }.count
        writes = steps.contains { step in
            ["Insert on ", "Update on ", "Delete on ", "Merge on "].contains {
                step.hasPrefix($0)
            }
        }
    }
}
