// SPDX-License-Identifier: Apache-2.0
//
// Columns that the source adds, and what the rows that were there have in them on both sides.

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@testable import PostgresSink

@Suite struct AddedColumnsTests {
    static let commit = LSN(0x1234)

    /// Adds what the target lacks of `public.t`, within a transaction that is committed.
    static func add(
        _ servers: TableServers,
        as user: String = "postgres",
        relation given: Relation? = nil,
        known: [TypeEntry] = []
    ) async throws -> [String] {
        try await servers.connected(as: user) { source, target in
            let selection = TableSelection.publicTables
            let relation = try given ?? relation(on: source)
            let added = AddedColumns(naming: TableNaming(selection: selection), known: known)
            try target.query("BEGIN")
            let notices = try added.add(to: relation, at: commit, source: source, target: target)
            try target.query("COMMIT")
            return notices
        }
    }

    static func relation(on source: borrowing Connection) throws -> Relation {
        let tables = try SourceCatalog.tables(.publicTables, on: source)
        return try #require(tables.first { $0.relation.name == "t" }?.relation)
    }

    static func start(_ pair: TablePair, _ table: String) async throws -> TableServers {
        let servers = try await TableServers.start(pair)
        try servers.source.psql("\(table); INSERT INTO t (id) VALUES (1), (2)")
        _ = try await servers.make()
        try servers.copyRows(of: TableName(schema: "public", name: "t"))
        return servers
    }

    /// Expects the refusal of a column, that nothing was done, and that doing it by hand helps.
    static func expectRefused(_ servers: TableServers, default text: String) async throws {
        do {
            _ = try await add(servers)
            Issue.record("\(text) was not refused")
        } catch let error as WalrelayError {
            #expect(error.code == "sink.volatile_default")
            #expect(error.exit == .refused)
            #expect(error.message.contains("public.t"))
            #expect(error.message.contains("\"c\""))
            #expect(error.message.contains(text), "\(error.message)")
            #expect(error.message.contains("0/1234"))
            let statement = error.hint.split(separator: "`").dropFirst().first ?? ""
            #expect(statement.contains("ALTER TABLE \"public\".\"t\" ADD COLUMN \"c\" "))
            #expect(try servers.target.psql("SELECT * FROM t WHERE id = 1") == "1")
            try servers.target.psql(String(statement))
        }
        #expect(try await add(servers) == [])
    }

