// SPDX-License-Identifier: Apache-2.0
//
// Records that are of no table, as Debezium has them: the beginning and the end of a transaction,
// and heartbeats.
//
//   transaction  key {"id":"<xid>:<commit LSN>"}
//                {"status":"BEGIN","id":…,"event_count":null,"data_collections":null,"ts_ms":…}
//                {"status":"END","id":…,"event_count":n,
//                 "data_collections":[{"data_collection":"schema.table","event_count":n}],…}
//   heartbeat    key {"serverName":"<name>"}    {"ts_ms":…,"lsn":…}

public import ChangeModel

/// A key and a value; few are made, none of them per row.
public struct MetadataRecord: Sendable, Equatable {
    /// The key.
    public var key: [UInt8]
    /// The value.
    public var value: [UInt8]
}

/// How many changes a transaction has made, and to which tables.
///
/// Each change says its place in its transaction and among those of its table, so a tally that has
/// seen the last ones is right, also one that was begun anew in the middle. A change of a row's key
/// is one change, though two events tell it.
public struct TransactionTally: Sendable {
    struct Collection: Sendable, Equatable {
        var oid: UInt32
        var name: String
        var count: UInt64
    }

    /// The changes of all tables.
    public private(set) var eventCount: UInt64 = 0
    private(set) var collections: [Collection] = []
    /// Where in `collections` the relations of the batch at hand are, by their indices, and since
    /// which `generation` that is so.
    private var places: [(generation: UInt64, index: Int)] = []
    private var generation: UInt64 = 1

    /// A tally of nothing.
    public init() {}

    /// Forgets the transaction and keeps the memory.
    public mutating func removeAll() {
        eventCount = 0
        collections.removeAll(keepingCapacity: true)
        generation += 1
    }

    /// To be called with each new batch: its relations have other indices.
    public mutating func enter(_ batch: borrowing ChangeBatch) {
        generation += 1
        let missing = batch.relations.count - places.count
        if missing > 0 { places += Array(repeating: (generation: 0, index: 0), count: missing) }
    }

    /// Counts changes of one transaction, in their order, of the batch that was entered.
    public mutating func count(_ batch: borrowing ChangeBatch, _ range: Range<Int>) {
        for index in range.clamped(to: batch.changes.indices) {
            let change = batch.changes[index]
            let relation = Int(change.relation)
            guard batch.relations.indices.contains(relation), relation < places.count
            else { continue }
            if places[relation].generation != generation {
                places[relation] = (generation, place(of: batch.relations[relation].relation))
            }
            eventCount = change.ordinal
            collections[places[relation].index].count = change.relationOrdinal
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
    private let serverName: String
    private let hasSchemas: Bool

    /// Creates an encoder; `serverName` is what the topics' names begin with.
    public init(serverName: String, schemas: Bool) {
        self.serverName = serverName
        hasSchemas = schemas
    }

    /// The record of a transaction's beginning.
    public func begin(_ transaction: Transaction) -> MetadataRecord {
        record("BEGIN", transaction, nil)
    }

    /// The record of a transaction's end.
    public func end(_ transaction: Transaction, _ tally: TransactionTally) -> MetadataRecord {
        record("END", transaction, tally)
    }

    /// A heartbeat: all that was committed up to `lsn` is in the log.
    public func heartbeat(_ lsn: LSN, at now: PostgresTime) -> MetadataRecord {
        let key = bytes(RecordSchemas.heartbeatKey) { buffer in
            buffer.append("{\"serverName\":")
            buffer.appendText(serverName)
            buffer.append("}")
        }
        let value = bytes(RecordSchemas.heartbeatValue) { buffer in
            buffer.append("{\"ts_ms\":")
            buffer.append(decimal: now.unixMilliseconds)
            buffer.append(",\"lsn\":")
            buffer.append(decimal: lsn.rawValue)
            buffer.append("}")
        }
        return MetadataRecord(key: key, value: value)
    }

    private func record(
        _ status: StaticString,
        _ transaction: Transaction,
        _ tally: TransactionTally?
    ) -> MetadataRecord {
        let key = bytes(RecordSchemas.transactionKey) { buffer in
            buffer.append("{\"id\":")
            buffer.appendID(of: transaction)
            buffer.append("}")
        }
        let value = bytes(RecordSchemas.transactionValue) { buffer in
            buffer.append("{\"status\":\"")
            buffer.append(status)
            buffer.append("\",\"id\":")
            buffer.appendID(of: transaction)
            if let tally {
                buffer.append(",\"event_count\":")
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
                buffer.append(",\"event_count\":null,\"data_collections\":null")
            }
            buffer.append(",\"ts_ms\":")
            buffer.append(decimal: transaction.commitTime.unixMilliseconds)
            buffer.append("}")
        }
        return MetadataRecord(key: key, value: value)
    }

    /// What `payload` appends, under its schema where there are schemas.
    private func bytes(
        _ schema: ConnectSchema,
        _ payload: (inout OutputBuffer) -> Void
    ) -> [UInt8] {
        var buffer = OutputBuffer(capacity: 1024)
        if hasSchemas { buffer.appendOpening(schema) }
        payload(&buffer)
        if hasSchemas { buffer.append("}") }
        return buffer.withUnsafeBytes { Array($0) }
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
