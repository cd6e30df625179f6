// SPDX-License-Identifier: Apache-2.0
//
// Tables made on a target of another version, against the source's.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

@Suite struct TableMakerTests {
    static let schema = """
        CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'back\\slash');
        CREATE DOMAIN amount AS numeric(12, 2) DEFAULT 7 CONSTRAINT "not %d" CHECK (VALUE >= 0);
        CREATE DOMAIN named AS varchar(10) COLLATE "C" NOT NULL CHECK (VALUE <> '');
        CREATE TYPE pair AS (a int, "B c" amount, m mood[]);
        CREATE TABLE plain (id bigserial PRIMARY KEY, name varchar(40) NOT NULL, note text,
            fixed char(5), t time(2), ts timestamp(3), tz timestamptz, i interval day to second(1),
            b bit(3), vb varbit(7), n numeric, p numeric(10, 3), f float4, d float8, u uuid,
            j json, jb jsonb, x xml, ip inet, pt point, r int4range, c "char", nm name, by bytea);
        CREATE TABLE typed (id amount, m mood, ms mood[][], p pair, ps pair[], nd named,
            boxes box[], vs varchar(3)[], PRIMARY KEY (m, id));
        CREATE TABLE sorted (a text COLLATE "C" PRIMARY KEY, b int GENERATED ALWAYS AS IDENTITY);
        CREATE TABLE keyless (a int, b text); ALTER TABLE keyless REPLICA IDENTITY FULL;
        CREATE TABLE indexed (a int PRIMARY KEY, c text, "B" int NOT NULL UNIQUE);
        ALTER TABLE indexed REPLICA IDENTITY USING INDEX "indexed_B_key";
        CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE, b text);
        INSERT INTO plain (name, fixed, t, ts, tz, i, b, vb, n, p, f, d, j, jb, x, ip, pt, r, c, by)
        VALUES ('a', 'ab', '12:00:00.12', '2024-01-01', '2024-01-01 12:00+02', '1 day 2.5',
            B'101', B'1', 1e30, 1.5, 0.1, 0.1, '{"a": 1}', '{"a": 1}', '<a/>', '10.0.0.1',
            '(1,2)', '[1,5)', 'x', '\\x00ff');
        INSERT INTO typed VALUES (1, 'sad', '{{sad,"it''s ok"}}', ROW(1, 2, '{"back\\\\slash"}'),
            ARRAY[ROW(1, 2, '{sad}')::pair], 'n', ARRAY['(1,1),(0,0)'::box, '(2,2),(0,0)'],
            '{abc,NULL}');
        INSERT INTO sorted (a) VALUES ('x'); INSERT INTO keyless VALUES (1, NULL), (1, NULL);
        INSERT INTO indexed VALUES (1, 'c', 1); INSERT INTO deferred VALUES (1);
        """

    /// What a column looks like, without what is left out on purpose.
    static let shape = """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        (SELECT collname FROM pg_collation WHERE oid = a.attcollation
        AND oid <> (SELECT typcollation FROM pg_type WHERE oid = a.atttypid))
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum
        """

    static let keys = """
        SELECT t.relname, c.relname, pg_get_indexdef(i.indexrelid), i.indisprimary, i.indimmediate
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
        WHERE n.nspname = 'public' ORDER BY 1, 2
        """

    @Test(arguments: TablePair.all)
    func `a table is made as the source has it, and takes its rows`(pair: TablePair) async throws {
        let servers = try await TableServers.start(pair)
        try servers.source.psql(Self.schema)
        let notices = try await servers.make()
        #expect(try servers.target.psql(Self.shape) == servers.source.psql(Self.shape))
        #expect(try servers.target.psql(Self.keys) == servers.source.psql(Self.keys))
        #expect(notices.count == 1)
        #expect(notices.first?.contains("public.plain.id, public.sorted.b") == true)
        // That build of 11 knows the type xml and no value of it.
        if pair.target == .v11 { try servers.source.psql("UPDATE plain SET x = NULL") }
        for table in ["plain", "typed", "sorted", "keyless", "indexed", "deferred"] {
            let name = TableName(schema: "public", name: table)
            try servers.copyRows(of: name)
            let rows = "SELECT * FROM \(name.sql) t"
            let count = try servers.target.psql("SELECT count(*) FROM \(name.sql)")
            #expect(count != "0")
            #expect(try servers.target.psql(rows) == servers.source.psql(rows))
        }
        let refused = "INSERT INTO typed VALUES (-1, 'sad')"
        #expect(throws: SupportError.self) { try servers.target.psql(refused) }
        // A second look finds nothing to make.
        #expect(try await servers.make() == [])
    }