    @Test(arguments: TablePair.withOldest)
    func `rows that were there get what the source's rows have`(pair: TablePair) async throws {
        let servers = try await Self.start(pair, "CREATE TABLE t (id int PRIMARY KEY)")
        try servers.source.psql(
            """
            CREATE TYPE mood AS ENUM ('it''s "o\\k"', 'b'); CREATE DOMAIN plain AS text;
            CREATE DOMAIN filled AS int DEFAULT 7;
            ALTER TABLE t ADD bare int, ADD number int DEFAULT 5, ADD empty text DEFAULT '',
                ADD word varchar(20) NOT NULL DEFAULT 'a "b" \\ {c},', ADD quote text DEFAULT '"',
                ADD unset text DEFAULT NULL, ADD today timestamptz DEFAULT now(),
                ADD m mood DEFAULT 'it''s "o\\k"', ADD ms mood[] DEFAULT '{b,NULL}',
                ADD bx box DEFAULT '(1,1),(0,0)', ADD bs box[] DEFAULT '{(1,1),(0,0);(2,2),(0,0)}',
                ADD js jsonb DEFAULT '{"a": [1, "x"]}', ADD p plain DEFAULT 'NULL',
                ADD f filled, ADD n numeric(10, 3) DEFAULT 1.5, ADD bytes bytea DEFAULT '\\x00ff',
                ADD "odd %s "" name" float8 DEFAULT 0.1, ADD later int, ADD gone int DEFAULT 7;
            ALTER TABLE t ALTER gone DROP DEFAULT, ALTER later SET DEFAULT 9,
                ALTER number SET DEFAULT 6;
            """
        )
        let notices = try await Self.add(servers)
        #expect(notices.count == 19)
        #expect(
            notices.contains("public.t: column number added, with 5 in the rows that were there")
        )
        #expect(
            try servers.target.psql("SELECT * FROM t") == servers.source.psql("SELECT * FROM t")
        )
        #expect(try servers.target.psql("SELECT count(*) FROM pg_attrdef") == "0")
        #expect(
            try servers.target.psql(
                "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 "
                    + "AND attnotnull"
            ) == "id"
        )
        #expect(try await Self.add(servers) == [])
    }

    @Test func `values that nobody sends are refused, and a column made by hand is left alone`()
        async throws
    {
        let pair = TablePair(source: .v15, target: .v15)
        let defaults = [
            ("float8 DEFAULT random()", "random()"), ("bigserial", "nextval("),
            ("timestamptz DEFAULT clock_timestamp()", "clock_timestamp()"),
            ("int GENERATED BY DEFAULT AS IDENTITY", "IDENTITY"), ("diced", "random()"),
            ("checked", "7"),
        ]
        let servers = try await Self.start(pair, "CREATE TABLE t (id int PRIMARY KEY)")
        try servers.source.psql(
            "CREATE DOMAIN diced AS float8 DEFAULT random(); "
                + "CREATE DOMAIN checked AS int DEFAULT 7 CHECK (VALUE > 0)"
        )
        for (type, text) in defaults {
            for cluster in [servers.source, servers.target] {
                try cluster.psql(
                    """
                    DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY);
                    INSERT INTO t VALUES (1), (2)
                    """
                )
            }
            try servers.source.psql("ALTER TABLE t ADD c \(type)")
            try await Self.expectRefused(servers, default: text)
        }
    }

    @Test func `a default whose time cannot be told is refused, another rewrite is no reason`()
        async throws
    {
        let pair = TablePair(source: .v15, target: .v15)
        let servers = try await Self.start(pair, "CREATE TABLE t (id int PRIMARY KEY)")
        try servers.source.psql("VACUUM FULL t")
        try servers.source.psql("ALTER TABLE t ADD told int DEFAULT 3, ADD bare int")
        #expect(try await Self.add(servers).count == 2)
        #expect(try servers.target.psql("SELECT * FROM t") == "1|3|\n2|3|")
        try servers.target.psql("ALTER TABLE t DROP told, DROP bare")
        try servers.source.psql("ALTER TABLE t DROP told, DROP bare, ADD c int DEFAULT 3")
        try servers.source.psql("VACUUM FULL t")
        try await Self.expectRefused(servers, default: "3")
    }

    @Test(arguments: TablePair.all)
    func `the leaves of a partitioned table tell`(pair: TablePair) async throws {
        let servers = try await Self.start(
            pair,
            """
            CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);
            CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (2) PARTITION BY LIST (id);
            CREATE TABLE lowest PARTITION OF low DEFAULT; CREATE TABLE high PARTITION OF t DEFAULT
            """
        )
        try servers.source.psql("ALTER TABLE t ADD a int DEFAULT 4, ADD b int")
        try servers.source.psql("ALTER TABLE t ALTER b SET DEFAULT 5")
        try servers.source.psql(
            "CREATE TABLE late PARTITION OF t FOR VALUES FROM (5) TO (6)"
        )
        #expect(try await Self.add(servers).count == 2)
        #expect(try servers.target.psql("SELECT * FROM t") == "1|4|\n2|4|")
        try servers.source.psql("ALTER TABLE t ADD c float8 DEFAULT random()")
        do {
            _ = try await Self.add(servers)
            Issue.record("not refused")
        } catch let error as WalrelayError { #expect(error.code == "sink.volatile_default") }
    }

    @Test func `a column that the source has no more leaves NULL, with the type that it had`()
        async throws
    {
        let pair = TablePair(source: .v15, target: .v15)
        let servers = try await Self.start(pair, "CREATE TABLE t (id int PRIMARY KEY)")
        try servers.target.psql("CREATE TYPE mood AS ENUM ('a')")
        try servers.source.psql(
            """
            CREATE TYPE mood AS ENUM ('a'); CREATE TYPE never AS ENUM ('a');
            ALTER TABLE t ADD c varchar(7) DEFAULT 'x', ADD m mood[], ADD n never, ADD r int DEFAULT 1
            """
        )
        let (relation, known) = try await servers.connected { source, _ in
            let relation = try Self.relation(on: source)
            let types = try SourceCatalog.types(relation.columns.map(\.typeOID), on: source)
            return (relation, types)
        }
        try servers.source.psql(
            "ALTER TABLE t DROP c, DROP m, DROP n; DROP TYPE mood, never; ALTER TABLE t RENAME r TO s"
        )
        let notices = try await Self.add(servers, relation: relation, known: known)
        #expect(notices.filter { $0.contains("the source has it no more, the rows") }.count == 4)
        #expect(notices.contains { $0.hasPrefix("type public.never becomes text") })
        #expect(
            try servers.target.psql(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
                    + "WHERE attrelid = 't'::regclass AND attnum > 1 ORDER BY attnum"
            ) == "character varying(7)\nmood[]\ntext\ninteger"
        )
        #expect(try servers.target.psql("SELECT * FROM t") == "1||||\n2||||")
        try servers.target.psql("ALTER TABLE t DROP c, DROP m, DROP n, DROP r")
        try servers.source.psql("DROP TABLE t")
        #expect(try await Self.add(servers, relation: relation, known: known).count == 5)
    }

    @Test func `a role that does not own the table is told the statement`() async throws {
        let pair = TablePair(source: .v15, target: .v15)
        let servers = try await Self.start(pair, "CREATE TABLE t (id int PRIMARY KEY)")
        try servers.target.psql("CREATE ROLE writer LOGIN; GRANT ALL ON t TO writer")
        try servers.source.psql("ALTER TABLE t ADD c int")
        do {
            _ = try await Self.add(servers, as: "writer")
            Issue.record("not refused")
        } catch let error as WalrelayError {
            #expect(error.code == "sink.column_not_added")
            #expect(error.exit == .prerequisite)
            #expect(error.hint.contains("ALTER TABLE \"public\".\"t\" ADD COLUMN \"c\" integer"))
        }
    }

    @Test(arguments: [
        ("{5}", "5"), (#"{"a b"}"#, "a b"), (#"{"\"\\\\x"}"#, #""\\x"#), ("{\"\"}", ""),
        (#"{"{1,2}"}"#, "{1,2}"), ("{(1,1),(0,0)}", "(1,1),(0,0)"), (#"{"NULL"}"#, "NULL"),
        ("", ""), ("{", ""), (#"{"}"#, #"""#), ("{\"e\u{301}\"}", "e\u{301}"),
        ("{\"\u{301}\"}", "\u{301}"),
    ])
    func `the one element of an array is taken out of its quotes`(array: String, element: String) {
        #expect(AddedColumnHistory.onlyElement(of: array) == element)
    }

    @Test(arguments: [
        ("5", true), ("1.5", true), ("true", true), ("'x'::text", true), ("''::text", true),
        ("'it''s'::character varying(5)", true), ("'-1'::integer", true),
        ("'a'::public.mood", true),
        ("now()", false), ("nextval('s'::regclass)", false), ("'a'::text || f()", false),
        ("'a'::text || 'b'::text", false), ("E'\\\\'::text", false), ("", false), ("'", false),
        ("(1 + 2)", false), ("CURRENT_USER", false), ("'a''", false), ("'a'; x", false),
    ])
    func `only one constant is a literal`(expression: String, isLiteral: Bool) {
        #expect(AddedColumnHistory.isLiteral(expression) == isLiteral)
    }
}
