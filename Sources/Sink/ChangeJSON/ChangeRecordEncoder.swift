// SPDX-License-Identifier: Apache-2.0
//
// Changes → keys and values of records, for a log with keys (Kafka). A value is the event that
// `ChangeJSONEncoder` writes as a line, without its end.
//
//   change                    records                          key
//   read, insert, update      event                            the row's
//   update of the key         event d · tombstone · event c    the old one · the old one · the new
//   delete                    event · tombstone                the row's
//   TRUNCATE                  event                            none
//   any row without a key     event                            {"sequence":"[…]"}
//
// What becomes the key, and why, is told in docs/decisions/0011-kafka-records.md.

public import ChangeModel

/// Encodes changes as records of Debezium events.
public struct ChangeRecordEncoder: ~Copyable {
    private var writer: EventWriter
    private let form: RecordForm
    /// How many rows without a key were read from snapshots: no two may have the same key.
    private var keylessReads: UInt64 = 0

    /// Whether each value is checked to be UTF-8: only of use where server_encoding is SQL_ASCII.
    public var validatesUTF8: Bool {
        get { writer.validatesUTF8 }
        set { writer.validatesUTF8 = newValue }
    }

    /// Creates an encoder; `version` is walrelay's own, for `source.version`.
    public init(
        task: String,
        database: String,
        version: String,
        format: ValueFormat,
        form: RecordForm
    ) {
        writer = EventWriter(
            task: task,
            database: database,
            version: version,
            format: format,
            schemas: form.schemas ? RecordSchemas(prefix: form.topicPrefix, format: format) : nil
        )
        self.form = form
    }

    /// Appends the records of the changes, until `byteLimit` bytes are in the buffer.
    ///
    /// Returns the index of the first change that is not encoded: the range's end, or less where
    /// the limit was reached; at least one change is encoded. The records of a change are never
    /// parted. On an error buffer and `records` hold those of the changes before the one at fault.
    ///
    /// Throws `value.malformed` for a value that is not of its type, `value.encoding` for one that
    /// is not UTF-8, `value.beyond_schema` for one that the declared type of `schemas` cannot hold,
    /// `key.not_sent` where the server left out what the key is made of.
    @discardableResult
    public mutating func encode(
        _ batch: borrowing ChangeBatch,
        changes range: Range<Int>,
        at now: PostgresTime,
        into buffer: inout OutputBuffer,
        records: inout [EventRecord],
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
                let firstRecord = records.count
                if let fault = append(change, next, rows, into: &buffer, &records) {
                    buffer.truncate(to: start)
                    records.removeLast(records.count - firstRecord)
                    return fault
                }
                next += 1
                if buffer.count >= byteLimit { break }
            }
            return nil
        }
        if let fault { throw fault.error(in: batch, change: next) }
        return next
    }

    /// Appends what one change becomes.
    @inline(__always)
    private mutating func append(
        _ change: Change,
        _ index: Int,
        _ rows: Rows,
        into buffer: inout OutputBuffer,
        _ records: inout [EventRecord]
    ) -> Fault? {
        let plan = writer.plan(of: change)
        let start = buffer.count
        guard plan.keyCount > 0, change.kind != .truncate else {
            return appendKeyless(change, index, rows, into: &buffer, &records)
        }
        let isDelete = change.kind == .delete
        // A delete without its old row: no server sends it for a table that has an identity.
        if isDelete, change.old == .none { return Fault(kind: .batch, column: -1) }
        if let fault = writer.appendKey(of: change, isOld: isDelete, plan, rows, into: &buffer) {
            return fault
        }
        let key = start..<buffer.count
        if change.kind == .update, change.old != .none {
            // An old row comes under FULL with every update, and otherwise also with one that
            // leaves a TOASTed key as it was: only the bytes tell.
            if let fault = writer.appendKey(of: change, isOld: true, plan, rows, into: &buffer) {
                return fault
            }
            let oldKey = key.upperBound..<buffer.count
            guard buffer.isEqual(key, oldKey) else {
                return appendMove(
                    change,
                    index,
                    from: oldKey,
                    to: key,
                    rows,
                    into: &buffer,
                    &records
                )
            }
            buffer.truncate(to: key.upperBound)
        }
        return appendEvent(
            change,
            index,
            as: .whole,
            key,
            hasTombstone: isDelete && form.tombstones,
            rows,
            into: &buffer,
            &records
        )
    }

    /// Appends the events of a row that has got another key.
    @inline(never)
    private mutating func appendMove(
        _ change: Change,
        _ index: Int,
        from oldKey: Range<Int>,
        to newKey: Range<Int>,
        _ rows: Rows,
        into buffer: inout OutputBuffer,
        _ records: inout [EventRecord]
    ) -> Fault? {
        if let fault = appendEvent(
            change,
            index,
            as: .departure,
            oldKey,
            header: .newKey(newKey),
            hasTombstone: form.tombstones,
            rows,
            into: &buffer,
            &records
        ) {
            return fault
        }
        return appendEvent(
            change,
            index,
            as: .arrival,
            newKey,
            header: .oldKey(oldKey),
            rows,
            into: &buffer,
            &records
        )
    }

    /// Appends the event of a TRUNCATE, or of a row that no key names.
    @inline(never)
    private mutating func appendKeyless(
        _ change: Change,
        _ index: Int,
        _ rows: Rows,
        into buffer: inout OutputBuffer,
        _ records: inout [EventRecord]
    ) -> Fault? {
        guard change.kind != .truncate else {
            return appendEvent(change, index, as: .whole, nil, rows, into: &buffer, &records)
        }
        let start = buffer.count
        if change.kind == .read { keylessReads += 1 }
        let row = change.kind == .read ? keylessReads : nil
        writer.appendPlace(of: change, row: row, rows, into: &buffer)
        return appendEvent(
            change,
            index,
            as: .whole,
            start..<buffer.count,
            isKeyless: true,
            rows,
            into: &buffer,
            &records
        )
    }

    /// Appends an event and notes its record, and its tombstone's.
    @inline(__always)
    private mutating func appendEvent(
        _ change: Change,
        _ index: Int,
        as shape: EventShape,
        _ key: Range<Int>?,
        header: EventRecord.Header = .none,
        isKeyless: Bool = false,
        hasTombstone: Bool = false,
        _ rows: Rows,
        into buffer: inout OutputBuffer,
        _ records: inout [EventRecord]
    ) -> Fault? {
        let start = buffer.count
        if let fault = writer.append(change, as: shape, rows, into: &buffer) { return fault }
        records.append(
            EventRecord(
                change: index,
                key: key,
                value: start..<buffer.count,
                header: header,
                isKeyless: isKeyless
            )
        )
        if hasTombstone {
            records.append(
                EventRecord(
                    change: index,
                    key: key,
                    value: nil,
                    header: .none,
                    isKeyless: isKeyless
                )
            )
        }
        return nil
    }
}