    @Test func `names that attack are names`() async throws {
        let servers = try await TableServers.start()
        let names = [
            "a\"b", "x'); DROP TABLE t; --", "line\nbreak", "50%s $1 \\", "größe 🚀",
            String(repeating: "é", count: 31) + "x", "e\u{301}\"", "select",
        ]
        for (index, name) in names.enumerated() {
            let quoted = SQL.identifier(name)
            try servers.source.psql(
                """
                CREATE SCHEMA \(quoted); CREATE TYPE \(quoted).\(quoted) AS ENUM (\
                \(SQL.literal(name)));
                CREATE DOMAIN \(quoted).d AS text CONSTRAINT \(quoted) CHECK (VALUE <> 'x');
                CREATE TABLE \(quoted).t\(index) (\(quoted) int CONSTRAINT \(quoted) PRIMARY KEY,
                e \(quoted).\(quoted), d \(quoted).d);
                CREATE TABLE \(quoted).\(SQL.identifier(name.dropLast() + "y")) (
                \(quoted) text, e \(quoted).\(quoted)[]);
                INSERT INTO \(quoted).t\(index) VALUES (1, \(SQL.literal(name)), '');
                """
            )
        }
        let selection = TableSelection(include: names.map { .all(in: $0) })
        let notices = try await servers.make(selection)
        #expect(notices == [])
        for (index, name) in names.enumerated() {
            try servers.copyRows(of: TableName(schema: name, name: "t\(index)"))
            let primary = "\(SQL.identifier(name)).\(SQL.identifier(name))"
            #expect(try servers.target.psql("SELECT '\(primary.doubled)'::regclass") != "")
        }
        let relations = try await servers.connected { source, target in
            let inspection = try TableInspection(selection, on: source)
            let versions = inspection.relations.map { RelationVersion($0) }
            let tables = try TargetTable.read(versions, naming: inspection.naming, on: target)
            for table in tables {
                let casts = table.columns.map { "NULL::\($0.castType)" }
                try target.query("SELECT \(casts.joined(separator: ", "))")
                try target.query("SELECT FROM \(table.qualifiedName)")
            }
            #expect(try inspection.findings(on: target).allSatisfy { $0.level == .ok })
            return tables.count
        }
        #expect(relations == names.count * 2)
    }

