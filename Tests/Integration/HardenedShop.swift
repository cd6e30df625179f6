// SPDX-License-Identifier: Apache-2.0
//
// A server as a careful installation has it: PUBLIC may do nothing, tables belong to a role that
// nobody logs in as, and the daemon's roles have what docs/operations.md grants them. One server
// is source (database shop) and target (database shop_copy) of one task.
import Foundation
import Support

/// A hardened server and a task on it.
struct HardenedShop: Sendable {
    let cluster: PostgresCluster
    /// Whether the server publishes partitioned tables by their root.
    var hasPartitions: Bool { cluster.version >= .v13 }
    let settingsPath: String
    /// Where its task serves HTTP.
    let port: Int
    private let files: TemporaryDirectory

    static let task = "orders"
    static let source = "shop"
    static let target = "shop_copy"

    /// Starts a server with the application's tables, and nothing granted to anybody.
    ///
    /// `source` holds further entries of that section of the settings as YAML.
    init(
        _ version: PostgresVersion,
        tables: String = "'sales.*'",
        source: String = "",
        settings: [String: String] = [:]
    ) async throws {
        let limit = version >= .v13 ? ["max_slot_wal_keep_size": "64GB"] : [:]
        let cluster = try await PostgresCluster.start(
            version: version,
            settings: limit.merging(["fsync": "off"]) { $1 }.merging(settings) { $1 }
        )
        self.cluster = cluster
        port = try FreePort.find()
        files = try TemporaryDirectory()
        settingsPath = try files.write(
            """
            task: \(Self.task)
            source:
              { host: \(cluster.host), port: \(cluster.port), database: \(Self.source), user: cdc, \
            \(source) }
            tables: { include: [\(tables)] }
            snapshot: { workers: 3 }
            sink:
              kind: postgresql
              postgresql:
                { host: \(cluster.host), port: \(cluster.port), database: \(Self.target), \
            user: loader }
            http: { listen: "127.0.0.1:\(port)" }

            """,
            to: "orders.yaml"
        )
        try await onThread {
            try cluster.psql(
                """
                CREATE ROLE shop_owner;
                CREATE DATABASE \(Self.source);
                CREATE DATABASE \(Self.target);
                """
            )
            for database in ["postgres", Self.source, Self.target] {
                try cluster.psql(Self.hardening(database), database: database)
            }
        }
        try await makeTables(in: Self.source, rows: true)
    }

    private static func hardening(_ database: String) -> String {
        """
        REVOKE ALL ON DATABASE \(database) FROM PUBLIC;
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
        CREATE FUNCTION public.secret() RETURNS int LANGUAGE sql AS 'SELECT 1';
        """
    }

    /// The application's tables; on the target empty, as their owner would make them beforehand.
    func makeTables(in database: String, rows: Bool = false) async throws {
        let parts =
            hasPartitions
            ? """
            CREATE TABLE sales.visits (day date, id int, PRIMARY KEY (day, id))
                PARTITION BY RANGE (day);
            CREATE TABLE sales.visits_old PARTITION OF sales.visits
                FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
            CREATE TABLE sales.visits_new PARTITION OF sales.visits
                FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
            """ : "CREATE TABLE sales.visits (day date, id int, PRIMARY KEY (day, id));"
        let fill =
            rows
            ? """
            INSERT INTO sales.orders SELECT n, 'c' || n, 'new', n / 7.0 FROM generate_series(1, 500) n;
            INSERT INTO sales.lines SELECT n, n % 9, 'l' || n FROM generate_series(1, 500) n;
            INSERT INTO sales.visits SELECT '2025-12-30'::date + n, n FROM generate_series(1, 9) n;
            """ : ""
        try await sql(
            """
            CREATE SCHEMA sales AUTHORIZATION shop_owner;
            SET ROLE shop_owner;
            CREATE TYPE sales.state AS ENUM ('new', 'paid');
            CREATE TABLE sales.orders
                (id bigint PRIMARY KEY, customer text, state sales.state, total numeric(12, 2));
            CREATE TABLE sales.lines
                (order_id bigint, line int, article text, PRIMARY KEY (order_id, line));
            \(parts)
            \(fill)
            """,
            in: database
        )
    }

    /// Runs SQL as superuser; each statement commits on its own.
    @discardableResult
    func sql(_ text: String, in database: String = source) async throws -> String {
        try await onThread { try cluster.psql(text, database: database) }
    }

    /// Runs a block of the operator's page, as the version takes it.
    func grant(
        _ block: String,
        in database: String = source,
        as role: String = "postgres"
    ) async throws {
        var text = try GuideSQL.block(block)
        if !hasPartitions {
            text = text.replacing(", publish_via_partition_root = true", with: "")
        }
        try await sql("SET ROLE \(role); \(text)", in: database)
    }

