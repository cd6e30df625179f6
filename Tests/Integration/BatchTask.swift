// SPDX-License-Identifier: Apache-2.0
//
// A batch job between two databases of a test: its document, its datasources, its runs through the
// built program, and what both databases hold. Steps are written as the document has them: what
// stands in `parameter`, as JSON without the braces.
import Foundation
import Support
import Synchronization
import Testing

/// Two databases and the jobs that go from one to the other.
struct BatchTask: Sendable {
    let source: PostgresCluster
    let target: PostgresCluster
    /// The source's database: the name that was given, with a number.
    let database: String
    let files: TemporaryDirectory

    /// A name that stands only once, also when a test before could not clean up.
    private static let count = Atomic<Int>(0)

    /// The target's database.
    var targetDatabase: String { "\(database)_target" }

    /// Makes both databases, on a cluster that many tests share unless others are given.
    init(
        _ name: String,
        source: PostgresCluster? = nil,
        target: PostgresCluster? = nil,
        encoding: String = "UTF8",
        targetEncoding: String = "UTF8",
        sql: String = "SELECT 1",
        targetSQL: String = "SELECT 1"
    ) async throws {
        let shared = try await VersionClusters.all.cluster()
        let servers = (source: source ?? shared, target: target ?? source ?? shared)
        let number = Self.count.add(1, ordering: .relaxed).newValue
        let names = (source: "\(name)_\(number)", target: "\(name)_\(number)_target")
        self.source = servers.source
        self.target = servers.target
        database = names.source
        let directory = try TemporaryDirectory()
        files = directory
        try await onThread {
            try servers.source.createDatabase(names.source, encoding: encoding)
            try servers.source.psql(sql, database: names.source, limit: .seconds(600))
            try servers.target.createDatabase(names.target, encoding: targetEncoding)
            try servers.target.psql(targetSQL, database: names.target)
            try directory.write(
                """
                source: { conninfo: "\(servers.source.conninfo(database: names.source))" }
                target: { conninfo: "\(servers.target.conninfo(database: names.target))" }

                """,
                to: "datasources.yaml"
            )
        }
    }

    // MARK: Jobs

    /// A job's document; every part is JSON, of an object what stands between its braces.
    struct Document: Sendable {
        var readerType = "postgresql"
        var reader = #""datasource": "source", "table": "t", "column": ["*"]"#
        var writerType = "postgresql"
        var writer = #""datasource": "target", "table": "t", "column": ["*"]"#
        var setting = #""errorLimit": { "record": "0" }, "speed": { "concurrent": 1 }"#
        /// Further keys of the document.
        var more = ""

        /// The document with one step a line, so that faults have a line to name.
        var text: String {
            """
            {
                "type": "job", "version": "2.0", // as the vendor's own examples have it
                "steps": [
                    { "stepType": "\(readerType)", "name": "Reader", "category": "reader",
                      "parameter": { \(reader) } },
                    { "stepType": "\(writerType)", "name": "Writer", "category": "writer",
                      "parameter": { \(writer) } }
                ],
                "setting": { \(setting) },
                \(more.isEmpty ? "" : more + ",")
                "order": { "hops": [ { "from": "Reader", "to": "Writer" } ] }
            }

            """
        }
    }

    /// Starts a job, whose file is job.json.
    func start(_ document: Document, _ options: [String] = []) throws -> DaemonProcess {
        let path = try files.write(document.text, to: "job.json")
        let datasources = files.file("datasources.yaml")
        return try DaemonProcess(["batch", path, "--datasources", datasources] + options)
    }

    /// Runs a job to its end and gives what it left and the most memory that it held.
    func run(
        _ document: Document,
        _ options: [String] = [],
        limit: Duration = .seconds(120)
    ) async throws -> BatchOutcome {
        let process = try start(document, options)
        let status = try await process.wait(limit)
        return BatchOutcome(
            outcome: Outcome(status: status, stdout: process.stdout, stderr: process.stderr),
            peakResidentBytes: process.peakResidentBytes
        )
    }

    /// Runs a job that has to end well.
    @discardableResult
    func runWell(
        _ document: Document,
        _ options: [String] = [],
        limit: Duration = .seconds(120)
    ) async throws -> BatchOutcome {
        let end = try await run(document, options, limit: limit)
        guard end.status == .code(0) else {
            throw SupportError("\(end.status)\n\(end.text)\n\(document.text)")
        }
        return end
    }

    // MARK: Both databases

    /// Runs SQL in the source's database; each statement commits on its own.
    @discardableResult
    func source(_ sql: String) async throws -> String {
        try await onThread { try source.psql(sql, database: database, limit: .seconds(600)) }
    }

    /// Runs SQL in the target's database.
    @discardableResult
    func target(_ sql: String) async throws -> String {
        try await onThread {
            try target.psql(sql, database: targetDatabase, limit: .seconds(600))
        }
    }

    /// The lines of the file of dirty records, each as an object.
    func dirtyRecords(_ name: String = "dirty.jsonl") throws -> [[String: Any]] {
        let text = try String(contentsOfFile: files.file(name), encoding: .utf8)
        return try text.split(separator: "\n").map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
            guard let object = object as? [String: Any] else { throw SupportError("\(line)") }
            return object
        }
    }

    /// Drops both databases, which shared servers would otherwise collect.
    func end() async throws {
        try await onThread {
            for (server, name) in [(source, database), (target, targetDatabase)] {
                try server.psql("DROP DATABASE \"\(name)\" WITH (FORCE)")
            }
        }
    }
}

/// What a job left.
struct BatchOutcome: Sendable {
    let outcome: Outcome
    /// The most memory that was resident at once.
    let peakResidentBytes: Int

    var status: Support.ExitStatus { outcome.status }
    /// Both streams, of which the statistics and the log go to either.
    var text: String { outcome.stdout + outcome.stderr }

    /// The number that follows a word of the closing statistics; nil where there is none.
    func statistic(_ word: String) -> Int? {
        let line = text.split(separator: "\n").last { $0.lowercased().contains(word) }
        return line.flatMap { Int($0.drop { !$0.isNumber }.prefix { $0.isNumber }) }
    }
}
