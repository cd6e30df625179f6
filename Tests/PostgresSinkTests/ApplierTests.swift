// SPDX-License-Identifier: Apache-2.0
//
// Changes of every kind against a real server: what stands in the tables afterwards, and what was
// counted.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

struct ApplierTests {
    private static let items = "CREATE TABLE items (id int PRIMARY KEY, a int, note text)"
    private static let all = "SELECT * FROM items ORDER BY 1, 2, 3"

    @Test func `inserts, updates and deletes of a table with a key`() async throws {
        let (rows, counts) = try await ApplyServer.run(Self.items) { target in
            let items = try target.table("items", key: ["id"])
            var history = History(items)
            for id in 1...20 { history.insert(["\(id)", nil, "n\(id)"]) }
            try target.apply(history)
            history = History(items)
            history.update(["1", "10", "new"])
            history.update(["2", "20", .unchanged])
            history.update(["30", "3", "moved"], key: ["3", .absent, .absent])
            history.delete(key: ["4", .absent, .absent])
            history.insert(["21", "1", ""])
            history.update(["21", "2", .unchanged])
            history.begin()
            history.delete(key: ["5", .absent, .absent])
            history.insert(["5", nil, "again"])
            history.insert(["22", nil, "gone"])
            history.delete(key: ["22", .absent, .absent])
            try target.apply(history)
            let rows = try target.rows("\(Self.all.prefix(19)) WHERE id < 7 OR id > 20 ORDER BY 1")
            return (rows, target.applier.counts)
        }
        #expect(
            rows == [
                "1|10|new", "2|20|n2", "5|null|again", "6|null|n6", "21|2|", "30|3|moved",
            ]
        )
        #expect(counts == ApplyCounts(inserted: 22, updated: 3, deleted: 2))
    }

    @Test func `a moved row keeps values that nobody sent`() async throws {
        let (rows, error) = try await ApplyServer.run(Self.items) { target in
            try target.connection.query("INSERT INTO items VALUES (1, 1, 'large'), (7, 7, 'stale')")
            let items = try target.table("items", key: ["id"])
            var history = History(items)
            history.update(["2", "5", .unchanged], key: ["1", .absent, .absent])
            history.update(["3", "6", .unchanged], key: ["2", .absent, .absent])
            try target.apply(history)
            history = History(items)
            history.update(["7", "6", .unchanged], key: ["3", .absent, .absent])
            try target.apply(history)
            history = History(items)
            history.update(["9", "9", .unchanged], key: ["8", .absent, .absent])
            return (try target.rows(Self.all), try target.failure(history))
        }
        #expect(rows == ["7|6|large"])
        #expect(error?.code == "sink.row_missing")
        #expect(error?.message.contains("the row (id)=(8) is not there") == true)
    }

    @Test func `what is on the target against expectation is merged, counted and said`()
        async throws
    {
        let (rows, counts, log) = try await ApplyServer.run(Self.items) { target in
            try target.connection.query("INSERT INTO items VALUES (1, 1, 'old'), (2, 2, 'kept')")
            let items = try target.table("items", key: ["id"])
            for _ in 0..<2 {
                var history = History(items)
                for id in 1...12 where id != 2 { history.insert(["\(id)", nil, "new"]) }
                history.update(["13", "13", "whole"])
                history.delete(key: ["14", .absent, .absent])
                try target.apply(history)
            }
            let rows = try target.rows("\(Self.all.prefix(19)) WHERE id < 3 OR id > 11 ORDER BY 1")
            return (rows, target.applier.counts, target.log.lines)
        }
        #expect(rows == ["1|null|new", "2|2|kept", "12|null|new", "13|13|whole"])
        #expect(counts.overwritten == 12)
        #expect(counts.restored == 1)
        #expect(counts.missed == 2)
        #expect(counts.inserted == 11)
        #expect(log.count == 3, "once a table each: \(log)")
    }

    @Test func `an update whose row is not there is a fault where it is not whole`() async throws {
        let (rows, error) = try await ApplyServer.run(Self.items) { target in
            let items = try target.table("items", key: ["id"])
            var history = History(items)
            for id in 1...50 { history.insert(["\(id)", nil, ""]) }
            history.update(["77", "1", .unchanged])
            let error = try target.failure(history)
            return (try target.rows(Self.all), error)
        }
        #expect(rows.isEmpty)
        #expect(error?.code == "sink.row_missing")
        #expect(error?.exit == .refused)
        #expect(error?.message.contains("items did not take an update at LSN 0/132") == true)
        #expect(error?.hint.contains("--repair") == true)
    }

    @Test func `tables without a key hold equal rows as often as the source`() async throws {
        let (rows, counts) = try await ApplyServer.run(
            "CREATE TABLE bag (a int, b text, c numeric, j json)"
        ) { target in
            let bag = try target.table("bag")
            let twin: [Held] = ["1", "x", "1.0", #"{"a": 1}"#]
            let other: [Held] = [nil, nil, "1.00", nil]
            var history = History(bag)
            for _ in 0..<5 { history.insert(twin) }
            for _ in 0..<3 { history.insert(other) }
            history.insert(["1", "x", "1.00", #"{"a": 1}"#])
            try target.apply(history)
            history = History(bag)
            history.delete(full: twin)
            history.delete(full: twin)
            history.update([nil, "", "1.00", nil], full: other)
            history.update(["1", "x", "2", .unchanged], full: twin)
            history.delete(full: ["9", nil, nil, nil])
            try target.apply(history)
            let query =
                "SELECT a, b, c::text, j::text, count(*) FROM bag GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3"
            return (try target.rows(query), target.applier.counts)
        }
        #expect(
            rows == [
                #"1|x|1.0|{"a": 1}|2"#, #"1|x|1.00|{"a": 1}|1"#, #"1|x|2|{"a": 1}|1"#,
                "null||1.00|null|1",
                "null|null|1.00|null|2",
            ]
        )
        #expect(counts.inserted == 11)
        #expect(counts.deleted == 4)
        #expect(counts.missed == 1)
    }

    @Test func `truncates tables that refer to each other, in their place`() async throws {
        let rows = try await ApplyServer.run(
            Self.items
                + "; CREATE TABLE parts (id int PRIMARY KEY, item int REFERENCES items, note text)"
        ) { target in
            let items = try target.table("items", key: ["id"])
            let parts = try target.table("parts", key: ["id"])
            var history = History(items, parts)
            history.insert(["1", nil, nil])
            history.insert(["1", "1", nil], into: 1)
            history.truncate(0, 1)
            history.insert(["2", nil, nil])
            history.insert(["5", "2", nil], into: 1)
            try target.apply(history)
            return try target.rows("SELECT id, (SELECT id FROM items) FROM parts")
        }
        #expect(rows == ["5|2"])
    }

    @Test func `a TRUNCATE that the target refuses stops with its reason`() async throws {
        let error = try await ApplyServer.run(
            Self.items + "; CREATE TABLE parts (item int REFERENCES items)"
        ) { target in
            var history = History(try target.table("items", key: ["id"]))
            history.truncate(0)
            return try target.failure(history)
        }
        #expect(error?.code == "sink.truncate_refused")
        #expect(error?.exit == .refused)
        #expect(error?.message.contains("SQLSTATE 0A000") == true)
    }

    @Test func `a table that gets a column changes in its place`() async throws {
        let rows = try await ApplyServer.run(Self.items) { target in
            let old = try target.table("items", key: ["id"])
            try target.connection.query("ALTER TABLE items ADD COLUMN more text DEFAULT 'd'")
            let new = try target.table("items", key: ["id"], version: 2)
            var history = History(old, new)
            for id in 1...12 { history.insert(["\(id)", nil, nil]) }
            history.update(["1", "5", "x", "y"], in: 1)
            history.insert(["13", nil, nil, nil], into: 1)
            history.delete(key: ["2", .absent, .absent, .absent], from: 1)
            try target.apply(history)
            return try target.rows("SELECT * FROM items WHERE id < 4 OR id > 12 ORDER BY id")
        }
        #expect(rows == ["1|5|x|y", "3|null|null|d", "13|null|null|null"])
    }

    @Test func `only the range is applied`() async throws {
        let rows = try await ApplyServer.run(Self.items) { target in
            var history = History(try target.table("items", key: ["id"]))
            for id in 1...6 { history.insert(["\(id)", nil, nil]) }
            try target.apply(history, 2..<4)
            try target.apply(history, 4..<4)
            return try target.rows("SELECT id FROM items ORDER BY 1")
        }
        #expect(rows == ["3", "4"])
    }

    @Test func `foreign keys that the target checks are satisfied in the source's order`()
        async throws
    {
        let rows = try await ApplyServer.run(
            Self.items
                + "; CREATE TABLE parts (id int PRIMARY KEY, item int REFERENCES items, note text)"
        ) { target in
            let items = try target.table("items", key: ["id"])
            let parts = try target.table("parts", key: ["id"])
            var history = History(items, parts)
            history.insert(["1", nil, nil])
            history.insert(["1", "1", nil], into: 1)
            try target.apply(history)
            history = History(items, parts)
            history.insert(["2", "1", nil], into: 1)
            history.insert(["2", nil, nil])
            history.insert(["3", "2", nil], into: 1)
            history.update(["1", "2", nil], in: 1)
            history.update(["2", "2", nil], in: 1)
            history.delete(key: ["1", .absent, .absent])
            try target.apply(history)
            return try target.rows("SELECT id, item FROM parts ORDER BY 1")
        }
        #expect(rows == ["1|2", "2|2", "3|2"])
    }

    @Test func `a new session gets statements of its own`() async throws {
        let rows = try await ApplyServer.run(Self.items) { target in
            let items = try target.table("items", key: ["id"])
            for id in 1...3 {
                var history = History(items)
                history.insert(["\(id)", nil, nil])
                history.update(["1", "\(id)", nil])
                try target.apply(history)
                try target.connection.query("DEALLOCATE ALL")
                target.applier.forget()
            }
            return try target.rows(Self.all)
        }
        #expect(rows == ["1|3|null", "2|null|null", "3|null|null"])
    }

    @Test func `partitions are written through their table`() async throws {
        let rows = try await ApplyServer.run(
            "CREATE TABLE items (id int, a int, note text, PRIMARY KEY (id)) PARTITION BY HASH (id);"
                + "CREATE TABLE i0 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
                + "CREATE TABLE i1 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
                + "CREATE TABLE bag (a int, b int) PARTITION BY LIST (a);"
                + "CREATE TABLE b1 PARTITION OF bag FOR VALUES IN (1);"
                + "CREATE TABLE b2 PARTITION OF bag FOR VALUES IN (2)"
        ) { target in
            let items = try target.table("items", key: ["id"])
            let bag = try target.table("bag")
            var history = History(items, bag)
            for id in 1...20 { history.insert(["\(id)", "1", nil]) }
            for id in 1...20 { history.insert(["\(id % 2 + 1)", "7"], into: 1) }
            try target.apply(history)
            history = History(items, bag)
            for id in 1...20 { history.update(["\(id)", "2", .unchanged]) }
            for id in 6...20 { history.delete(key: ["\(id)", .absent, .absent]) }
            history.update(["30", "3", .unchanged], key: ["5", .absent, .absent])
            history.insert(["1", "1", "again"])
            for _ in 1...9 { history.delete(full: ["1", "7"], from: 1) }
            try target.apply(history)
            return try target.rows(
                "SELECT count(*), sum(a), sum(id), (SELECT count(*) FROM b1),"
                    + " (SELECT count(*) FROM b2) FROM items"
            )
        }
        #expect(rows == ["5|10|40|1|10"])
    }
}