    /// Has the tables' owner make the publication as the page has it.
    func publish() async throws {
        try await sql("GRANT CREATE ON DATABASE \(Self.source) TO shop_owner")
        try await grant("publication-by-owner", as: "shop_owner")
    }

    /// The names of all slots.
    func slots() async throws -> String {
        try await sql("SELECT slot_name FROM pg_replication_slots")
    }

    /// Changes of every kind; `number` makes them differ from those of another call.
    func write(_ number: Int) async throws {
        try await sql(
            """
            INSERT INTO sales.orders VALUES (\(1_000 + number), 'x', 'paid', 1.5);
            UPDATE sales.orders SET total = total + 1 WHERE id % 50 = \(number);
            DELETE FROM sales.lines WHERE line = \(number);
            INSERT INTO sales.visits VALUES ('2026-02-0\(number)', \(100 + number));
            """
        )
    }

    // MARK: Others on the server

    /// A session of somebody else.
    struct Holder: Sendable {
        let pid: Int
        fileprivate let child: ChildProcess
    }

    /// Has somebody else hold a lock on sales.orders until it is released.
    func hold(_ mode: String, in database: String) async throws -> Holder {
        let text = "BEGIN; LOCK TABLE sales.orders IN \(mode) MODE; SELECT pg_sleep(300)"
        let child = try await onThread {
            try cluster.spawn("psql", ["-X", "-d", database, "-c", text])
        }
        var pid: Int?
        try await eventually("the lock is held") {
            pid = Int(
                try await sql(
                    """
                    SELECT pid FROM pg_locks WHERE relation = 'sales.orders'::regclass AND granted
                    AND mode = '\(mode.lowercased().split(separator: " ")
                        .map(\.capitalized).joined())Lock'
                    AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%')
                    """,
                    in: database
                )
            )
            return pid != nil
        }
        return Holder(pid: pid ?? 0, child: child)
    }

    /// Ends that session.
    func release(_ holder: Holder) async throws {
        try await sql("SELECT pg_terminate_backend(\(holder.pid))")
    }

    /// What differs between both databases; empty when the copy is exact.
    func differences() async throws -> [String] {
        try await onThread {
            try TwinServers(source: cluster, target: cluster).differences(
                inSchemas: ["sales"],
                database: Self.source,
                targetDatabase: Self.target
            )
        }
    }

    // MARK: The program

    /// Starts the program with this task's settings.
    func start(_ command: String..., options: [String] = []) throws -> DaemonProcess {
        try DaemonProcess(command + ["--config", settingsPath] + options)
    }

    /// Starts `walrelay run` and waits until it streams.
    func startStreaming() async throws -> DaemonProcess {
        let daemon = try start("run")
        try await daemon.until(.seconds(60), "streaming") {
            try await run("status").stdout.contains("streaming")
        }
        return daemon
    }

    /// Runs the program to its end.
    func run(_ command: String..., options: [String] = []) async throws -> Outcome {
        let process = try DaemonProcess(command + ["--config", settingsPath] + options)
        let status = try await process.wait(.seconds(60))
        return Outcome(status: status, stdout: process.stdout, stderr: process.stderr)
    }

    /// What `check --json` found and is not ok; where it could not ask, what it said instead.
    func troubles() async throws -> [Trouble] {
        let outcome = try await run("check", options: ["--json"])
        guard let data = outcome.stdout.data(using: .utf8), !data.isEmpty else {
            return [Trouble(id: "", level: "failed", found: outcome.stderr, mend: "")]
        }
        return try JSONDecoder().decode([Trouble].self, from: data).filter { $0.level != "ok" }
    }

    /// A finding of the check.
    struct Trouble: Decodable, CustomStringConvertible {
        var id: String
        var level: String
        var found: String
        var mend: String

        var description: String { "\(level) \(id): \(found) (mend: \(mend))" }
    }

    /// What a task that did not begin must not have made; empty when nothing is there.
    func halfMade() async throws -> String {
        let source = try await sql(
            """
            SELECT 'slot ' || slot_name FROM pg_replication_slots
            UNION ALL SELECT 'publication ' || pubname FROM pg_publication
            WHERE pubowner = 'cdc'::regrole
            """
        )
        let target = try await sql(
            """
            SELECT 'table ' || oid::regclass FROM pg_class WHERE relowner = 'loader'::regrole
            UNION ALL SELECT 'schema ' || nspname FROM pg_namespace
            WHERE nspowner = 'loader'::regrole
            """,
            in: Self.target
        )
        return source + target
    }
}
