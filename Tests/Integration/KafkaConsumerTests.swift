// SPDX-License-Identifier: Apache-2.0
//
// The envelope as consumers of Debezium's JSON take it that are not ours: what they make of a
// topic is the source's table, after inserts, updates, deletes, changes of keys and of rows with
// TOASTed values.
import Foundation
import Support
import Testing

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)))
struct KafkaConsumerTests {
    private static let schema = #"""
        CREATE TABLE items (
            id int, part text, doc text, price numeric(10, 2), free numeric, day date,
            made timestamp, seen timestamptz, raw bytea, ok boolean, small smallint, big bigint,
            ratio real, tags text[], counts int[], code uuid, extra jsonb, PRIMARY KEY (id, part)
        );
        ALTER TABLE items ALTER doc SET STORAGE EXTERNAL;
        CREATE TABLE whole (LIKE items INCLUDING ALL);
        ALTER TABLE whole REPLICA IDENTITY FULL;
        """#

    /// For each table: rows that the snapshot reads.
    private static let rows = #"""
        INSERT INTO TABLE_NAME
        SELECT i, 'p', repeat('doc' || i, 1000), i + 0.25, i / 8.0, '2024-02-29'::date + i,
            '2024-02-29 12:34:56.123456'::timestamp + i * interval '1 day',
            '2024-02-29 12:34:56.5+02', decode('00ff' || i, 'hex'), i % 2 = 0, i, i * 1e15,
            i + 0.5, ARRAY['a"b', NULL, 'grüße ' || i], ARRAY[i, NULL], md5(i::text)::uuid,
            jsonb_build_object('n', i)
        FROM generate_series(10, 39) i;
        INSERT INTO TABLE_NAME (id, part) VALUES (40, 'nulls');
        """#

    /// For each table: what is streamed.
    private static let changes = #"""
        INSERT INTO TABLE_NAME (id, part, doc, price) VALUES (41, 'new', 'short', -0.01);
        UPDATE TABLE_NAME SET price = price * 2, tags = '{}' WHERE id < 15;
        UPDATE TABLE_NAME SET doc = repeat('again' || id, 900) WHERE id BETWEEN 13 AND 17;
        DELETE FROM TABLE_NAME WHERE id % 5 = 0 AND part = 'p';
        UPDATE TABLE_NAME SET id = id + 100, doc = 'moved' WHERE id IN (21, 22);
        BEGIN;
        UPDATE TABLE_NAME SET part = 'x', doc = 'away' WHERE id = 23;
        INSERT INTO TABLE_NAME (id, part, doc) VALUES (23, 'p', 'another');
        UPDATE TABLE_NAME SET ok = NOT ok WHERE id = 23;
        DELETE FROM TABLE_NAME WHERE id = 24;
        INSERT INTO TABLE_NAME (id, part, doc) VALUES (24, 'p', 'back');
        COMMIT;
        """#

    /// A task that has relayed all of it, first by its snapshot and then by its stream.
    private func task(_ name: String, kafka: [String], format: String) async throws -> KafkaTask {
        let task = try await KafkaTask.sharing(
            name,
            sql: Self.schema + statements(Self.rows),
            kafka: kafka,
            more: "format: \(format)"
        )
        try await task.runUntilNow()
        try await task.sql(statements(Self.changes))
        try await task.runUntilNow()
        return task
    }

    private func statements(_ template: String) -> String {
        ["items", "whole"].map { template.replacing("TABLE_NAME", with: $0) }.joined()
    }

    @Test(
        .enabled(if: ForeignReader.connect.isAvailable, "\(ForeignReader.connect.absence)"),
        arguments: [true, false]
    )
    func `Kafka Connect and Debezium make the source's tables`(hasTombstones: Bool) async throws {
        let task = try await task(
            hasTombstones ? "connect" : "connect_bare",
            kafka: ["schemas: true", "tombstones: \(hasTombstones)"],
            format: "{ decimals: precise, temporal: epoch }"
        )
        for table in ["items", "whole"] {
            let found = try await ForeignReader.connect.table(
                try await task.records("public.\(table)"),
                [hasTombstones ? "tombstone" : "rewrite"]
            )
            let expected = try await task.sql(
                """
                SELECT json_build_object(
                    'id', id, 'part', part, 'doc', \(document(in: table)), 'price', price,
                    'free', free, 'day', day - '1970-01-01'::date,
                    'made', (extract(epoch FROM made) * 1000000)::bigint,
                    'seen', CASE WHEN seen IS NOT NULL THEN '2024-02-29T10:34:56.5Z' END,
                    'raw', encode(raw, 'base64'), 'ok', ok, 'small', small, 'big', big,
                    'ratio', ratio, 'tags', tags, 'counts', counts, 'code', code,
                    'extra', extra::text)
                FROM \(table)
                """
            )
            let differences = try Self.differences(found, from: expected)
            #expect(differences == [], "\(table)")
        }
        try await task.end()
    }

    @Test(
        .enabled(if: ForeignReader.flink.isAvailable, "\(ForeignReader.flink.absence)"),
        arguments: [true, false]
    )
    func `Flink makes the source's table under FULL`(hasSchemas: Bool) async throws {
        let task = try await task(
            hasSchemas ? "flink_typed" : "flink",
            kafka: ["schemas: \(hasSchemas)"],
            format: "{ temporal: iso }"
        )
        let columns = "id INT, part STRING, doc STRING, price DECIMAL, ok BOOLEAN"
        let found = try await ForeignReader.flink.table(
            try await task.records("public.whole"),
            [hasSchemas ? "schemas" : "plain", "2", columns + ", seen TIMESTAMP_LTZ, code STRING"]
        )
        let expected = try await task.sql(
            """
            SELECT concat_ws('|', id, part, coalesce(doc, 'null'), coalesce(price::text, 'null'),
                coalesce(CASE WHEN ok THEN 'true' WHEN NOT ok THEN 'false' END, 'null'),
                CASE WHEN seen IS NULL THEN 'null' ELSE '2024-02-29T10:34:56.500' END,
                coalesce(code::text, 'null'))
            FROM whole
            """
        )
        let rows = expected.split(separator: "\n").map(String.init)
        #expect(rows.count == 27)
        #expect(Set(found).symmetricDifference(rows) == [])
        #expect(found.count == rows.count)
        try await task.end()
    }

    /// What a reader has for `doc`: under DEFAULT nobody sends a large value that an update has
    /// left as it was, and these readers have no earlier one to take it from.
    private func document(in table: String) -> String {
        table == "whole"
            ? "doc"
            : "CASE WHEN id < 13 THEN '__debezium_unavailable_value' ELSE doc END"
    }

    /// What two lists of JSON objects differ in, whatever their order.
    private static func differences(
        _ found: [String],
        from expected: String
    ) throws -> [String] {
        func rows(_ lines: [String]) throws -> Set<NSDictionary> {
            var rows: Set<NSDictionary> = []
            for line in lines {
                var row =
                    try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
                // What `rewrite` says of a row besides.
                row["__deleted"] = nil
                rows.insert(row as NSDictionary)
            }
            return rows
        }
        let lines = expected.split(separator: "\n").map(String.init)
        let (left, right) = (try rows(found), try rows(lines))
        let count = found.count == lines.count ? [] : ["\(found.count) rows, not \(lines.count)"]
        return count + left.subtracting(right).map { "not in the source: \($0)" }
            + right.subtracting(left).map { "not in the topic: \($0)" }
    }
}
