// SPDX-License-Identifier: Apache-2.0
//
// Records that are of no table, as Debezium has them: the beginning and the end of a transaction,
// and heartbeats.
//
//   transaction  key {"id":"<xid>:<commit LSN>"}
//                {"status":"BEGIN","id":…,"event_count":null,"data_collections":null,"ts_ms":…}
//                {"status":"END","id":…,"event_count":n,
//                 "data_collections":[{"data_collection":"schema.table","event_count":n}],…}
//   heartbeat    key {"serverName":"<task>"}    {"ts_ms":…,"lsn":…}

public import ChangeModel

/// A key and a value: ranges of the buffer that they were encoded into.
public struct MetadataRecord: Sendable, Equatable {
    /// The key.
    public var key: Range<Int>
    /// The value.
    public var value: Range<Int>
}

/// How many changes a transaction has made, and to which tables.
///
/// Each change says its place in its transaction and among those of its table, so a tally that has
/// seen the last ones is right, also one that was begun anew in the middle. A change of a row's key
/// is one change, though two events tell it.
public struct TransactionTally: Sendable, Equatable {
    struct Collection: Sendable, Equatable {
        var oid: UInt32
        var name: String
        var count: UInt64
    }

    /// The changes of all tables.
    public private(set) var eventCount: UInt64 = 0
    private(set) var collections: [Collection] = []
    /// The collections of the batch that is being counted, by its relation indices; -1 is none.
    private var places: [Int] = []

    /// A tally of nothing.
    public init() {}

    /// Forgets the transaction and keeps the memory.
    public mutating func removeAll() {
        eventCount = 0
        collections.removeAll(keepingCapacity: true)
    }

    /// Counts changes of one transaction, in their order.
    public mutating func add(_ batch: borrowing ChangeBatch, changes range: Range<Int>) {
        places.removeAll(keepingCapacity: true)
        places.append(contentsOf: repeatElement(-1, count: batch.relations.count))
        for index in range.clamped(to: batch.changes.indices) {
            let change = batch.changes[index]
            let relation = Int(change.relation)
            guard places.indices.contains(relation) else { continue }
            if places[relation] < 0 {
                places[relation] = place(of: batch.relations[relation].relation)
            }
            let place = places[relation]
            eventCount = max(eventCount, change.ordinal)
            collections[place].count = max(collections[place].count, change.relationOrdinal)
        }
    }

    private mutating func place(of relation: Relation) -> Int {
        if let known = collections.firstIndex(where: { $0.oid == relation.oid }) { return known }
        collections.append(
            Collection(oid: relation.oid, name: relation.qualifiedName, count: 0)
        )
        return collections.count - 1
    }
}

/// Encodes the records of transactions and heartbeats.
public struct MetadataRecordEncoder: Sendable {
    private let task: String
    private let hasSchemas: Bool

    /// Creates an encoder for one task.
    public init(task: String, schemas: Bool) {
        self.task = task
        hasSchemas = schemas
    }

    /// Appends the record of a transaction's beginning.
    public func appendBegin(
        _ transaction: Transaction,
        into buffer: inout OutputBuffer
    ) -> MetadataRecord {
        appendTransaction("BEGIN", transaction, nil, into: &buffer)
    }

    /// Appends the record of a transaction's end.
    public func appendEnd(
        _ transaction: Transaction,
        _ tally: TransactionTally,
        into buffer: inout OutputBuffer
    ) -> MetadataRecord {
        appendTransaction("END", transaction, tally, into: &buffer)
    }

    /// Appends a heartbeat: all that was committed up to `lsn` is in the log.
    public func appendHeartbeat(
        _ lsn: LSN,
        at now: PostgresTime,
        into buffer: inout OutputBuffer
    ) -> MetadataRecord {
        let key = append(RecordSchemas.heartbeatKey, into: &buffer) { buffer in
            buffer.append("{\"serverName\":")
            buffer.appendText(task)
            buffer.append("}")
        }
        let value = append(RecordSchemas.heartbeatValue, into: &buffer) { buffer in
            buffer.append("{\"ts_ms\":")
            buffer.append(decimal: now.unixMilliseconds)
            buffer.append(",\"lsn\":")
            buffer.append(decimal: lsn.rawValue)
            buffer.append("}")
        }
        return MetadataRecord(key: key, value: value)
    }

    private func appendTransaction(
        _ status: StaticString,
        _ transaction: Transaction,
        _ tally: TransactionTally?,
        into buffer: inout OutputBuffer
    ) -> MetadataRecord {
        let key = append(RecordSchemas.transactionKey, into: &buffer) { buffer in
            buffer.append("{\"id\":")
            buffer.appendID(of: transaction)
            buffer.append("}")
        }
        let value = append(RecordSchemas.transactionValue, into: &buffer) { buffer in
            buffer.append("{\"status\":\"")
            buffer.append(status)
            buffer.append("\",\"id\":")
            buffer.appendID(of: transaction)
            buffer.append(",\"event_count\":")
            if let tally {
                buffer.append(decimal: tally.eventCount)
                buffer.append(",\"data_collections\":[")
                for (index, collection) in tally.collections.enumerated() {
                    buffer.append(index == 0 ? "{" : ",{")
                    buffer.append("\"data_collection\":")
                    buffer.appendText(collection.name)
                    buffer.append(",\"event_count\":")
                    buffer.append(decimal: collection.count)
                    buffer.append("}")
                }
                buffer.append("]")
            } else {
                buffer.append("null,\"data_collections\":null")
            }
            buffer.append(",\"ts_ms\":")
            buffer.append(decimal: transaction.commitTime.unixMilliseconds)
            buffer.append("}")
        }
        return MetadataRecord(key: key, value: value)
    }

    /// Appends what `payload` appends, under its schema where there are schemas.
    private func append(
        _ schema: ConnectSchema,
        into buffer: inout OutputBuffer,
        _ payload: (inout OutputBuffer) -> Void
    ) -> Range<Int> {
        let start = buffer.count
        if hasSchemas { buffer.appendOpening(schema) }
        payload(&buffer)
        if hasSchemas { buffer.append("}") }
        return start..<buffer.count
    }
}

extension OutputBuffer {
    /// Appends the id that a transaction's events have, in quotes.
    fileprivate mutating func appendID(of transaction: Transaction) {
        append("\"")
        append(decimal: UInt64(transaction.xid))
        append(":")
        append(decimal: transaction.commitLSN.rawValue)
        append("\"")
    }
}
