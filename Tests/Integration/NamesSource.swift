// SPDX-License-Identifier: Apache-2.0
//
// A server on which everything has a name that attacks: the database, the role that walrelay logs
// in as, schemas, tables, columns, types, enum labels, constraints and indexes. The server itself
// builds its statements (format with %I and %L) from the bytes of the names, and what a test reads
// back is compared by those bytes: Swift's strings take names for equal that a server tells apart.
import Foundation
import Support

/// The source of a test of names.
struct NamesSource: Sendable {
    static let database = "db\"x'; DROP TABLE ours.canary; --\n=%s ../\u{202e}\u{1f600}\\"
    static let role = "role\"x'; \\ %n\n\u{1b}[31m\u{2066}é"
    /// How many tables lie in one schema.
    static let schemaSize = 10

    let cluster: PostgresCluster
    let names: [String]

    /// Starts a server and makes `count` tables, whose owner is the role; prints the seed.
    static func start(_ count: Int = 300) async throws -> NamesSource {
        var generator = SeededGenerator()
        print("names: WALRELAY_TEST_SEED=\(generator.seed)")
        let names = HostileNames.list(count, using: &generator)
        let cluster = try await PostgresCluster.start(
            settings: ["max_locks_per_transaction": "512", "fsync": "off"]
        )
        let source = NamesSource(cluster: cluster, names: names)
        try await onThread {
            try cluster.psql(
                """
                SET standard_conforming_strings = on;
                DO $do$ BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN REPLICATION', \(text(role)));
                END $do$;
                """
            )
            try cluster.psql(
                """
                SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''',
                    \(text(database)), \(text(role))) \\gexec
                """
            )
            try source.psqlBlocking(tables(names))
        }
        return source
    }

    /// An expression of SQL for a text, from its bytes.
    static func text(_ name: String) -> String {
        "convert_from(decode('\(hex(name))', 'hex'), 'UTF8')"
    }

