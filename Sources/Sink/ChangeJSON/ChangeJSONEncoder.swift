// SPDX-License-Identifier: Apache-2.0
//
// Changes → Debezium's JSON envelope, one line each, for files and streams.
//
// What a line holds is told in docs/types.md and docs/decisions; a column that was not sent is
// absent, never null.

public import ChangeModel

/// Encodes changes as Debezium events.
public struct ChangeJSONEncoder: ~Copyable {
    private var writer: EventWriter

    /// Whether each value is checked to be UTF-8: only of use where server_encoding is SQL_ASCII.
    public var validatesUTF8: Bool {
        get { writer.validatesUTF8 }
        set { writer.validatesUTF8 = newValue }
    }

    /// Creates an encoder; `version` is walrelay's own, for `source.version`.
    public init(task: String, database: String, version: String, format: ValueFormat) {
        writer = EventWriter(task: task, database: database, version: version, format: format)
    }

    /// Appends one line for each of the changes, until `byteLimit` bytes are in the buffer.
    ///
    /// Returns the index of the first change that is not encoded: the range's end, or less where
    /// the limit was reached; at least one change is encoded. On an error the buffer holds the
    /// lines before the change at fault, whole.
    ///
    /// Throws `value.malformed` for a value that is not of its type, `value.encoding` for one that
    /// is not UTF-8.
    @discardableResult
    public mutating func encode(
        _ batch: borrowing ChangeBatch,
        changes range: Range<Int>,
        at now: PostgresTime,
        into buffer: inout OutputBuffer,
        upTo byteLimit: Int = .max
    ) throws(WalrelayError) -> Int {
        writer.begin(batch.relations, at: now)
        var next = range.lowerBound
        let fault = batch.withRows { rows -> Fault? in
            while next < range.upperBound {
                guard let change = writer.select(next, rows) else {
                    return Fault(kind: .batch, column: -1)
                }
                let start = buffer.count
                if let fault = writer.append(change, rows, into: &buffer) {
                    buffer.truncate(to: start)
                    return fault
                }
                buffer.unchecked(UInt8(ascii: "\n"))
                next += 1
                if buffer.count >= byteLimit { break }
            }
            return nil
        }
        if let fault { throw fault.error(in: batch, change: next) }
        return next
    }
}
