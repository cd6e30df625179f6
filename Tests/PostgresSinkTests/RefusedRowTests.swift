// SPDX-License-Identifier: Apache-2.0
//
// Rows that the target does not take: the one at fault is found among thousands and named, or set
// aside; and histories that only work in the source's order.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

struct RefusedRowTests {
    private static let items = """
        CREATE TABLE items (id int PRIMARY KEY, code varchar(5) UNIQUE, n int CHECK (n < 1000))
        """

    @Test func `unique values that move between rows are applied in order`() async throws {
        let (rows, counts) = try await ApplyServer.run(Self.items) { target in
            try target.connection.query(
                "INSERT INTO items SELECT g, 'c' || g, 0 FROM generate_series(1, 40) g"
            )
            let items = try target.table("items", key: ["id"])
            var history = History(items)
            for id in 1...9 { history.update(["\(id)", "c\(id)", "\(id)"]) }
            history.update(["1", "tmp", "1"])
            history.update(["2", "c1", "2"])
            history.update(["1", "c2", "1"])
            history.delete(key: ["3", .absent, .absent])
            history.insert(["50", "c3", "5"])
            history.update(["50", "c3x", "5"])
            history.insert(["51", "c3", "6"])
            for id in 10...40 { history.update(["\(id)", "c\(id)", "\(id)"]) }
            try target.apply(history)
            return (
                try target.rows("SELECT * FROM items WHERE id < 5 OR id > 39 ORDER BY id"),
                target.applier.counts
            )
        }
        #expect(rows == ["1|c2|1", "2|c1|2", "4|c4|4", "40|c40|40", "50|c3x|5", "51|c3|6"])
        #expect(counts.splitRuns == 1)
        #expect(counts.overwritten == 0)
        #expect(counts.deadLetters == 0)
    }

    @Test(
        arguments: [
            (["77", "other", "5000"], "23514", "items_n_check"),
            (["77", "c60", "1"], "23505", "items_code_key"),
            (["77", "toolong", "1"], "22001", "character varying(5)"),
            (["77", "x", "9999999999"], "22003", "out of range"),
            (["77", "x", "no"], "22P02", "invalid input syntax"),
            ([nil, "x", "1"], "23502", "null value in column \"id\""),
        ] as [([String?], String, String)]
    )
    func `one bad row among thousands stops with its name and nothing applied`(
        row: [String?],
        sqlState: String,
        words: String
    ) async throws {
        let tuple = row.map { Held($0) }
        let (error, rows) = try await ApplyServer.run(Self.items) { target in
            let items = try target.table("items", key: ["id"])
            var history = History(items)
            for id in 1...1_500 where id != 77 { history.insert(["\(id)", "c\(id)", "0"]) }
            history.begin()
            history.insert(tuple)
            history.begin()
            for id in 1_501...3_000 { history.insert(["\(id)", "c\(id)", "0"]) }
            for id in 1...50 where id != 77 { history.delete(key: ["\(id)", .absent, .absent]) }
            return (try target.failure(history), try target.rows("SELECT * FROM items"))
        }
        let message = try #require(error).message
        #expect(error?.code == "sink.row_refused")
        #expect(error?.exit == .refused)
        #expect(message.contains("items did not take an insert at LSN 0/6DB"))
        #expect(message.contains("transaction 702, committed at 0/2000"))
        #expect(message.contains("(id)=(\(row[0] ?? "NULL"))"))
        #expect(message.contains("SQLSTATE \(sqlState)"))
        #expect(message.contains(words))
        #expect(error?.hint.contains("deadLetter") == true)
        #expect(rows.isEmpty)
    }