    @Test func `a schema of its own takes tables, types and their keys`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql(Self.schema)
        try servers.target.psql("CREATE SCHEMA copy; CREATE TABLE copy.plain_pkey ()")
        let target = TableName(schema: "other", name: "Renamed")
        let selection = TableSelection(
            include: [.one("public", "typed", to: target), .all(in: "public")]
        )
        _ = try await servers.make(selection, schema: .named("copy"))
        let listing = """
            SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n
            ON n.oid = c.relnamespace WHERE n.nspname IN ('copy', 'other', 'public')
            AND c.relkind = 'r' ORDER BY 1, 2
            """
        #expect(
            try servers.target.psql(listing) == """
                copy|deferred
                copy|indexed
                copy|keyless
                copy|plain
                copy|plain_pkey
                copy|sorted
                other|Renamed
                """
        )
        #expect(
            try servers.target.psql(
                "SELECT conname FROM pg_constraint WHERE conrelid = 'copy.plain'::regclass"
            ) == "plain_pkey1"
        )
        try servers.copyRows(of: TableName(schema: "public", name: "typed"), to: target)
        #expect(
            try servers.target.psql(
                "SELECT DISTINCT typnamespace::regnamespace FROM pg_type "
                    + "WHERE typname IN ('mood', 'amount', 'named', 'pair')"
            ) == "copy"
        )
    }

    @Test func `what the target cannot have becomes text, with a notice`() async throws {
        let pair = TablePair(source: .v18, target: .v11)
        guard pair.source.isAvailable, pair.target.isAvailable else { return }
        let servers = try await TableServers.start(pair)
        try servers.source.psql(
            """
            CREATE EXTENSION hstore; CREATE EXTENSION citext;
            CREATE TYPE span AS RANGE (subtype = float8);
            CREATE FUNCTION positive(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
            CREATE DOMAIN checked AS int CHECK (public.positive(VALUE));
            CREATE TABLE other (a int);
            CREATE TABLE odd (id int PRIMARY KEY, h hstore, hs hstore[], c citext, x xid8,
                j jsonpath, m int4multirange, s span, d checked, ds checked[], o other,
                n numeric(3, -2), twice int GENERATED ALWAYS AS (id * 2) STORED);
            INSERT INTO odd VALUES (1, 'a=>b', ARRAY['a=>"b,c"'::hstore], 'C', '5', '$.a',
                '{[1,2)}', '[1,2]', 3, '{4}', ROW(1), 12345);
            """
        )
        let notices = try await servers.make(TableSelection(include: [.one("public", "odd")]))
        #expect(
            try servers.target.psql(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                    + "WHERE attrelid = 'odd'::regclass AND attnum > 0 ORDER BY attnum"
            ) == """
                id|integer
                h|text
                hs|text[]
                c|text
                x|text
                j|text
                m|text
                s|text
                d|integer
                ds|integer[]
                o|text
                n|numeric
                """
        )
        try servers.copyRows(of: TableName(schema: "public", name: "odd"))
        let said = notices.joined(separator: "\n")
        for word in [
            "public.hstore becomes text", "extension hstore", "public.citext", "pg_catalog.xid8",
            "pg_catalog.jsonpath", "pg_catalog.int4multirange", "public.span",
            "public.checked becomes what it is over", "positive", "public.other",
            "public.odd.twice is left out",
        ] {
            #expect(said.contains(word), "\(word) is not in \(said)")
        }
    }

    @Test func `a type of an extension is the target's, wherever it lies`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql(
            """
            CREATE EXTENSION hstore; CREATE TABLE t (id int PRIMARY KEY, h hstore, hs hstore[]);
            INSERT INTO t VALUES (1, 'a=>b', ARRAY['a=>b'::hstore])
            """
        )
        try servers.target.psql("CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext")
        #expect(try await servers.make() == [])
        try servers.copyRows(of: TableName(schema: "public", name: "t"))
        #expect(
            try servers.target.psql("SELECT pg_typeof(h), pg_typeof(hs) FROM t")
                == "ext.hstore|ext.hstore[]"
        )
    }

    @Test func `generated columns are computed on the target, or left out`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql(
            """
            CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
            CREATE TABLE good (a int, g int GENERATED ALWAYS AS (id + 1) STORED NOT NULL,
                id int PRIMARY KEY, h text GENERATED ALWAYS AS (upper(b)) STORED, b text);
            CREATE TABLE bad (id int PRIMARY KEY, g int GENERATED ALWAYS AS (twice(id)) STORED,
                h int GENERATED ALWAYS AS (id + 1) STORED);
            INSERT INTO good (id, b) VALUES (1, 'x'); INSERT INTO bad VALUES (1)
            """
        )
        let notices = try await servers.make()
        #expect(notices.count == 1)
        #expect(notices.first?.hasPrefix("generated column public.bad.g is left out") == true)
        try servers.copyRows(of: TableName(schema: "public", name: "good"))
        try servers.copyRows(of: TableName(schema: "public", name: "bad"))
        #expect(try servers.target.psql("SELECT * FROM good") == "|2|1|X|x")
        #expect(try servers.target.psql("SELECT id, h FROM bad") == "1|2")
    }

    @Test func `a partitioned table becomes a plain one`() async throws {
        let servers = try await TableServers.start()
        try servers.source.psql(
            """
            CREATE TABLE root (id int, day date, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
            CREATE TABLE leaf PARTITION OF root DEFAULT; INSERT INTO root VALUES (1, '2024-01-01')
            """
        )
        #expect(try await servers.make() == [])
        try servers.copyRows(of: TableName(schema: "public", name: "root"))
        #expect(
            try servers.target.psql(
                "SELECT relname, relkind FROM pg_class WHERE relname IN ('root', 'leaf')"
            ) == "root|r"
        )
        #expect(
            try servers.target.psql("SELECT pg_get_indexdef('root_pkey'::regclass)")
                == "CREATE UNIQUE INDEX root_pkey ON public.root USING btree (day, id)"
        )
    }
}

extension String {
    /// With each quote twice, for a literal that holds names.
    fileprivate var doubled: String { replacing("'", with: "''") }
}
