// SPDX-License-Identifier: Apache-2.0
//
// Indexes and constraints made on the target after its rows.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

@Suite struct IndexPlanTests {
    static let schema = """
        CREATE TYPE mood AS ENUM ('a'); CREATE TABLE "le'ft" ("I d" int PRIMARY KEY, u int UNIQUE);
        CREATE TABLE t (id int PRIMARY KEY, a int REFERENCES "le'ft" ON DELETE CASCADE,
            b text CHECK (b <> 'x'), c int, m mood CHECK (m = 'a'), "x) REFERENCES public.o(" int,
            CONSTRAINT "u'q" UNIQUE (b, c) DEFERRABLE, EXCLUDE USING btree (c WITH =));
        CREATE TABLE other (id int PRIMARY KEY);
        ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES other,
            ADD CONSTRAINT odd FOREIGN KEY ("x) REFERENCES public.o(") REFERENCES "le'ft" (u);
        CREATE INDEX "lower %s" ON t USING btree (lower(b) DESC NULLS LAST) WHERE c > 1;
        CREATE UNIQUE INDEX ident ON t (id); CREATE INDEX ON t USING hash (b);
        ALTER TABLE t REPLICA IDENTITY USING INDEX ident;
        CREATE TABLE root (id int, v text) PARTITION BY LIST (id);
        CREATE TABLE leaf PARTITION OF root DEFAULT; CREATE INDEX on_root ON root (v);
        """

    static let listing = """
        SELECT pg_get_indexdef(i.indexrelid) AS d FROM pg_index i JOIN pg_class c
        ON c.oid = i.indrelid WHERE relnamespace = 'public'::regnamespace AND relname <> 'leaf'
        AND relkind = 'r' AND relname <> 'other'
        AND i.indexrelid IS DISTINCT FROM to_regclass('ident')
        UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'u', 'x')
        AND conrelid::regclass::text <> 'other' ORDER BY 1
        """

    static let selection = TableSelection(
        include: [.all(in: "public")],
        exclude: [TablePattern(schema: .exact("public"), name: .exact("other"))]
    )

    /// Makes what is planned; returns the statements' number and the notices.
    static func build(
        _ servers: TableServers,
        schema: PostgresSinkOptions.Schema = .same,
        skipsTriggers: Bool = true
    ) async throws -> (count: Int, notices: [String]) {
        try await servers.connected { source, target in
            let maker = try TableMaker(selection, schema: schema, on: source)
            let plan = try maker.indexPlan(
                for: maker.source.tables.values.map { maker.target(of: $0) },
                skipsTriggers: skipsTriggers,
                source: source,
                target: target
            )
            return (plan.statements.count, try TableMaker.makeIndexes(plan, on: target))
        }
    }

    @Test(arguments: TablePair.all)
    func `what the source has is made, once`(pair: TablePair) async throws {
        let servers = try await TableServers.start(pair)
        try servers.source.psql(Self.schema)
        _ = try await servers.make(Self.selection)
        let built = try await Self.build(servers)
        #expect(built.count == 10)
        #expect(
            built.notices == [
                "foreign key t_c_fkey of public.t is left out: "
                    + "public.other is none of the tables that are copied with it"
            ]
        )
        let onRoot = "CREATE INDEX on_root ON public.root USING btree (v)"
        let expected = try servers.source.psql(Self.listing).split(separator: "\n")
        let found = try servers.target.psql(Self.listing).split(separator: "\n")
        #expect(found.filter { $0 != onRoot } == expected)
        #expect(found.contains { $0 == onRoot })
        #expect(
            try servers.target.psql(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
                    + "WHERE contype = 'f' ORDER BY 1"
            ) == """
                odd|FOREIGN KEY ("x) REFERENCES public.o(") REFERENCES "le'ft"(u)
                t_a_fkey|FOREIGN KEY (a) REFERENCES "le'ft"("I d") ON DELETE CASCADE
                """
        )
        let again = try await Self.build(servers)
        #expect(again.count == 0)
    }

    @Test func `one schema for two takes indexes of the same name, and says what it lacks`()
        async throws
    {
        let servers = try await TableServers.start()
        try servers.source.psql(Self.schema)
        try servers.source.psql(
            """
            CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
            CREATE INDEX by_function ON t (f(c));
            """
        )
        try servers.target.psql("CREATE SCHEMA copy; CREATE TABLE copy.t_b_idx ()")
        _ = try await servers.make(Self.selection, schema: .named("copy"))
        let built = try await Self.build(servers, schema: .named("copy"), skipsTriggers: false)
        let said = built.notices.joined(separator: "\n")
        #expect(built.notices.count == 5, "\(said)")
        #expect(said.contains("foreign key odd of copy.t is left out: the role may not set"))
        #expect(
            said.contains("index by_function of copy.t is left out: function public.f(integer)")
        )
        #expect(said.contains("constraint t_m_check of copy.t is left out"))
        #expect(
            try servers.target.psql(
                "SELECT count(*) FROM pg_indexes WHERE tablename = 't' "
                    + "AND indexdef LIKE '%USING hash (b)'"
            ) == "1"
        )
    }

    @Test func `keys of the same name in two schemas come into one`() async throws {
        let servers = try await TableServers.start()
        for schema in ["a", "b"] {
            try servers.source.psql(
                """
                CREATE SCHEMA \(schema); CREATE TABLE \(schema).\(schema)_t (
                id int CONSTRAINT pk PRIMARY KEY, u int CONSTRAINT un UNIQUE)
                """
            )
        }
        let selection = TableSelection(include: [.all(in: "a"), .all(in: "b")])
        #expect(try await servers.make(selection, schema: .named("c")) == [])
        let notices = try await servers.connected { source, target in
            let maker = try TableMaker(selection, schema: .named("c"), on: source)
            let plan = try maker.indexPlan(
                for: maker.source.tables.values.map { maker.target(of: $0) },
                skipsTriggers: true,
                source: source,
                target: target
            )
            return try TableMaker.makeIndexes(plan, on: target)
        }
        #expect(notices == [])
        #expect(
            try servers.target.psql(
                "SELECT conname FROM pg_constraint WHERE connamespace = 'c'::regnamespace "
                    + "AND contype IN ('p', 'u') ORDER BY 1"
            ) == "b_t_pkey\nb_t_u_key\npk\nun"
        )
    }
}
