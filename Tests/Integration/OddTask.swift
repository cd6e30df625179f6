// SPDX-License-Identifier: Apache-2.0
//
// A task of which a test spoils one thing: its settings, its runs to the end, and what is left of
// it on the server. Every run's output is searched for the password, whatever the test is about.
// With WALRELAY_TEST_SHOW set each refusal is printed as the operator sees it.
import Foundation
import Glibc
import Support
import Testing

/// What one command left: its end and what it printed.
struct Outcome: Sendable {
    /// How it ended.
    let status: Support.ExitStatus
    /// Standard output.
    let stdout: String
    /// Standard error.
    let stderr: String

    /// The errors that were printed, each from `walrelay: ` on to the end of the output.
    var errors: [String] {
        let lines = stderr.components(separatedBy: "\n")
        let starts = lines.indices.filter { lines[$0].hasPrefix("walrelay: ") }
        return starts.map { lines[$0...].joined(separator: "\n") }
    }

    /// Expects one error, of this code and exit, that holds each of the texts and a next step.
    func expectRefusal(
        _ exit: Int32,
        _ code: String,
        _ texts: String...,
        at location: SourceLocation = #_sourceLocation
    ) {
        if ProcessInfo.processInfo.environment["WALRELAY_TEST_SHOW"] != nil {
            print("---- \(status)\n\(stderr)----")
        }
        #expect(status == .code(exit), "\(stderr.suffix(2_000))", sourceLocation: location)
        #expect(errors.count == 1, "\(stderr.suffix(2_000))", sourceLocation: location)
        let error = errors.first ?? ""
        for text in ["[\(code)]", "try: "] + texts {
            #expect(error.contains(text), "\(text) in: \(error)", sourceLocation: location)
        }
    }
}

/// A task on a server, with files of its own that go with it.
struct OddTask: Sendable {
    /// Never to be seen in any output.
    static let password = "pa55-Z9x-never-shown"

    /// The task's name, which also names its sessions.
    var name: String
    var host = "127.0.0.1"
    var port: Int
    var database = "postgres"
    var user = "postgres"
    /// Given by an environment variable when there is one.
    var password: String?
    var tables = ["public.orders"]
    var sinkDirectory: String
    /// A time, or `forever`.
    var retry = "10m"
    /// A port for the status, or none.
    var httpPort: Int?
    /// Further entries of `http`, each with a comma before it.
    var httpMore = ""
    var httpHost = "127.0.0.1"
    /// Further lines of `source`, and of the file.
    var sourceLines: [String] = []
    var lines: [String] = []
    var environment: [String: String] = [:]
    /// The last change of the file's text.
    var spoil: @Sendable (String) -> String = { $0 }
    let files: TemporaryDirectory

    init(_ name: String, on cluster: PostgresCluster) throws {
        try self.init(name, port: cluster.port)
    }

    init(_ name: String, port: Int) throws {
        self.name = name
        self.port = port
        files = try TemporaryDirectory()
        sinkDirectory = files.file("events")
    }

    var slot: String { "di_slot_\(name)" }
    var publication: String { "di_pub_\(name)" }

    /// The settings file's text.
    var yaml: String {
        var source = ["host: '\(host)'", "port: \(port)", "database: \(database)"]
        source += ["user: \(user)", "applicationName: \(name)"] + sourceLines
        if password != nil { source.append("password: ${SOURCE_PASSWORD}") }
        let names = tables.map { "'\($0)'" }.joined(separator: ", ")
        let listen = httpPort.map { "'\(httpHost):\($0)'" } ?? "off"
        return """
            task: \(name)
            source:
              \(source.joined(separator: "\n  "))
            tables: { include: [\(names)] }
            sink: { kind: ndjson, ndjson: { directory: '\(sinkDirectory)' } }
            http: { listen: \(listen)\(httpMore) }
            retry: { for: \(retry) }
            \(lines.joined(separator: "\n"))

            """
    }

    // MARK: Runs

    /// Starts a command with the settings as they are now.
    func start(
        _ command: String = "run",
        _ options: [String] = [],
        environment more: [String: String] = [:]
    ) throws -> DaemonProcess {
        let path = try files.write(spoil(yaml), to: "task.yaml")
        var variables = environment.merging(more) { $1 }
        variables["SOURCE_PASSWORD"] = password
        return try DaemonProcess([command, "--config", path] + options, environment: variables)
    }

