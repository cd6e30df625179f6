// SPDX-License-Identifier: Apache-2.0
//
// Somebody who may make objects in a schema of the search path makes operators and functions that
// fit our statements better than the server's own (CVE-2018-1058). None of them is ever run: each
// writes into the server's log when it is, and one that is called by hand shows that they would.
import Foundation
import Support
import Testing

@Suite struct LookAlikeTests {
    /// Whatever of these types has no operator of its own in pg_catalog gets one in public.
    private static let types = [
        "name", "text", "varchar", "oid", "regclass", "regnamespace", "int2", "int4", "int8",
        "float8", "numeric", "\"char\"", "int2[]", "text[]",
    ]

    private static var traps: String {
        """
        -- They would spring for those who set them.
        SET search_path = pg_catalog;
        DO $$
        DECLARE l text; r text; o text; result text;
        BEGIN
            FOREACH l IN ARRAY ARRAY[\(types.map { "'\($0)'" }.joined(separator: ", "))] LOOP
                FOREACH r IN ARRAY ARRAY[\(types.map { "'\($0)'" }.joined(separator: ", "))] LOOP
                    FOREACH result IN ARRAY ARRAY['bool', 'text', 'int8'] LOOP
                        EXECUTE format('CREATE FUNCTION public.trap_%s(%s, %s) RETURNS %s LANGUAGE '
                            'plpgsql AS %L', result, l, r, result,
                            'BEGIN RAISE LOG ''TRAPPED''; RETURN NULL; END');
                    END LOOP;
                    FOREACH o IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>=', '~', '!~', '~~', '||',
                            '+', '-', '*', '/', '%'] LOOP
                        CONTINUE WHEN EXISTS (SELECT FROM pg_operator WHERE oprname = o
                            AND oprleft = l::regtype AND oprright = r::regtype);
                        result := CASE WHEN o = '||' THEN 'text' WHEN o ~ '^[-+*/%]$' THEN 'int8'
                            ELSE 'bool' END;
                        EXECUTE format('CREATE OPERATOR public.%s (PROCEDURE = public.trap_%s, '
                            'LEFTARG = %s, RIGHTARG = %s)', o, result, l, r);
                    END LOOP;
                END LOOP;
            END LOOP;
            FOREACH o IN ARRAY ARRAY['quote_ident(name)', 'length(name)', 'left(name, int)',
                'concat(name, text, name)', 'format(text, name)', 'md5(varchar)', 'min(name)',
                'to_regclass(name)', 'substr(name, int)', 'has_table_privilege(oid, name)',
                'count(int)', 'octet_length(varchar)', 'pg_relation_size(oid)', 'lower(varchar)'] LOOP
                EXECUTE format('CREATE FUNCTION public.%s RETURNS text LANGUAGE plpgsql AS %L', o,
                    'BEGIN RAISE LOG ''TRAPPED''; RETURN NULL; END');
            END LOOP;
        END $$;
        RESET search_path;
        """
    }

    /// How often a trap was run on the server so far.
    private static func count(_ cluster: PostgresCluster) -> Int {
        cluster.log(lastBytes: 1 << 20).matches(of: #/TRAPPED/#).count
    }

    /// Has one run, as whoever looks things up in public does.
    private static func expectSharp(_ cluster: PostgresCluster, _ database: String) async throws {
        _ = try await onThread {
            try cluster.psql(
                "SET search_path = public; "
                    + "SELECT 'a'::varchar = 'a'::varchar, 'a'::name || 'b'::name, 1::oid = 1",
                database: database
            )
        }
        try await eventually("three traps were run by hand") { count(cluster) == 3 }
    }

    @Test(.timeLimit(.minutes(2)))
    func `a task runs no operator and no function but the server's`() async throws {
        let shop = try await HardenedShop(.v15)
        for database in [HardenedShop.source, HardenedShop.target] {
            try await shop.sql(
                "GRANT ALL ON SCHEMA public TO PUBLIC; \(Self.traps)\n"
                    + "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC",
                in: database
            )
        }
        try await shop.sql("CREATE TABLE sales.codes (code varchar(9) PRIMARY KEY, n name)")
        try await shop.sql(
            """
            ALTER TABLE sales.codes OWNER TO shop_owner;
            INSERT INTO sales.codes SELECT n, n FROM generate_series(1, 99) n
            """
        )
        try await shop.grant("grants-source")
        try await shop.grant("publication-by-walrelay")
        try await shop.grant("grants-target", in: HardenedShop.target)
        try await Self.expectSharp(shop.cluster, HardenedShop.source)
        // The application of this test minds its path.
        try await shop.sql("ALTER ROLE postgres SET search_path = pg_catalog")
        let daemon = try await shop.startStreaming()
        try await shop.write(1)
        try await shop.sql(
            "UPDATE sales.codes SET n = 'x' WHERE code > '5'; DELETE FROM sales.codes WHERE code = '7'"
        )
        #expect(try await daemon.stop() == .code(0))
        #expect(try await shop.run("run", options: ["--until", "now"]).status == .code(0))
        try await shop.sql("DELETE FROM sales.codes WHERE code = '9'", in: HardenedShop.target)
        #expect(try await shop.run("verify").status == .code(65))
        #expect(try await shop.run("verify", options: ["--repair"]).status == .code(0))
        #expect(try await shop.run("check").status == .code(0))
        #expect(try await shop.run("slots", "list").status == .code(0))
        #expect(try await shop.run("teardown", options: ["--yes"]).status == .code(0))
        #expect(Self.count(shop.cluster) == 3, "\(shop.cluster.log(lastBytes: 3_000))")
    }

    @Test(.timeLimit(.minutes(2)), arguments: LeastPrivilegeTests.versions)
    func `a job runs of its own no operator and no function but the server's`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        let table = "CREATE TABLE t (code varchar(9) PRIMARY KEY, n name, v numeric)"
        let task = try await BatchTask(
            "traps",
            source: cluster,
            sql: "\(table); INSERT INTO t SELECT n, n, n FROM generate_series(1, 999) n; "
                + "ANALYZE t; \(Self.traps)",
            targetSQL: "\(table); \(Self.traps)"
        )
        try await Self.expectSharp(cluster, task.database)
        var document = BatchTask.Document()
        document.setting = #""errorLimit": { "record": "0" }, "speed": { "concurrent": 3 }"#
        document.reader = """
            "datasource": "source", "table": "t", "column": ["*"], "splitPk": "code"
            """
        for mode in ["insert", "upsert", "update", "copy"] {
            if mode == "copy" { try await task.target("TRUNCATE t") }
            document.writer = """
                "datasource": "target", "table": "t", "column": ["*"], "writeMode": "\(mode)"
                """
            if ["upsert", "update"].contains(mode) {
                document.writer += #", "uniqueKey": ["code"]"#
            }
            try await task.runWell(document)
            #expect(try await task.target("SELECT count(*) FROM t") == "999")
        }
        // What is missing is looked for by its nearest name.
        document.writer = #""datasource": "target", "table": "public.tt", "column": ["*"]"#
        #expect(try await task.run(document).text.contains("public.t"))
        document.reader = #""datasource": "source", "table": "public.tt", "column": ["*"]"#
        #expect(try await task.run(document).text.contains("public.t"))
        #expect(Self.count(cluster) == 3, "\(cluster.log(lastBytes: 3_000))")
    }
}
