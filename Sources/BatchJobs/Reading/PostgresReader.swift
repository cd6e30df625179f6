// SPDX-License-Identifier: Apache-2.0
//
// Reads slices. Without a fetchSize the server streams: a message of COPY is a record, lent as it
// stands. With one, a cursor gives so many rows a round trip, which arrive one by one and are put
// into COPY's text format here. Either way one row is held at a time.

import ChangeModel
import LibPQ

final class PostgresReader: RecordReader {
    private let connection: Connection
    private let slices: [SourceSlice]
    private let columns: [RecordColumn]
    private let format: CopyFormat
    private let fetchSize: Int?
    private let patience: Duration
    /// Whether each record has to be looked at: nobody has made sure that it is UTF-8.
    private let checksText: Bool

    init(
        connection: consuming Connection,
        slices: [SourceSlice],
        columns: [RecordColumn],
        format: CopyFormat,
        fetchSize: Int?,
        patience: Duration
    ) {
        checksText = connection.holdsAnyBytes
        self.connection = connection
        self.slices = slices
        self.columns = columns
        self.format = format
        self.fetchSize = fetchSize
        self.patience = patience
    }

    func read(
        _ slice: Int,
        dirty: (DirtyRecord) throws -> Void,
        _ body: (Record) throws -> Void
    ) throws {
        let slice = slices[slice]
        guard checksText else { return try rows(of: slice, body) }
        try rows(of: slice) { record in
            if let fault = TextFault(in: record) {
                try dirty(fault.dirtyRecord(record, columns))
            } else {
                try body(record)
            }
        }
    }

    /// Lends each record; tells what the closure threw from what the server said.
    private func rows(of slice: SourceSlice, _ body: (Record) throws -> Void) throws {
        var refusal: (any Error)?
        var statement = slice.copy(format == .binary)
        func pass(_ record: Record) throws {
            do {
                try body(record)
            } catch {
                refusal = error
                throw error
            }
        }
        do {
            if let fetchSize {
                statement = slice.cursor(fetching: fetchSize).declare
                try fetch(slice.cursor(fetching: fetchSize), fetchSize, pass)
            } else if format == .binary {
                var tuples = BinaryTuples()
                try connection.copyOut(of: statement.text, idleLimit: patience) { message in
                    if let tuple = tuples.tuple(in: message) { try pass(tuple) }
                }
            } else {
                try connection.copyOut(of: statement.text, idleLimit: patience, pass)
            }
        } catch {
            if let refusal { throw refusal }
            guard let error = error as? PostgresError else { throw error }
            throw ReaderFault.error(error, while: "reading \(slice.label)", in: statement)
        }
    }

    private func fetch(
        _ cursor: (declare: ComposedStatement, fetch: String, close: String),
        _ rows: Int,
        _ body: (Record) throws -> Void
    ) throws {
        try connection.query(cursor.declare.text, within: patience)
        var record: [UInt8] = []
        var isMore = true
        while isMore {
            let count = try connection.forEachRow(of: cursor.fetch, idleLimit: patience) { row in
                record.removeAll(keepingCapacity: true)
                // At once: growing by and by would need a long row's memory several times.
                record.reserveCapacity(Self.estimatedBytes(row))
                for column in 0..<row.count {
                    if column > 0 { record.append(UInt8(ascii: "\t")) }
                    if let value = row[column] {
                        CopyText.append(value, to: &record)
                    } else {
                        CopyText.append(nil, to: &record)
                    }
                }
                record.append(UInt8(ascii: "\n"))
                try record.withUnsafeBytes(body)
            }
            isMore = count == rows
        }
        try connection.query(cursor.close)
    }

    /// The bytes of a row as a record, if not many of them have to be escaped.
    private static func estimatedBytes(_ row: borrowing RowValues) -> Int {
        var bytes = 0
        for column in 0..<row.count { bytes += 3 + (row[column]?.count ?? 0) }
        return bytes + bytes / 16
    }
}
