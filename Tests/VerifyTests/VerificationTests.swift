// SPDX-License-Identifier: Apache-2.0
//
// What a comparison finds on real servers, and what a repair makes of it.

import ChangeModel
import LibPQ
import Replication
import Support
import Synchronization
import Testing

@testable import Verify

@Suite struct VerificationTests {
    private static let orders = """
        CREATE TABLE orders (id int PRIMARY KEY, note text, amount numeric(10,2));
        INSERT INTO orders SELECT g, CASE g % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'n' || g END,
            g / 7.0 FROM generate_series(1, 20000) g;
        ANALYZE orders;
        """

    @Test func `equal tables are equal, and the task is run where nobody does`() async throws {
        let pair = try await Pair(Self.orders)
        try pair.begin()
        let report = try await pair.verify()
        #expect(report.isEqual)
        #expect(try report.table("orders").rows == 20_000)
        #expect(pair.catchUps.load(ordering: .relaxed) == 1)
    }

    @Test func `each kind of difference is named, and mended`() async throws {
        let pair = try await Pair(Self.orders)
        try pair.begin()
        try pair.target.psql(
            """
            UPDATE orders SET amount = 0 WHERE id = 700;
            DELETE FROM orders WHERE id BETWEEN 5000 AND 5003;
            INSERT INTO orders VALUES (-5, 'x', 1), (30000, 'y', 2);
            UPDATE orders SET note = '' WHERE id = 9;
            """
        )
        let found = try await pair.verify().table("orders")
        #expect((found.missing, found.extra, found.changed) == (4, 2, 2))
        #expect(found.rows == 20_000)
        #expect(found.ranges.map(\.first) == ["-5", "9", "700", "5000", "30000"])
        #expect(found.ranges[3].last == "5003" && found.ranges[3].missing == 4)
        let mended = try await pair.verify(repairs: true)
        #expect(mended.isEqual)
        let counts = try mended.table("orders").mended
        #expect(counts?.inserted == 4 && counts?.deleted == 2 && counts?.replaced == 2)
        #expect(try pair.rowsAreEqual("orders"))
    }

    @Test func `rows without a key are compared and mended by their image`() async throws {
        let pair = try await Pair(
            """
            CREATE TABLE log (at int, what text);
            ALTER TABLE log REPLICA IDENTITY FULL;
            INSERT INTO log SELECT g % 100, 'x' || g % 10 FROM generate_series(1, 3000) g;
            """
        )
        try pair.begin()
        try pair.target.psql(
            """
            DELETE FROM log WHERE ctid IN (SELECT ctid FROM log WHERE at = 7 LIMIT 3);
            INSERT INTO log VALUES (1, NULL), (1, NULL), (2, 'x2');
            """
        )
        let found = try await pair.verify().table("log")
        #expect((found.missing, found.extra, found.changed) == (3, 3, 0))
        #expect(found.ranges.contains { $0.first == "(1,)" && $0.extra == 2 })
        #expect(try await pair.verify(repairs: true).isEqual)
        #expect(try pair.rowsAreEqual("log"))
    }

    @Test func `keys of several columns and of text are compared`() async throws {
        let pair = try await Pair(
            """
            CREATE TABLE words (lang char(3), word text COLLATE "C", n bigint, v text,
                PRIMARY KEY (lang, word, n));
            INSERT INTO words SELECT CASE g % 2 WHEN 0 THEN 'de' ELSE 'en' END,
                CASE g % 5 WHEN 0 THEN 'é' || g WHEN 1 THEN '' ELSE 'Z' || g END, g, 'v' || g
                FROM generate_series(1, 5000) g;
            CREATE TABLE uuids (id uuid PRIMARY KEY, v int);
            INSERT INTO uuids SELECT md5(g::text)::uuid, g FROM generate_series(1, 5000) g;
            ANALYZE;
            """
        )
        try pair.begin()
        try pair.target.psql(
            """
            UPDATE words SET v = 'other' WHERE n IN (11, 12);
            DELETE FROM words WHERE n = 15;
            UPDATE uuids SET v = -1 WHERE v = 77;
            INSERT INTO uuids VALUES ('00000000-0000-0000-0000-000000000001', 1);
            """
        )
        let report = try await pair.verify()
        let words = try report.table("words")
        #expect((words.missing, words.extra, words.changed) == (1, 0, 2))
        #expect(words.ranges.contains { $0.first == "(de ,Z12,12)" })
        let uuids = try report.table("uuids")
        #expect((uuids.missing, uuids.extra, uuids.changed) == (0, 1, 1))
        #expect(try await pair.verify(repairs: true).isEqual)
        #expect(try pair.rowsAreEqual("words"))
        #expect(try pair.rowsAreEqual("uuids"))
    }

    @Test func `only what is published is compared`() async throws {
        let pair = try await Pair(
            """
            CREATE TABLE a (id int PRIMARY KEY, secret text, v int);
            INSERT INTO a SELECT g, 's' || g, g % 10 FROM generate_series(1, 1000) g;
            """
        )
        let rule = TableRule(
            pattern: TablePattern(schema: .exact("public"), name: .exact("a")),
            columns: ["id", "v"],
            filter: "a.v < 5 -- few",
            target: nil
        )
        let selection = TableSelection(include: [rule])
        try pair.begin(selection)
        try pair.target.psql(
            """
            CREATE SCHEMA kept; ALTER TABLE a SET SCHEMA kept; ALTER TABLE kept.a RENAME TO b;
            ALTER TABLE kept.b DROP COLUMN secret; DELETE FROM kept.b WHERE v >= 5;
            """
        )
        let named: @Sendable (inout VerifyOptions) -> Void = { options in
            options.targetName = { _ in TableName(schema: "kept", name: "b") }
        }
        #expect(try await pair.verify(selection, change: named).isEqual)
        try pair.target.psql(
            "UPDATE kept.b SET v = v + 1 WHERE id = 1; DELETE FROM kept.b WHERE id = 2"
        )
        let found = try await pair.verify(selection, change: named).table("a")
        #expect((found.missing, found.extra, found.changed) == (1, 0, 1))
        #expect(try await pair.verify(selection, repairs: true, change: named).isEqual)
    }

    @Test func `a partitioned table is one table`() async throws {
        let pair = try await Pair(
            """
            CREATE TABLE m (id int, part int, v text, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
            CREATE TABLE m1 PARTITION OF m FOR VALUES IN (1);
            CREATE TABLE m2 PARTITION OF m FOR VALUES IN (2);
            INSERT INTO m SELECT g, 1 + g % 2, 'v' || g FROM generate_series(1, 3000) g;
            """
        )
        try pair.target.psql(
            """
            CREATE TABLE n (id int, part int, v text, PRIMARY KEY (id, part));
            INSERT INTO n SELECT * FROM m; DROP TABLE m; ALTER TABLE n RENAME TO m;
            """
        )
        try pair.begin()
        #expect(try await pair.verify().isEqual)
        try pair.target.psql(
            "DELETE FROM m WHERE id IN (10, 11); UPDATE m SET v = '' WHERE id = 12"
        )
        let found = try await pair.verify(repairs: true)
        #expect(found.isEqual)
        #expect(try found.table("m").mended?.count == 3)
    }
}
