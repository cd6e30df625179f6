// SPDX-License-Identifier: Apache-2.0
//
// The statements go through the key's index, also those that were planned while the table was
// empty; and a session never has more of them than it may.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

struct ApplyPlanTests {
    @Test func `statements that were planned on an empty table use the index of the key`()
        async throws
    {
        let plans = try await ApplyServer.run(
            "CREATE TABLE items (id int, part text, v text, PRIMARY KEY (id, part))"
        ) { target in
            let items = try target.table("items", key: ["id", "part"])
            try Self.work(on: target, items, from: 1)
            try target.connection.query(
                "INSERT INTO items SELECT g, 'a', 'z' FROM generate_series(1000, 200000) g"
            )
            try Self.work(on: target, items, from: 300_000)
            let statements = try target.connection.query(
                "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements"
                    + " WHERE name LIKE 'walrelay%'"
            )
            let planning = ApplyPlanning(serverVersion: target.connection.serverVersion)
            try target.connection.query("BEGIN; \(planning.byKey)")
            var plans: [String] = []
            for row in 0..<statements.count {
                let count = Int(statements.integer(row, 1) ?? 0)
                let nothing = [String](repeating: "'{}'", count: count).joined(separator: ", ")
                plans.append(
                    try target.rows(
                        "EXPLAIN (COSTS off) EXECUTE \(statements.text(row, 0))(\(nothing))"
                    ).joined(separator: "\n")
                )
            }
            try target.connection.query("COMMIT")
            return plans
        }
        #expect(plans.count >= 6)
        for plan in plans {
            #expect(!plan.contains("Seq Scan") && !plan.contains("Hash Join"), "\(plan)")
            #expect(
                plan.contains("using items_pkey") || plan.hasPrefix("Insert on items"),
                "\(plan)"
            )
        }
    }

    /// Every statement by key at least once.
    private static func work(
        on target: borrowing ApplyTarget,
        _ items: TargetTable,
        from first: Int
    ) throws {
        var history = History(items)
        for id in first..<(first + 20) { history.insert(["\(id)", "a", "x"]) }
        history.insert(["\(first)", "b", "x"])
        try target.apply(history)
        history = History(items)
        history.insert(["\(first)", "a", "again"])
        history.update(["\(first + 1)", "a", .unchanged])
        history.update(["\(first + 2)", "a", "y"])
        history.update(["\(first + 90)", "a", "whole"])
        history.update(
            ["\(first + 3)", "c", .unchanged],
            key: ["\(first + 3)", "a", .absent]
        )
        history.delete(key: ["\(first + 4)", "a", .absent])
        try target.apply(history)
    }

    @Test func `rows without a key are found in one pass over the table`() async throws {
        let plan = try await ApplyServer.run("CREATE TABLE bag (a int, b text)") { target in
            var history = History(try target.table("bag"))
            history.delete(full: ["1", nil])
            try target.apply(history)
            let planning = ApplyPlanning(serverVersion: target.connection.serverVersion)
            try target.connection.query("BEGIN; \(planning.byKey); \(ApplyPlanning.wholeTable)")
            let name = try target.rows("SELECT name FROM pg_prepared_statements")
            let plan = try target.rows("EXPLAIN (COSTS off) EXECUTE \(name[0])('{}', '{}', '{}')")
            try target.connection.query("COMMIT")
            return plan.joined(separator: "\n")
        }
        #expect(plan.contains("Hash Join"))
        #expect(plan.contains("Tid Scan"))
        #expect(!plan.contains("Nested Loop") && !plan.contains("Merge Join"))
    }

    @Test func `the statement that was not used for the longest time makes room`() async throws {
        let (names, count) = try await ApplyServer.run(
            "CREATE TABLE items (id int PRIMARY KEY, a int, b int, c int)"
        ) { target in
            let items = try target.table("items", key: ["id"])
            var cache = StatementCache(limit: 3)
            var names: [String] = []
            for kind in [.insert, .delete, .missing, .insert, .upsert, .insert, .delete]
                as [StatementKind]
            {
                names.append(
                    try cache.statement(kind, for: items, on: target.connection).name
                )
            }
            let count = try target.rows("SELECT count(*) FROM pg_prepared_statements")
            return (names, count + ["\(cache.count)"])
        }
        #expect(names[0] == names[3] && names[3] == names[5])
        #expect(names[1] != names[6], "the delete had to go for the upsert")
        #expect(count == ["3", "3"])
    }
}
