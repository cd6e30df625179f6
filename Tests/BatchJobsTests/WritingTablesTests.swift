// SPDX-License-Identifier: Apache-2.0

import BatchJobs
import ChangeModel
import LibPQ
import Settings
import Support
import Testing

@Suite struct WritingTablesTests {
    private static let modes = [Job.PostgreSQLWriter.Mode.insert, .copy]

    @Test func `tables and columns are found as SQL writes them, then by their exact spelling`()
        async throws
    {
        let definition = """
            CREATE SCHEMA "Sales"; CREATE TABLE "Sales"."Order Items" ("123Test" int, "user" int, "Mixed" int);
            CREATE TABLE orders (id int, "Id" int); CREATE TABLE "Orders" (id int);
            CREATE TABLE "My.Table" (id int);
            """
        try await WritingServer.run(definition) { target throws in
            for name in ["Sales.Order Items", "\"Sales\".\"Order Items\""] {
                let columns = ["\"123Test\"", "user", "Mixed"]
                #expect(try target.write([["1", "2", "3"]], step(name, columns)).written == 1)
            }
            #expect(try target.rows("SELECT * FROM \"Sales\".\"Order Items\"") == "1|2|3\n1|2|3")
            #expect(try target.write([["1", "2"]], step("Orders", ["ID", "Id"])).written == 1)
            #expect(try target.rows("SELECT * FROM orders") == "1|2")
            #expect(try target.write([["3"]], step("\"Orders\"", ["id"])).written == 1)
            #expect(
                try target.write(
                    [["4"]],
                    step("My.Table") { $0.preSQL = ["INSERT INTO @table VALUES (5)"] }
                ).written == 1
            )
            #expect(try target.rows("SELECT id FROM \"My.Table\" ORDER BY id") == "4\n5")
        }
    }

    @Test func `what the document has wrong is told with what is near`() async throws {
        let definition = """
            CREATE TABLE orders (id int, total int GENERATED ALWAYS AS IDENTITY, v text);
            CREATE MATERIALIZED VIEW m AS SELECT 1 AS id;
            CREATE ROLE reader LOGIN; GRANT SELECT ON orders TO reader;
            """
        try await WritingServer.run(definition, version: .v13) { target throws in
            func failure(_ step: Job.PostgreSQLWriter, width: Int = 1) throws -> WalrelayError {
                let row = [String?](repeating: "1", count: width)
                return try #require(try target.failure([row], step))
            }
            var error = try failure(step("order"))
            #expect(error.code == "job.table_missing")
            #expect(error.message.contains("did you mean orders?"))
            error = try failure(step("orders", ["totl"]))
            #expect(error.code == "job.column_missing")
            #expect(error.message.contains("did you mean total?"))
            #expect(try failure(step("orders", ["*"])).code == "job.columns_unequal")
            #expect(
                try failure(step("orders", ["id", "ID"]), width: 2).code == "job.column_repeated"
            )
            #expect(try failure(step("m", ["*"])).code == "job.table_unfit")
            #expect(
                try failure(step("orders", ["id", "v"], .upsert, key: ["id"]), width: 2).hint
                    == "CREATE UNIQUE INDEX ON \"public\".\"orders\" (\"id\");"
            )
            #expect(
                try failure(step("orders", ["id"], .update, key: ["id"])).code == "job.unique_key"
            )
            #expect(
                try failure(step("orders", ["v"], .update, key: ["id"])).code == "job.unique_key"
            )
            #expect(
                try failure(step("orders", ["id", "total"], .update, key: ["id"]), width: 2).code
                    == "job.column_generated"
            )
            let records = [WritingFixture.record(["1"])]
            for mode in Self.modes {
                let denied = #expect(throws: WalrelayError.self) {
                    _ = try target.write(records, step("orders", ["id"], mode), user: "reader")
                }
                #expect(denied?.code == "job.permission_denied")
                #expect(denied?.exit == .prerequisite)
            }
            let refused = #expect(throws: WalrelayError.self) {
                _ = try target.write(records, step("orders", ["id"]), user: "nobody")
            }
            #expect(refused?.code == "job.login_refused")
        }
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `partitions, identities, computed columns and views are written`(
        version: PostgresVersion
    ) async throws {
        let computed = version >= .v13 ? "bigint GENERATED ALWAYS AS (a * 2) STORED" : "bigint"
        let definition = """
            CREATE TABLE parts (a int, b text) PARTITION BY LIST (b);
            CREATE TABLE parts_x PARTITION OF parts FOR VALUES IN ('x');
            CREATE TABLE ids (id int GENERATED ALWAYS AS IDENTITY, k int PRIMARY KEY, v text);
            CREATE TABLE twice (a int, b \(computed), c int);
            CREATE VIEW seen AS SELECT a, b FROM parts;
            CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO parts VALUES (NEW.a + 100, NEW.b); RETURN NEW; END $$;
            CREATE TRIGGER keep INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE PROCEDURE keep();
            """
        try await WritingServer.run(definition, version: version) { target throws in
            for mode in Self.modes {
                let parts = try target.write(
                    [["1", "x"], ["2", "y"], ["3", "x"]],
                    step("parts", ["*"], mode)
                )
                #expect(parts.dirtyKeys == ["2"])
                #expect(parts.dirty.first?.sqlState == "23514")
                #expect(
                    try target.write(
                        [["7", "70", "z"]].map { $0.map(Optional.some) },
                        step("ids", ["id", "k", "v"], mode)
                    ).written
                        == 1
                )
                try target.rows("DELETE FROM ids")
                #expect(try target.write([["1", "x"]], step("seen", ["*"], mode)).written == 1)
            }
            #expect(try target.rows("SELECT a FROM parts ORDER BY a") == "1\n1\n3\n3\n101\n101")
            for value in ["u", "w"] {
                let upsert = step("ids", ["*"], .upsert, key: ["k"])
                #expect(try target.write([["8", "80", value]], upsert).dirty == [])
            }
            #expect(try target.rows("SELECT * FROM ids") == "8|80|w")
            guard version >= .v13 else { return }
            for mode in Self.modes {
                #expect(try target.write([["4", "5"]], step("twice", ["*"], mode)).written == 1)
            }
            #expect(try target.rows("SELECT DISTINCT a, b, c FROM twice") == "4|8|5")
            #expect(
                try target.failure([["4"]], step("twice", ["b"]))?.code == "job.column_generated"
            )
        }
    }

    @Test(arguments: modes)
    func `constraints that are checked at the end leave out the rows that break them`(
        mode: Job.PostgreSQLWriter.Mode
    ) async throws {
        let definition = """
            CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1), (2);
            CREATE TABLE t (id int, parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)
            """
        try await WritingServer.run(definition) { target throws in
            let rows: [[String?]] = (1...2_000).map {
                ["\($0)", $0 % 700 == 0 ? "3" : "\($0 % 2 + 1)"]
            }
            let result = try target.write(rows, step("t", ["id", "parent"], mode))
            #expect(result.dirtyKeys == ["700", "1400"])
            #expect(result.dirty.allSatisfy { $0.sqlState == "23503" })
            #expect(try target.rows("SELECT count(*) FROM t") == "1998")
        }
    }

    @Test(arguments: modes)
    func `a trigger that refuses a row makes it dirty, one that keeps it back does not`(
        mode: Job.PostgreSQLWriter.Mode
    ) async throws {
        let definition = """
            CREATE TABLE t (id int, v text);
            CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.v = 'bad' THEN RAISE EXCEPTION 'no % here', NEW.id; END IF;
                IF NEW.v = 'none' THEN RETURN NULL; END IF;
                RAISE NOTICE 'took %', NEW.id; RETURN NEW; END $$;
            CREATE TRIGGER judge BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION judge();
            """
        try await WritingServer.run(definition) { target throws in
            let rows: [[String?]] = (1...3_000).map {
                ["\($0)", $0 == 1_500 ? "bad" : $0 == 1_501 ? "none" : "good"]
            }
            let result = try target.write(rows, step("t", ["*"], mode))
            #expect(result.dirty.map(\.reason) == ["no 1500 here"])
            #expect(result.dirty.map(\.sqlState) == ["P0001"])
            #expect(result.written == 2_998)
            #expect(try target.rows("SELECT count(*), min(id), max(id) FROM t") == "2998|1|3000")
        }
    }
}
