// SPDX-License-Identifier: Apache-2.0
//
// Ten tables of one schema, each hard for a copy in a way of its own, and the rows they begin
// with. ShopLoad writes to them; `ledger` keeps one sum in every transaction that commits.
import Support

/// The schema `shop` of a source.
struct ShopTables: Sendable {
    /// The columns of `shop.kinds`: all types that source and target have in common.
    let kinds: [TypeCase]
    /// Whether there is a partitioned table as well: publications know them from 13 on.
    let hasPartitions: Bool

    /// Whether there is a table with a column that both servers compute: from 12 on.
    let hasComputed: Bool

    /// What the rows of `ledger` always sum up to.
    static let ledgerSum = 5_000

    /// Makes the tables and fills them.
    ///
    /// Extensions are made on both sides, and nothing else on the target. `types` are those that
    /// `kinds` may have columns of.
    init(
        on servers: TwinServers,
        database: String = "postgres",
        types: [TypeCase] = TypeCase.all
    ) throws {
        let source = servers.source
        var there: Set<String> = []
        for name in ["hstore", "citext"] {
            let sides = [source, servers.target].map { cluster in
                (try? cluster.psql("CREATE EXTENSION \(name)", database: database)) != nil
            }
            if sides == [true, true] { there.insert(name) }
        }
        let xml = [source, servers.target].map { (try? $0.psql("SELECT '<a/>'::xml")) != nil }
        if xml == [true, true] { there.insert("xml") }
        kinds = types.filter { example in
            example.since <= servers.common && example.needs.map(there.contains) != false
        }
        hasPartitions = source.version >= .v13
        hasComputed = servers.common >= .v13
        try source.psql(schema, database: database)
    }

    private var schema: String {
        let columns = kinds.enumerated().map { ", c\($0) \($1.type)" }.joined()
        let partitions = """
            CREATE TABLE shop.parted (region int NOT NULL, id int NOT NULL, note text,
                PRIMARY KEY (region, id)) PARTITION BY LIST (region);
            CREATE TABLE shop.parted_1 PARTITION OF shop.parted FOR VALUES IN (1, 2);
            CREATE TABLE shop.parted_3 (note text, id int NOT NULL, region int NOT NULL);
            ALTER TABLE shop.parted ATTACH PARTITION shop.parted_3 FOR VALUES IN (3, 4);
            INSERT INTO shop.parted SELECT i % 4 + 1, i, 'row ' || i FROM generate_series(1, 100) i;
            """
        let computed = """
            CREATE TABLE shop.computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (n * 2) STORED,
                n int, note text);
            INSERT INTO shop.computed (id, n) SELECT i, i FROM generate_series(1, 60) i;
            """
        return """
            \(TypeCase.prelude)
            CREATE SCHEMA shop;
            CREATE FUNCTION shop.noise(seed int, size int) RETURNS text LANGUAGE sql AS $$
                SELECT left(string_agg(md5(seed || '.' || i), ''), size)
                FROM generate_series(0, size / 32) i $$;
            CREATE TABLE shop.kinds (id int PRIMARY KEY, touched int\(columns));
            CREATE TABLE shop.large (id int PRIMARY KEY, n int, a text, b text, c bytea, d jsonb);
            ALTER TABLE shop.large ALTER a SET STORAGE EXTERNAL, ALTER c SET STORAGE EXTERNAL;
            CREATE TABLE shop."Text Keys" ("the ""Key""\" text PRIMARY KEY, "Größe" text, n int);
            CREATE TABLE shop.composite (a int, b text, v numeric, d date, PRIMARY KEY (d, b));
            ALTER TABLE shop.composite REPLICA IDENTITY FULL;
            CREATE TABLE shop.bag (a int, b text, v numeric, j json);
            ALTER TABLE shop.bag REPLICA IDENTITY FULL;
            CREATE TABLE shop.by_index (v text, code text NOT NULL, big text, region int NOT NULL);
            CREATE UNIQUE INDEX by_index_key ON shop.by_index (region, code);
            ALTER TABLE shop.by_index REPLICA IDENTITY USING INDEX by_index_key;
            CREATE TABLE shop.places (id int PRIMARY KEY, place int UNIQUE, note text);
            CREATE TABLE shop.ledger (id int PRIMARY KEY, amount bigint NOT NULL, note text);
            CREATE TABLE shop.items (id bigserial PRIMARY KEY, data jsonb, tags text[],
                parent int REFERENCES shop.places ON DELETE CASCADE ON UPDATE CASCADE);
            CREATE INDEX ON shop.items (parent);
            CREATE TABLE shop.equal_keys (k numeric, f float8, c char(3), v text, PRIMARY KEY (c, k, f));
            CREATE TABLE shop.narrow (id serial PRIMARY KEY, a int, b int, c timestamptz, note text);
            INSERT INTO shop.places SELECT i, i, 'p' FROM generate_series(1, 40) i;
            INSERT INTO shop.ledger SELECT i, 100, 'l' FROM generate_series(1, \(Self.ledgerSum / 100)) i;
            INSERT INTO shop.large SELECT i, 0, shop.noise(i, 12000), shop.noise(i, 90000),
                decode(shop.noise(i, 20000), 'hex'), '{"a": 1}' FROM generate_series(1, 20) i;
            INSERT INTO shop.bag SELECT i % 7, 'b', 1.50, '{}' FROM generate_series(1, 60) i;
            INSERT INTO shop.by_index SELECT 'v', 'c' || i, shop.noise(i, 9000), i % 3
                FROM generate_series(1, 60) i;
            INSERT INTO shop.composite SELECT i, 'b' || i % 5, i, date '2024-01-01' + i
                FROM generate_series(1, 60) i;
            INSERT INTO shop.narrow (a, b, c, note) SELECT i, i % 7, now(), 'a note ' || i
                FROM generate_series(1, 2000) i;
            \(hasPartitions ? partitions : "")
            \(hasComputed ? computed : "")
            """
    }
}
