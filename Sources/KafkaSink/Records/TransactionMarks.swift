// SPDX-License-Identifier: Apache-2.0
//
// `<topicPrefix>.transaction`: a record when a source transaction begins and one when it ends, as
// Debezium has them. Counts come from the changes' own ordinals, so that they are right also where
// the first part of a transaction was written by an earlier run.

#if Kafka
import ChangeModel

/// Follows the transactions that pass.
struct TransactionMarks {
    /// A mark that is to be written.
    struct Mark {
        var key: [UInt8]
        var value: [UInt8]
    }

    private let isSchemaShown: Bool
    /// The transaction that has begun and not ended.
    private var open: Transaction?
    private var events: UInt64 = 0
    /// The events of each table, in the order in which the tables came.
    private var collections: [(name: String, events: UInt64)] = []
    /// Where in `collections` the relations of the batch at hand are, and since which `generation`
    /// that is so.
    private var places: [(generation: UInt64, index: Int)] = []
    private var generation: UInt64 = 1

    init(schemas: Bool) {
        isSchemaShown = schemas
    }

    /// Forgets the transaction that has not ended.
    mutating func forget() {
        open = nil
        events = 0
        collections.removeAll(keepingCapacity: true)
        generation += 1
    }

    /// Whether these changes belong to another transaction than the one that is open.
    func isOther(_ transaction: Transaction) -> Bool {
        open?.commitLSN != transaction.commitLSN
    }

    /// Begins a transaction; gives its mark.
    mutating func begin(_ transaction: Transaction) -> Mark {
        forget()
        open = transaction
        return mark("BEGIN", of: transaction)
    }

    /// To be called with each new batch: its relations have other indices.
    mutating func enter(_ batch: borrowing ChangeBatch) {
        generation += 1
        let missing = batch.relations.count - places.count
        if missing > 0 { places += Array(repeating: (generation: 0, index: 0), count: missing) }
    }

    /// Counts changes of the open transaction.
    mutating func count(_ batch: borrowing ChangeBatch, _ range: Range<Int>) {
        for index in range {
            let change = batch.changes[index]
            let relation = Int(change.relation)
            if places[relation].generation != generation {
                let name = batch.relations[relation].relation.qualifiedName
                places[relation] = (generation, place(name))
            }
            collections[places[relation].index].events = change.relationOrdinal
            events = change.ordinal
        }
    }

    private mutating func place(_ name: String) -> Int {
        if let index = collections.firstIndex(where: { $0.name == name }) { return index }
        collections.append((name, 0))
        return collections.count - 1
    }

    /// Ends the open transaction; gives its mark, `nil` where none is open.
    mutating func end() -> Mark? {
        guard let transaction = open else { return nil }
        defer { forget() }
        return mark("END", of: transaction)
    }

    /// Where the open transaction commits.
    var openCommitLSN: LSN? { open?.commitLSN }

    private func mark(_ status: String, of transaction: Transaction) -> Mark {
        let id = "\(transaction.xid):\(transaction.commitLSN.rawValue)"
        var key = JSONLine()
        if isSchemaShown { key.raw(Self.keySchema) }
        key.raw("{\"id\":\"\(id)\"}")
        if isSchemaShown { key.raw("}") }
        var value = JSONLine()
        if isSchemaShown { value.raw(Self.valueSchema) }
        value.raw("{\"status\":\"\(status)\",\"id\":\"\(id)\"")
        if status == "END" {
            value.raw(",\"event_count\":\(events),\"data_collections\":[")
            for (index, collection) in collections.enumerated() {
                value.raw(index == 0 ? "{\"data_collection\":" : ",{\"data_collection\":")
                value.quoted(collection.name)
                value.raw(",\"event_count\":\(collection.events)}")
            }
            value.raw("]")
        } else {
            value.raw(",\"event_count\":null,\"data_collections\":null")
        }
        value.raw(",\"ts_ms\":\(transaction.commitTime.unixMicroseconds / 1_000)}")
        if isSchemaShown { value.raw("}") }
        return Mark(key: key.bytes, value: value.bytes)
    }

    private static let keySchema = """
        {"schema":{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"}],\
        "optional":false,"name":"io.debezium.connector.common.TransactionMetadataKey",\
        "version":1},"payload":
        """

    private static let valueSchema = """
        {"schema":{"type":"struct","fields":[\
        {"type":"string","optional":false,"field":"status"},\
        {"type":"string","optional":false,"field":"id"},\
        {"type":"int64","optional":true,"field":"event_count"},\
        {"type":"array","items":{"type":"struct","fields":[\
        {"type":"string","optional":false,"field":"data_collection"},\
        {"type":"int64","optional":false,"field":"event_count"}],\
        "optional":false,"name":"event.collection","version":1},\
        "optional":true,"field":"data_collections"},\
        {"type":"int64","optional":false,"field":"ts_ms"}],\
        "optional":false,"name":"io.debezium.connector.common.TransactionMetadataValue",\
        "version":1},"payload":
        """
}
#endif