    @Test func `dead letters hold what was refused, and all else is applied`() async throws {
        let (rows, letters, counts, log) = try await ApplyServer.run(
            Self.items + "; " + ApplyServer.deadLetterTable,
            onRowError: .deadLetter
        ) { target in
            try target.connection.query("INSERT INTO items VALUES (1, 'a', 0), (2, 'b', 0)")
            let items = try target.table("items", key: ["id"])
            var history = History(items)
            for id in 10...200 { history.insert(["\(id)", "c\(id)", "0"]) }
            history.update(["1", "b", "1"])
            history.insert(["3", "é\n", "1000"])
            history.update(["4", .unchanged, "1"])
            history.begin()
            history.update(["2", "z", "2"])
            history.update(["1", "b", "2"])
            for id in 10...200 { history.delete(key: ["\(id)", .absent, .absent]) }
            try target.apply(history)
            let letters = try target.rows(
                "SELECT task, lsn, commit_lsn, ordinal, xid, table_name, op, sqlstate, reason"
                    + " FROM walrelay.dead_letter WHERE schema_name = '\(target.schema)' ORDER BY lsn"
            )
            let events = try target.rows(
                "SELECT event::jsonb #>> '{after,code}', event::jsonb #>> '{source,table}'"
                    + " FROM walrelay.dead_letter WHERE schema_name = '\(target.schema)' ORDER BY lsn"
            )
            return (
                try target.rows("SELECT * FROM items ORDER BY id"),
                letters + events,
                target.applier.counts,
                target.log.lines
            )
        }
        #expect(rows == ["1|b|2", "2|z|2"])
        try #require(letters.count == 6)
        #expect(
            letters[0].hasPrefix("orders|0/1BF|0/1000|192|701|items|update|23505|the row (id)=(1)")
        )
        #expect(
            letters[1].hasPrefix("orders|0/1C0|0/1000|193|701|items|insert|23514|the row (id)=(3)")
        )
        #expect(letters[2].hasPrefix("orders|0/1C1|0/1000|194|701|items|update||the row (id)=(4)"))
        #expect(letters[3] == "b|items")
        #expect(letters[4] == "é\n|items")
        #expect(letters[5] == "__debezium_unavailable_value|items")
        #expect(counts.deadLetters == 3)
        #expect(log.count == 1, "\(log)")
    }

    @Test func `what no row is to blame for stops at once, dead letters or not`() async throws {
        let error = try await ApplyServer.run(Self.items, onRowError: .deadLetter) { target in
            let items = try target.table("items", key: ["id"])
            try target.connection.query("ALTER TABLE items DROP COLUMN n")
            var history = History(items)
            for id in 1...20 { history.insert(["\(id)", "c\(id)", "0"]) }
            return try target.failure(history)
        }
        #expect(error?.code == "sink.table_refused")
        #expect(error?.exit == .refused)
        #expect(error?.message.contains("items from LSN 0/100 on") == true)
        #expect(error?.message.contains("SQLSTATE 42703") == true)
    }

    @Test func `a transient error leaves as it came`() async throws {
        let state = try await ApplyServer.run(
            Self.items + "; CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS"
                + " $$BEGIN RAISE EXCEPTION 'try again' USING ERRCODE = '40001'; END$$;"
                + " CREATE TRIGGER t BEFORE INSERT ON items EXECUTE FUNCTION trouble()",
            onRowError: .deadLetter
        ) { target in
            var history = History(try target.table("items", key: ["id"]))
            for id in 1...20 { history.insert(["\(id)", "c\(id)", "0"]) }
            do {
                try target.apply(history)
                return ""
            } catch let error as PostgresError {
                return error.sqlState
            }
        }
        #expect(state == "40001")
    }

    @Test func `a change whose key was not sent is refused by name`() async throws {
        let errors = try await ApplyServer.run(Self.items) { target in
            let items = try target.table("items", key: ["id"])
            var byKey = History(items)
            byKey.update([.absent, "x", "1"])
            var byImage = History(try target.table("items"))
            byImage.update(["1", "x", "1"])
            return [try target.failure(byKey), try target.failure(byImage)]
        }
        #expect(errors.map { $0?.code } == ["sink.key_not_sent", "sink.key_not_sent"])
        #expect(
            errors[1]?.hint.contains("ALTER TABLE \"shop\".\"items\" REPLICA IDENTITY FULL") == true
        )
    }

    @Test func `an identity column that is always generated takes the source's number`()
        async throws
    {
        let rows = try await ApplyServer.run(
            "CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int)"
        ) { target in
            let items = try target.table("items", key: ["id"])
            for count in [3, 30, 40] {
                var history = History(items)
                for id in 1...count { history.insert(["\(id)", "\(count)"]) }
                try target.apply(history)
            }
            return try target.rows("SELECT a, count(*) FROM items GROUP BY 1")
        }
        #expect(rows == ["40|40"])
    }
}
