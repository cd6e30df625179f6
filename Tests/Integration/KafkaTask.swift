// SPDX-License-Identifier: Apache-2.0
//
// One task that relays to Kafka: its settings, its daemons, and what stands in its topics.
// `differences` is the judge: tables that are rebuilt from the events, held against the source's.
import Foundation
import Support

/// A task from a database of a cluster to the topics of a broker.
struct KafkaTask: Sendable {
    let broker: KafkaBroker
    /// The database of the source.
    let database: String
    /// What the topics' names begin with.
    let prefix: String
    /// Settings, status and daemons, as of any task.
    let relay: RelayTask

    /// Writes the settings.
    ///
    /// `kafka` holds further entries of `sink.kafka` as YAML, such as `tombstones: false`; `more`
    /// further lines of the whole document.
    init(
        _ cluster: PostgresCluster,
        _ broker: KafkaBroker,
        name: String,
        database: String = "postgres",
        tables: [String] = ["public.*"],
        address: String? = nil,
        kafka: [String] = [],
        more: String = ""
    ) throws {
        self.broker = broker
        self.database = database
        prefix = name
        let entries =
            ["bootstrapServers: '\(address ?? broker.address)'", "topicPrefix: \(name)"] + kafka
        relay = try RelayTask(
            cluster,
            name: name,
            database: database,
            tables: tables,
            sink: "{ kind: kafka, kafka: { \(entries.joined(separator: ", ")) } }",
            more: more
        )
    }

    /// A task on a database of its own, on a server and a broker that many tests share.
    static func sharing(
        _ name: String,
        sql: String,
        tables: [String] = ["public.*"],
        address: String? = nil,
        kafka: [String] = [],
        more: String = ""
    ) async throws -> KafkaTask {
        let cluster = try await VersionClusters.all.cluster()
        let broker = try await SharedBroker.one.broker()
        try await onThread {
            try cluster.createDatabase(name)
            try cluster.psql(sql, database: name)
        }
        return try KafkaTask(
            cluster,
            broker,
            name: name,
            database: name,
            tables: tables,
            address: address,
            kafka: kafka,
            more: more
        )
    }

    /// The same task under other settings.
    func with(kafka: [String] = [], more: String = "") throws -> KafkaTask {
        try KafkaTask(
            relay.cluster,
            broker,
            name: relay.name,
            database: database,
            kafka: kafka,
            more: more
        )
    }

    /// Drops slot and database, which a shared server would otherwise collect.
    func end() async throws {
        try await eventually("the slot is free") {
            try await sql(
                """
                SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                WHERE database = '\(database)'
                """
            )
            return true
        }
        let cluster = relay.cluster
        try await onThread { _ = try cluster.psql("DROP DATABASE \(sqlName(database))") }
    }

    // MARK: Daemons

    /// Starts `walrelay run`.
    func start(
        _ options: [String] = [],
        failpoint: String? = nil,
        pause: String? = nil
    ) throws -> DaemonProcess {
        try relay.start(options, failpoint: failpoint, pause: pause)
    }

    /// Starts `walrelay run` and waits until it streams.
    func startStreaming() async throws -> DaemonProcess {
        let daemon = try start()
        try await relay.waitForPhase("streaming", of: daemon)
        return daemon
    }

    /// Runs until all that is committed now is in its topics; throws unless that ends well.
    @discardableResult
    func runUntilNow(_ limit: Duration = .seconds(180)) async throws -> DaemonProcess {
        try await relay.runUntilNow(limit)
    }

    /// Runs another command to its end and gives what it left.
    func run(_ command: String, _ options: [String] = []) async throws -> Outcome {
        let daemon = try DaemonProcess([command, "--config", relay.settingsPath] + options)
        let status = try await daemon.wait()
        return Outcome(status: status, stdout: daemon.stdout, stderr: daemon.stderr)
    }

