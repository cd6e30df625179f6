// SPDX-License-Identifier: Apache-2.0
//
// One task of walrelay under test: its settings file, its sink's directory, its daemons one after
// another, and what both ends say of it. `differences` is the judge of most tests here: it reads
// the files as a consumer does and compares what comes of them with the source, row by row.
import Foundation
import FoundationNetworking
import Glibc
import Support

/// A task on a cluster, with files of its own that go with it.
struct RelayTask: Sendable {
    /// The source.
    let cluster: PostgresCluster
    /// The task's name.
    let name: String
    /// Where its status is served.
    let port: Int
    /// The settings file.
    let settingsPath: String
    /// Where the ndjson sink writes.
    let sinkDirectory: String
    private let files: TemporaryDirectory

    /// Writes the settings; `more` is further lines of YAML, `sink` the sink's entry, a table that
    /// begins with a brace an entry of its own.
    ///
    /// `hosts` are those of the settings where they are not the cluster alone.
    init(
        _ cluster: PostgresCluster,
        name: String = "orders",
        database: String = "postgres",
        tables: [String] = ["public.*"],
        rotate: String = "256MiB",
        sinkDirectory: String? = nil,
        sink: String? = nil,
        hosts: [PostgresCluster] = [],
        more: String = ""
    ) throws {
        self.cluster = cluster
        self.name = name
        port = try FreePort.find()
        files = try TemporaryDirectory()
        let directory = sinkDirectory ?? files.file("events")
        self.sinkDirectory = directory
        let list = tables.map { $0.hasPrefix("{") ? $0 : "'\($0)'" }.joined(separator: ", ")
        let entry =
            sink ?? "{ kind: ndjson, ndjson: { directory: '\(directory)', rotate: \(rotate) } }"
        let hosts = hosts.isEmpty ? [cluster] : hosts
        settingsPath = try files.write(
            """
            task: \(name)
            source:
              host: "\(hosts.map(\.host).joined(separator: ","))"
              port: "\(hosts.map { "\($0.port)" }.joined(separator: ","))"
              database: \(database)
              user: \(cluster.superuser)
            tables: { include: [\(list)] }
            sink: \(entry)
            http: { listen: "127.0.0.1:\(port)" }
            \(more)

            """,
            to: "\(name).yaml"
        )
    }

    /// The slot's name.
    var slot: String { "di_slot_\(name)" }

    // MARK: Daemons

    /// Starts `walrelay run`; each in the environment that the test wants.
    func start(
        _ options: [String] = [],
        failpoint: String? = nil,
        pause: String? = nil
    ) throws
        -> DaemonProcess
    {
        var environment: [String: String] = [:]
        environment["WALRELAY_FAILPOINT"] = failpoint
        environment["WALRELAY_FAILPOINT_PAUSE"] = pause
        return try DaemonProcess(
            ["run", "--config", settingsPath] + options,
            environment: environment
        )
    }

    /// Runs until all that is committed now is durable; throws unless that ends with exit 0.
    @discardableResult
    func runUntilNow(_ limit: Duration = .seconds(180)) async throws -> DaemonProcess {
        let daemon = try start(["--until", "now"])
        let status = try await daemon.wait(limit)
        guard status == .code(0) else {
            throw SupportError("run --until now: \(status)\n\(daemon.stderr.suffix(4_000))")
        }
        return daemon
    }

    /// Waits until the daemon serves this phase on /status.
    func waitForPhase(
        _ phase: String,
        of daemon: DaemonProcess,
        timeout: Duration = .seconds(60)
    ) async throws {
        try await daemon.until(timeout, "the phase \(phase)") {
            try await status()["phase"] as? String == phase
        }
    }

    /// What /status says.
    func status() async throws -> [String: Any] {
        guard let url = URL(string: "http://127.0.0.1:\(port)/status") else { return [:] }
        let (data, _) = try await URLSession.shared.data(for: URLRequest(url: url))
        return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    }

