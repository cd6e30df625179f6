// SPDX-License-Identifier: Apache-2.0
//
// What the tests of reading share: a source on a private cluster, and its records as text.

import ChangeModel
import LibPQ
import Logging
import Settings
import Support
import Synchronization

@testable import BatchJobs

/// What came out of a source.
struct ReadRecords: Sendable {
    /// Each record, values between tabs as COPY has them, in the order of the slices.
    var lines: [String] = []
    /// How many came from each slice.
    var counts: [Int] = []
    /// Records that could not be passed on.
    var dirty: [DirtyRecord] = []
    /// The plan, the warnings and the shape that the source gave.
    var plan: [String] = []
    var warnings: [String] = []
    var shape = RecordShape(columns: [], allowsBinary: false)
    var estimatedRecords: Int?

    /// The records in an order that does not depend on slices.
    var sorted: [String] { lines.sorted() }
}

extension PostgresCluster {
    func readerParameters(
        database: String = "postgres",
        user: String = "postgres"
    ) -> ConnectionParameters {
        ConnectionParameters(keywords: [
            "host": socketDirectory, "port": "\(port)", "dbname": database, "user": user,
            "application_name": "reading",
        ])
    }

    /// A source whose limits divide even small tables.
    func source(
        _ content: Job.PostgreSQLReader.Content,
        channels: Int = 1,
        fetchSize: Int? = nil,
        database: String = "postgres",
        user: String = "postgres",
        stop: StopSignal = StopSignal(),
        patience: Duration = .seconds(60),
        lockLimit: Duration = .seconds(5),
        limits change: (inout SourceDivision.Limits) -> Void = { _ in }
    ) throws -> PostgresSource {
        var step = Job.PostgreSQLReader(server: .datasource("a"), content: content)
        step.fetchSize = fetchSize
        var limits = SourceDivision.Limits()
        limits.leastBytes = 1 << 13
        limits.leastRows = 1
        limits.prefersPages = false
        change(&limits)
        return try PostgresSource(
            step,
            session: SourceSession(
                readerParameters(database: database, user: user),
                stop: stop,
                patience: patience,
                lockLimit: lockLimit
            ),
            channels: channels,
            limits: limits
        )
    }

    /// Reads everything, all slices with one reader.
    func read(
        _ content: Job.PostgreSQLReader.Content,
        channels: Int = 1,
        fetchSize: Int? = nil,
        database: String = "postgres",
        user: String = "postgres"
    ) throws -> ReadRecords {
        let source = try source(
            content,
            channels: channels,
            fetchSize: fetchSize,
            database: database,
            user: user
        )
        defer { source.close() }
        return try source.records()
    }

    /// Reads a table.
    func read(
        table: String,
        columns: [String] = ["*"],
        where condition: String? = nil,
        splitPk: String? = nil,
        channels: Int = 1,
        fetchSize: Int? = nil,
        database: String = "postgres"
    ) throws -> ReadRecords {
        try read(
            .tables(.init([table], columns, condition, splitPk)),
            channels: channels,
            fetchSize: fetchSize,
            database: database
        )
    }
}

extension Job.PostgreSQLReader.Tables {
    init(
        _ names: [String],
        _ columns: [String] = ["*"],
        _ condition: String? = nil,
        _ splitKey: String? = nil
    ) {
        self.init(names: names, columns: columns)
        self.condition = condition
        self.splitKey = splitKey
    }
}

extension PostgresSource {
    /// All records, slice by slice, on one connection.
    func records() throws -> ReadRecords {
        var records = ReadRecords()
        let reader = try open(.text)
        for slice in 0..<sliceCount {
            let before = records.lines.count
            try reader.read(slice) {
                records.dirty.append($0)
            } _: { record in
                records.lines.append(String(decoding: record.dropLast(), as: UTF8.self))
            }
            records.counts.append(records.lines.count - before)
        }
        (records.plan, records.warnings, records.shape) = (plan, warnings, shape)
        records.estimatedRecords = estimatedRecords
        return records
    }
}

/// The error that a body throws as the operator is told it; nil where it throws none.
func refusal(_ body: () throws -> Void) -> WalrelayError? {
    do {
        try body()
        return nil
    } catch {
        return error as? WalrelayError
    }
}