    /// Waits for a command's end.
    func outcome(of daemon: DaemonProcess, _ limit: Duration = .seconds(60)) async throws -> Outcome
    {
        let status = try await daemon.wait(limit)
        let outcome = Outcome(status: status, stdout: daemon.stdout, stderr: daemon.stderr)
        #expect(!(outcome.stdout + outcome.stderr).contains(Self.password))
        return outcome
    }

    /// Runs a command to its end.
    func run(
        _ command: String = "run",
        _ options: [String] = [],
        limit: Duration = .seconds(60)
    ) async throws -> Outcome {
        try await outcome(of: start(command, options), limit)
    }

    /// Runs until all that is committed now is in the files.
    func catchUp() async throws {
        let outcome = try await run("run", ["--until", "now"])
        guard outcome.status == .code(0) else {
            throw SupportError("run --until now: \(outcome.status)\n\(outcome.stderr)")
        }
    }

    /// Starts `run` and waits until it streams.
    func stream(environment: [String: String] = [:]) async throws -> DaemonProcess {
        let daemon = try start(environment: environment)
        try await daemon.waitForLog("streaming")
        return daemon
    }

    // MARK: What is left

    /// The task's objects and sessions on the server, one a line; empty where nothing is left.
    func objects(on cluster: PostgresCluster) throws -> String {
        try cluster.psql(
            """
            SELECT 'publication ' || pubname FROM pg_publication WHERE pubname = '\(publication)'
            UNION ALL
            SELECT 'slot ' || slot_name || CASE WHEN active THEN ' active' ELSE '' END
            FROM pg_replication_slots
            WHERE slot_name = '\(slot)' OR temporary AND database = current_database()
            UNION ALL
            SELECT 'session ' || state FROM pg_stat_activity WHERE application_name = '\(name)'
            ORDER BY 1
            """,
            database: database
        )
    }

    /// Expects that the server has nothing of the task; its sessions may take a moment to end.
    func expectNothingLeft(
        on cluster: PostgresCluster,
        at location: SourceLocation = #_sourceLocation
    ) async throws {
        try? await eventually(timeout: .seconds(30)) { try objects(on: cluster).isEmpty }
        #expect(try objects(on: cluster) == "", sourceLocation: location)
    }

    /// A text column of the slot; empty where there is no such slot.
    func slot(_ column: String, on cluster: PostgresCluster) throws -> String {
        try cluster.psql(
            "SELECT \(column) FROM pg_replication_slots WHERE slot_name = '\(slot)'"
        )
    }

    /// The events up to the checkpoint.
    var events: NDJSONReader { NDJSONReader(sinkDirectory) }

    /// The keys `id` of the events for one table, in their order.
    func ids(of table: String = "public.orders") throws -> [String] {
        try events.events().filter { $0.table == table }.map { event in
            (event.after ?? event.before)?["id"]?.text ?? "?"
        }
    }

    /// Changes the text of checkpoint.json.
    func editCheckpoint(_ body: (String) -> String) throws {
        let path = "\(sinkDirectory)/checkpoint.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try body(text).write(toFile: path, atomically: false, encoding: .utf8)
    }
}

/// A cluster that the tests of one suite share; each has tables, tasks or databases of its own.
final class SharedCluster: Sendable {
    /// Trusts everybody.
    static let trusting = SharedCluster {
        try await PostgresCluster.start(
            settings: ["max_replication_slots": "60", "max_wal_senders": "60"]
        )
    }
    /// Asks for passwords by SCRAM.
    static let asking = SharedCluster {
        let cluster = try await PostgresCluster.start(authentication: .scram)
        try cluster.psql("CREATE ROLE cdc LOGIN REPLICATION PASSWORD '\(OddTask.password)'")
        return cluster
    }

    private let starting: Task<PostgresCluster, any Error>

    private init(_ start: @escaping @Sendable () async throws -> PostgresCluster) {
        starting = Task { try await start() }
    }

    /// The cluster with the table `public.orders` in database `postgres`.
    var cluster: PostgresCluster {
        get async throws { try await starting.value }
    }

    /// A task in a database of its own with a table `orders` of two rows.
    func task(_ name: String) async throws -> (task: OddTask, cluster: PostgresCluster) {
        let cluster = try await cluster
        var task = try OddTask(name, on: cluster)
        task.database = try cluster.createDatabase(name)
        try cluster.psql(Self.orders, database: name)
        return (task, cluster)
    }

    /// What a database of these tests begins with.
    static let orders = """
        CREATE TABLE orders (id int PRIMARY KEY, note text);
        INSERT INTO orders VALUES (1, 'one'), (2, 'two');
        """
}
