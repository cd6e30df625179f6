// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Settings
import Support
import Testing

@testable import BatchJobs

struct ReadingTests {
    @Test func `a table is read with its columns in the job's order`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE t (id int, "table" text, "123Test" text, a int);
            INSERT INTO t VALUES (1, 'x', E'tab\\there', 5), (2, NULL, '', 6), (3, 'z', 'q', 7);
            """
        )
        let records = try cluster.read(
            table: "T",
            columns: [
                "\"123Test\"", "table", "ID", "1", "'mingya.wmy'", "'null'", "2.3", "true", "null",
                "to_char(a + 1, '99') -- comment", "a AS b",
            ],
            where: "id < 3 OR false -- comment"
        )
        #expect(
            records.sorted == [
                "\t\\N\t2\t1\tmingya.wmy\tnull\t2.3\tt\t\\N\t  7\t6",
                "tab\\there\tx\t1\t1\tmingya.wmy\tnull\t2.3\tt\t\\N\t  6\t5",
            ]
        )
        #expect(records.shape.columns.map(\.name).prefix(3) == ["123Test", "table", "id"])
        #expect(records.shape.columns[2].typeName == "integer")
        let all = try cluster.read(table: "t", columns: ["*", "id"])
        #expect(all.shape.columns.map(\.name) == ["id", "table", "123Test", "a", "id"])
        #expect(all.lines.count == 3)
        let plain = try cluster.read(table: "t")
        #expect(
            plain.plan.last
                == #"slice 1: COPY "public"."t" ("id", "table", "123Test", "a") TO STDOUT"#
        )
    }

    @Test func `a query overrides all and may end in a semicolon`() async throws {
        let cluster = try await PostgresCluster.start()
        let records = try cluster.read(
            .queries(["SELECT 1 AS a, ';' AS b ; -- the end; really", "VALUES (2, 'x')\n;;"]),
            channels: 4
        )
        #expect(records.lines == ["1\t;", "2\tx"])
        #expect(records.counts == [1, 1])
        let cursor = try cluster.read(
            .queries(["SELECT i, NULL, E'a\\\\b\\tc' FROM generate_series(1, 10) i"]),
            fetchSize: 3
        )
        #expect(cursor.lines.count == 10)
        #expect(cursor.lines[9] == "10\t\\N\ta\\\\b\\tc")
    }

    @Test(arguments: ["int", "uuid", "text", "timestamp"])
    func `slices by a key hold each row once, NULL keys too`(_ type: String) async throws {
        let cluster = try await PostgresCluster.start()
        let value =
            switch type {
            case "int": "(i * 7919) % 100003"
            case "uuid": "md5(i::text)::uuid"
            case "text": "md5(i::text)"
            default: "'2024-01-01'::timestamp + i * interval '1 hour'"
            }
        try cluster.psql(
            """
            CREATE TABLE t (k \(type), v int);
            INSERT INTO t SELECT \(value), i FROM generate_series(1, 20000) i;
            INSERT INTO t SELECT NULL, i FROM generate_series(20001, 20100) i;
            CREATE INDEX ON t (k); ANALYZE t;
            """
        )
        let whole = try cluster.read(table: "t")
        let records = try cluster.read(table: "t", splitPk: "K", channels: 4)
        #expect(records.sorted == whole.sorted)
        #expect(records.counts.count == 17)
        #expect(records.counts.prefix(16).allSatisfy { (1000...1500).contains($0) })
        #expect(records.counts.last == 100)
    }

    @Test func `without a key a table is divided by its pages`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE t AS SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i;
            """
        )
        let whole = try cluster.read(table: "t")
        let records = try cluster.read(table: "t", channels: 4)
        #expect(records.sorted == whole.sorted)
        #expect(records.counts.count == 16)
        #expect(records.counts.allSatisfy { $0 > 500 })
    }

    @Test func `what is not there is told with what is near`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE orders (id int, amount numeric)")
        let table = refusal { _ = try cluster.read(table: "ordres") }
        #expect(table?.code == "job.table_missing")
        #expect(table?.exit == .settings)
        #expect(table?.hint == "did you mean \"orders\"?")
        let column = refusal { _ = try cluster.read(table: "orders", columns: ["id", "amuont"]) }
        #expect(column?.code == "job.column_missing")
        #expect(column?.hint == "did you mean \"amount\"?")
        let key = refusal { _ = try cluster.read(table: "orders", splitPk: "idd") }
        #expect(key?.code == "job.column_missing")
        let query = refusal { _ = try cluster.read(.queries(["SELECT id\nFORM orders"])) }
        #expect(query?.code == "job.sql")
        #expect(query?.exit == .settings)
        #expect(
            query?.message.hasSuffix("\n  FORM orders\n       ^") == true,
            "\(query?.message ?? "")"
        )
        let condition = refusal {
            _ = try cluster.read(table: "orders", where: "id = 1) OR (id = 2")
        }
        #expect(condition?.code == "job.sql")
    }
}
