// SPDX-License-Identifier: Apache-2.0
//
// The stream reader: rows that are made up, the same number in each channel.

public import ChangeModel
public import Settings

/// Makes records up.
public struct GeneratedSource: RecordSource {
    private let columns: [Job.StreamReader.Column]
    private let rowsPerChannel: Int
    private let channels: Int

    /// A source with a slice for each channel.
    public init(_ step: Job.StreamReader, channels: Int) {
        columns = step.columns
        rowsPerChannel = step.columns.isEmpty ? 0 : max(0, step.rowsPerChannel)
        self.channels = max(1, channels)
    }

    /// Text without types; no columns where none are given.
    public var shape: RecordShape {
        RecordShape(
            columns: columns.enumerated().map { place, column in
                RecordColumn(
                    name: "column \(place + 1)",
                    typeOID: 0,
                    typeName: column.kind.rawValue
                )
            },
            allowsBinary: false
        )
    }

    /// One line.
    public var plan: [String] {
        [
            "make up \(rowsPerChannel) rows of \(columns.count) values"
                + (channels > 1 ? " in each of \(channels) channels" : "")
        ]
    }

    /// None.
    public var warnings: [String] { [] }

    /// A slice a channel.
    public var sliceCount: Int { channels }

    /// All of them.
    public var estimatedRecords: Int? {
        let (count, overflow) = rowsPerChannel.multipliedReportingOverflow(by: channels)
        return overflow ? nil : count
    }

    /// A reader with random numbers of its own.
    public func open(_ format: CopyFormat) throws -> any RecordReader {
        GeneratedReader(columns, rows: rowsPerChannel)
    }

    /// Does nothing.
    public func close() {}
}

/// Makes the records of one channel up.
private final class GeneratedReader: RecordReader {
    private let columns: [Job.StreamReader.Column]
    private let rows: Int
    private var values: GeneratedValues
    private var record: [UInt8] = []

    init(_ columns: [Job.StreamReader.Column], rows: Int) {
        self.columns = columns
        self.rows = rows
        values = GeneratedValues(seed: .random(in: .min ... .max))
    }

    func read(
        _ slice: Int,
        dirty: (DirtyRecord) throws -> Void,
        _ body: (Record) throws -> Void
    ) throws {
        for _ in 0..<rows {
            record.removeAll(keepingCapacity: true)
            for (place, column) in columns.enumerated() {
                if place > 0 { record.append(UInt8(ascii: "\t")) }
                values.append(column, to: &record)
            }
            record.append(UInt8(ascii: "\n"))
            try record.withUnsafeBytes { try body($0) }
        }
    }
}