    /// One value of a part of /status, such as `stream`, `durableLSN`, as text.
    func status(_ part: String, _ key: String) async throws -> String? {
        let part = try await status()[part] as? [String: Any]
        guard let value = part?[key], !(value is NSNull) else { return nil }
        return "\(value)"
    }

    // MARK: Files

    /// The events up to the checkpoint.
    var events: NDJSONReader { NDJSONReader(sinkDirectory) }

    /// A text of checkpoint.json, such as `position`; nil where there is none.
    func checkpoint(_ key: String) throws -> String? { try events.checkpoint()?[key] as? String }

    // MARK: Source

    /// A column of the slot as text; empty where there is no such slot.
    func slot(_ column: String) throws -> String {
        try cluster.psql(
            "SELECT \(column) FROM pg_replication_slots WHERE slot_name = '\(slot)'"
        )
    }

    /// What a task that is not running must not have left on the server; empty when all is well.
    func leftovers() throws -> String {
        try cluster.psql(
            """
            SELECT 'slot ' || slot_name || CASE WHEN active THEN ' active' ELSE '' END
            FROM pg_replication_slots WHERE slot_name <> '\(slot)' OR active
            UNION ALL
            SELECT 'session ' || pid || ' ' || application_name || ' ' || coalesce(state, '')
            FROM pg_stat_activity WHERE application_name LIKE 'walrelay%'
            """
        )
    }

    /// Waits until the server has noticed the end of a daemon that was killed.
    func waitUntilNothingIsLeft() async throws {
        try await eventually("nothing left on the server: \((try? leftovers()) ?? "")") {
            try leftovers().isEmpty
        }
    }

    /// What a consumer's tables and the source's differ in; empty when all is exact.
    ///
    /// `keys` names the key columns by `schema.table`, as `RebuiltTables` takes them.
    func differences(_ keys: [String: [String]]) async throws -> [String] {
        try await onThread {
            let rebuilt = try RebuiltTables(events, keys: keys)
            var found: [String] = []
            for name in keys.keys.sorted() {
                let source = try cluster.rows(of: name)
                guard let table = rebuilt.tables[name] else {
                    if !source.isEmpty { found.append("\(name): no event, \(source.count) rows") }
                    continue
                }
                found += table.differences(from: source, expected: Self.eventText)
                    .map { "\(name): \($0)" }
            }
            return found
        }
    }

    /// Timestamps are the only values of these tests that an event writes differently.
    private static func eventText(_ column: String, _ text: String) -> String {
        column == "mtime" ? text.replacingOccurrences(of: " ", with: "T") : text
    }
}

/// The bound of the project on resident memory, whatever is thrown at the daemon.
enum MemoryBound {
    /// What is promised of a release, and what a debug build takes more for itself: of a release
    /// these tests see 45 to 50 MiB.
    static let bytes = (64 << 20) + (TestKnob.hasFailpoints ? 8 << 20 : 0)
    /// With librdkafka in the process: its queue, its threads and what they keep.
    static let kafkaBytes = 96 << 20

    /// Says what was used, for those who run the tests, and whether it is within the bound.
    static func holds(_ peakResidentBytes: Int, _ what: String, bytes: Int = bytes) -> Bool {
        print("VmHWM \(peakResidentBytes >> 20) MiB: \(what)")
        return peakResidentBytes > 0 && peakResidentBytes < bytes
    }
}

extension SeededGenerator {
    /// Begins with the seed that WALRELAY_TEST_SEED asks for, else with one at random.
    init() {
        self.init(
            seed: TestKnob.number("WALRELAY_TEST_SEED").map { UInt64($0) }
                ?? .random(in: 1...999_999)
        )
    }
}

/// What the environment says about how long and how large the tests are.
enum TestKnob {
    /// A whole number; nil where the variable is absent or is none.
    static func number(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
    }

    /// Whether the tests may take their minutes: an acceptance, not a change.
    static var isLong: Bool { number("WALRELAY_LONG_TESTS") == 1 }

    /// Whether the daemon under test has failpoints: the one that was built with the tests has.
    static var hasFailpoints: Bool {
        (ProcessInfo.processInfo.environment["WALRELAY_BINARY"] ?? "").isEmpty
    }
}