    /// Waits until all that the source has committed by now is durable in the topics.
    func waitUntilDurable(
        _ daemon: DaemonProcess,
        timeout: Duration = .seconds(60)
    ) async throws {
        let now = try await sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        try await daemon.until(timeout, "all is durable") {
            let text = try await relay.status("stream", "durableLSN") ?? ""
            let halves = text.split(separator: "/").compactMap { UInt64($0, radix: 16) }
            guard halves.count == 2, let wanted = UInt64(now) else { return false }
            return halves[0] << 32 | halves[1] >= wanted
        }
    }

    // MARK: Both ends

    /// Runs SQL on the source; each statement commits on its own.
    @discardableResult
    func sql(_ text: String) async throws -> String {
        let cluster = relay.cluster
        return try await onThread { try cluster.psql(text, database: database) }
    }

    /// All records of `<topicPrefix>.<name>`, those of one partition in order.
    func records(
        _ name: String,
        isolation: KafkaIsolation = .committed
    ) async throws -> [KafkaRecord] {
        try await onThread { try broker.records(of: "\(prefix).\(name)", isolation: isolation) }
    }

    /// The task's checkpoint as a consumer of its topic sees it; nil where there is none.
    func checkpoint() async throws -> [String: Any]? {
        let record = try await records("walrelay-checkpoint").last { $0.key == relay.name }
        guard let record, record.value != nil else { return nil }
        return try record.object()
    }

    /// What stands in the topics of the tables.
    func history(
        _ keys: [String: [String]],
        isolation: KafkaIsolation = .committed,
        dropsRepeats: Bool = false
    ) async throws -> KafkaHistory {
        try await onThread {
            try KafkaHistory(
                broker,
                prefix: prefix,
                keys: keys,
                isolation: isolation,
                dropsRepeats: dropsRepeats
            )
        }
    }

    /// What a consumer's tables and the source's differ in; empty when all is exact.
    ///
    /// `keys` names the key columns by `schema.table`, as `RebuiltTables` takes them. Values are
    /// compared as text, so the tables have only types that events write as PostgreSQL does.
    func differences(
        _ keys: [String: [String]],
        isInterrupted: Bool = false,
        dropsRepeats: Bool = false
    ) async throws -> [String] {
        let rebuilt = try await history(keys, dropsRepeats: dropsRepeats)
            .rebuilt(isInterrupted: isInterrupted)
        let cluster = relay.cluster
        return try await onThread {
            try keys.keys.sorted().flatMap { name in
                let quoted = name.split(separator: ".", maxSplits: 1).map { sqlName(String($0)) }
                let rows = try cluster.rows(of: quoted.joined(separator: "."), database: database)
                guard let table = rebuilt.tables[name] else {
                    return rows.isEmpty ? [] : ["\(name): no event, \(rows.count) rows"]
                }
                return table.differences(from: rows) { column, text in
                    column == "mtime" ? text.replacing(" ", with: "T") : text
                }.map { "\(name): \($0)" }
            }
        }
    }
}

extension KafkaTask: KillableTask {
    func start(pause: String?) throws -> DaemonProcess { try relay.start([], pause: pause) }

    func waitForPhase(
        _ phase: String,
        of daemon: DaemonProcess,
        timeout: Duration
    ) async throws {
        try await relay.waitForPhase(phase, of: daemon, timeout: timeout)
    }

    func snapshotState() async throws -> String? { try await checkpoint()?["snapshot"] as? String }

    /// The broker goes as well, but not as a crash: it would lose what it has acknowledged.
    func crashServer() async throws {
        try await relay.cluster.restart(.immediate)
        try await broker.restart()
    }
}

/// A broker that lives as long as the test process.
actor SharedBroker {
    static let one = SharedBroker()
    private var started: Task<KafkaBroker, any Error>?

    /// The broker, started at the first call.
    func broker() async throws -> KafkaBroker {
        let task = started ?? Task { try await KafkaBroker.start() }
        started = task
        return try await task.value
    }
}