    /// The bytes of a text in hexadecimal digits.
    static func hex(_ text: String) -> String {
        text.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    // MARK: Who is called what

    /// The names that table `index` and what belongs to it have.
    func name(_ index: Int, _ offset: Int = 0) -> String { names[(index + offset) % names.count] }

    /// The schema of table `index`, by a name that PostgreSQL does not keep for itself.
    func schema(_ index: Int) -> String { name(index / Self.schemaSize * Self.schemaSize + 5) }

    /// The key, a text, an enum, a domain: columns of table `index` in their order.
    func columns(_ index: Int) -> [String] { (1...4).map { name(index, $0) } }

    // MARK: The server

    /// A connection string for psql.
    static var conninfo: String {
        let quoted = database.unicodeScalars.map {
            "'\\".unicodeScalars.contains($0) ? "\\\($0)" : "\($0)"
        }
        return "dbname='\(quoted.joined())'"
    }

    @discardableResult
    func psqlBlocking(_ sql: String) throws -> String {
        try cluster.psql(sql, database: Self.conninfo)
    }

    /// Runs SQL in the database as the superuser.
    @discardableResult
    func psql(_ sql: String) async throws -> String {
        try await onThread { try psqlBlocking(sql) }
    }

    /// Runs, for each row of `ours.tables`, what the server's `format` makes of the arguments; each
    /// in a transaction of its own.
    func forEach(
        _ format: String,
        _ arguments: String,
        where condition: String = "true"
    ) async throws {
        try await psql(
            "SELECT format('\(format)', \(arguments)) FROM ours.tables t WHERE \(condition) "
                + "ORDER BY i \\gexec"
        )
    }

    /// Throws unless all is there that an injection would have dropped or changed.
    func expectCanaries() async throws {
        let found = try await psql(
            """
            SELECT (SELECT count(*) FROM ours.canary), (SELECT count(*) FROM pg_roles
                WHERE rolname NOT LIKE 'pg\\_%'), (SELECT count(*) FROM pg_database
                WHERE datname <> 'names_target'),
                (SELECT count(*) FROM pg_class c JOIN ours.tables t ON c.oid = t.oid)
            """
        )
        guard found == "1|2|4|\(names.count)" else { throw SupportError("canaries: \(found)") }
    }

    private static func tables(_ names: [String]) -> String {
        let rows = names.enumerated().map { "(\($0), \(text($1)))" }.joined(separator: ",\n")
        return """
            CREATE SCHEMA ours;
            CREATE TABLE ours.canary AS SELECT 1 AS id;
            CREATE TABLE ours.names (i int PRIMARY KEY, name text NOT NULL);
            INSERT INTO ours.names VALUES \(rows);
            CREATE FUNCTION ours.name(i int, n int) RETURNS text LANGUAGE sql AS
            'SELECT name FROM ours.names WHERE i = ($1 + $2) % \(names.count)';
            CREATE TABLE ours.tables AS SELECT i,
                ours.name(i / \(schemaSize) * \(schemaSize) + 5, 0)
                AS schema, name, ours.name(i, 1) AS key, ours.name(i, 2) AS value,
                ours.name(i, 3) AS feeling, ours.name(i, 4) AS sort, 0::oid AS oid FROM ours.names;
            DO $do$ DECLARE t record; role text := \(text(role)); BEGIN
            FOR t IN SELECT DISTINCT schema FROM ours.tables LOOP
                EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', t.schema, role);
            END LOOP;
            EXECUTE format('SET ROLE %I', role);
            RESET ROLE;
            FOR t IN SELECT * FROM ours.tables ORDER BY i LOOP
                EXECUTE format('CREATE TYPE %I.%I AS ENUM (%L, %L, %L)', t.schema,
                    ours.name(t.i, 30), t.name, t.key, t.value);
                EXECUTE format('CREATE DOMAIN %I.%I AS text CONSTRAINT %I CHECK (VALUE <> %L)',
                    t.schema, ours.name(t.i, 40), t.name, t.name || 'x');
                EXECUTE format('CREATE TABLE %1$I.%2$I (%3$I text, %4$I text, %5$I %1$I.%7$I, '
                    '%6$I %1$I.%8$I, CONSTRAINT %9$I PRIMARY KEY (%3$I), '
                    'CONSTRAINT %2$I CHECK (%4$I <> %10$L))', t.schema, t.name, t.key, t.value,
                    t.feeling, t.sort, ours.name(t.i, 30), ours.name(t.i, 40), ours.name(t.i, 10),
                    t.name || 'x');
                EXECUTE format('CREATE INDEX %I ON %I.%I (%I)', ours.name(t.i, 20), t.schema,
                    t.name, t.value);
                EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', t.schema, t.name, role);
                EXECUTE format('ALTER TYPE %I.%I OWNER TO %I', t.schema, ours.name(t.i, 30), role);
                EXECUTE format('INSERT INTO %I.%I VALUES (%L, %L, %L, %L)', t.schema, t.name,
                    'old ' || t.name, t.name, t.name, t.name);
                UPDATE ours.tables SET oid = format('%I.%I', t.schema, t.name)::regclass
                    WHERE i = t.i;
            END LOOP; END $do$;
            """
    }

    // MARK: Settings

    /// A text as a scalar of YAML, without `${…}` of its own.
    static func yaml(_ text: String) -> String {
        let scalars = text.unicodeScalars.map { scalar -> String in
            switch scalar {
            case "\"": "\\\""
            case "\\": "\\\\"
            case "$": "$$"
            case _
            where scalar.value < 0x20 || (0x7f...0xa0).contains(scalar.value)
                || (0xd7ff...0xffff).contains(scalar.value)
                || (0x2000...0x206f).contains(scalar.value):
                "\\u" + String(repeating: "0", count: 4 - String(scalar.value, radix: 16).count)
                    + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }
        return "\"\(scalars.joined())\""
    }

    /// A table as `tables.include` spells one.
    func pattern(_ index: Int) -> String {
        [schema(index), name(index)].map(Self.quoted).joined(separator: ".")
    }

    /// A name as SQL quotes it, scalar by scalar: a quote with an accent is one character.
    static func quoted(_ name: String) -> String {
        "\"" + name.unicodeScalars.map { $0 == "\"" ? "\"\"" : "\($0)" }.joined() + "\""
    }

    /// The lines of settings but for the sink and what `more` has.
    func settings(task: String, sink: String, tables: [Int]? = nil, more: String = "") -> String {
        let patterns = (tables ?? Array(names.indices)).map { Self.yaml(pattern($0)) }
        return """
            task: \(task)
            source:
              host: \(cluster.host)
              port: \(cluster.port)
              database: \(Self.yaml(Self.database))
              user: \(Self.yaml(Self.role))
            tables:
              include: [\(patterns.joined(separator: ", "))]
            sink: \(sink)
            \(more)

            """
    }
}
