// SPDX-License-Identifier: Apache-2.0
//
// A database of its own on a real server for each test that writes, and records as a server's COPY
// gives them.

import BatchJobs
import ChangeModel
import LibPQ
import Logging
import Settings
import Support
import Synchronization

/// The server that the tests of writing share.
enum WritingServer {
    static let cluster = Task {
        try await PostgresCluster.start(settings: ["fsync": "off", "deadlock_timeout": "50ms"])
    }
    private static let databases = Atomic<Int>(0)

    /// Runs `body` on a thread of its own, against a database in which `definition` was run.
    ///
    /// A `version` has a server of its own.
    static func run<Value: Sendable>(
        _ definition: String,
        version: PostgresVersion? = nil,
        encoding: String = "UTF8",
        _ body: @escaping @Sendable (WritingFixture) throws -> Value
    ) async throws -> Value {
        let cluster =
            if let version {
                try await PostgresCluster.start(version: version, settings: ["fsync": "off"])
            } else {
                try await cluster.value
            }
        let name = "writing_\(databases.add(1, ordering: .relaxed).newValue)"
        return try await onThread {
            try cluster.createDatabase(name, encoding: encoding)
            try cluster.psql(definition, database: name)
            return try body(WritingFixture(cluster: cluster, database: name))
        }
    }
}

/// What a writer did with its records.
struct Written {
    var dirty: [DirtyRecord]
    var written: Int
    var unmatched: Int
    var format: CopyFormat
    var warnings: [String]

    /// The first value of each dirty record.
    var dirtyKeys: [String] { dirty.map { ($0.values.first ?? nil) ?? "NULL" } }
}

/// A database to write into.
struct WritingFixture: Sendable {
    let cluster: PostgresCluster
    let database: String

    func parameters(user: String = "postgres") -> ConnectionParameters {
        ConnectionParameters(keywords: [
            "host": cluster.host, "port": "\(cluster.port)", "dbname": database, "user": user,
        ])
    }

    /// What psql says to statements.
    @discardableResult
    func rows(_ statements: String) throws -> String {
        try cluster.psql(statements, database: database)
    }

    /// Waits until a query gives an answer.
    func wait(for answer: String, from query: String) throws {
        for _ in 0..<500 {
            if try rows(query) == answer { return }
            StopSignal().sleep(for: .milliseconds(20))
        }
        throw SupportError("\(query) never gave \(answer)")
    }

    /// The rows of a query as records.
    func records(_ query: String, _ format: CopyFormat = .text) throws -> [[UInt8]] {
        let connection = try Connection.open(parameters())
        let copy = "COPY (\(query)) TO STDOUT (FORMAT \(format.rawValue))"
        guard try connection.query(copy).beginsCopy else { throw SupportError("no COPY") }
        var messages: [[UInt8]] = []
        try connection.copyOut { messages.append(Array($0)) }
        guard format == .binary else { return messages }
        var bytes = messages.flatMap(\.self)[...].dropFirst(19)
        var records: [[UInt8]] = []
        while let count = Self.number(bytes, 2), count != 0xFFFF {
            var length = 2
            for _ in 0..<count {
                let size = Self.number(bytes.dropFirst(length), 4) ?? 0
                length += 4 + (size == 0xFFFF_FFFF ? 0 : size)
            }
            records.append(Array(bytes.prefix(length)))
            bytes = bytes.dropFirst(length)
        }
        return records
    }

    private static func number(_ bytes: ArraySlice<UInt8>, _ size: Int) -> Int? {
        bytes.count < size ? nil : bytes.prefix(size).reduce(0) { $0 << 8 | Int($1) }
    }

    /// Writes records with one writer; the types are those of the records, 25 where not given.
    func write(
        _ records: [[UInt8]],
        _ step: Job.PostgreSQLWriter,
        types: [UInt32]? = nil,
        user: String = "postgres",
        dirtyLimit: Int = .max,
        stop: StopSignal = StopSignal()
    ) throws -> Written {
        let counters = JobCounters()
        let dirty = Mutex<[DirtyRecord]>([])
        let context = JobContext(
            counters: counters,
            report: { record in
                let count = dirty.withLock { dirty in
                    dirty.append(record)
                    return dirty.count
                }
                guard count <= dirtyLimit else {
                    throw WalrelayError("job.dirty_records", exit: .refused, "too many")
                }
            },
            stop: stop,
            log: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        let width = types?.count ?? Self.width(records)
        let columns = (0..<width).map {
            RecordColumn(name: "c\($0)", typeOID: types?[$0] ?? 25, typeName: "a type")
        }
        let target = try PostgresTarget(
            step,
            server: parameters(user: user),
            shape: RecordShape(columns: columns, allowsBinary: types != nil),
            context: context
        )
        try target.begin()
        let writer = try target.open()
        do {
            for record in records { try record.withUnsafeBytes { try writer.take($0) } }
            try writer.flush()
        } catch {
            writer.abandon()
            throw error
        }
        try target.finish()
        return Written(
            dirty: dirty.withLock { $0 },
            written: counters.recordsWritten.load(ordering: .relaxed),
            unmatched: counters.unmatchedRecords.load(ordering: .relaxed),
            format: target.format,
            warnings: target.warnings
        )
    }

    /// The same, of values.
    func write(_ rows: [[String?]], _ step: Job.PostgreSQLWriter) throws -> Written {
        try write(rows.map(Self.record), step)
    }

    /// A record in COPY's text format.
    static func record(_ values: [String?]) -> [UInt8] {
        var record: [UInt8] = []
        for (place, value) in values.enumerated() {
            if place > 0 { record.append(UInt8(ascii: "\t")) }
            CopyText.append(value, to: &record)
        }
        return record + [UInt8(ascii: "\n")]
    }

    private static func width(_ records: [[UInt8]]) -> Int {
        (records.first?.count { $0 == UInt8(ascii: "\t") } ?? 0) + 1
    }

    /// What writing fails with.
    func failure(_ rows: [[String?]], _ step: Job.PostgreSQLWriter) throws -> WalrelayError? {
        do {
            _ = try write(rows, step)
            return nil
        } catch let error as WalrelayError {
            return error
        }
    }
}

/// A step that writes into a table.
func step(
    _ table: String,
    _ columns: [String] = ["*"],
    _ mode: Job.PostgreSQLWriter.Mode = .insert,
    key: [String] = [],
    change: (inout Job.PostgreSQLWriter) -> Void = { _ in }
) -> Job.PostgreSQLWriter {
    var step = Job.PostgreSQLWriter(server: .datasource("target"), table: table, columns: columns)
    step.mode = mode
    step.uniqueKey = key
    change(&step)
    return step
}
