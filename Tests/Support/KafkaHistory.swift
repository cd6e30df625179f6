// SPDX-License-Identifier: Apache-2.0
//
// All that a consumer of a task's topics gets, and every reason to doubt it that shows in a
// partition: a key in two of them, an order that goes back, a tombstone without its delete, a key
// that is not the row's. `rebuilt` then puts the changes of all partitions into the source's order
// and lets RebuiltTables look for what is missing or stands twice.

/// The records of a task's tables as their consumers see them.
public struct KafkaHistory: Sendable {
    /// What was wrong, the first hundred.
    public private(set) var faults: [String] = []
    /// The events of all topics; each partition's in order.
    public private(set) var events: [ChangeEvent] = []
    /// How many records were tombstones.
    public private(set) var tombstones = 0
    /// How many records were repeats that key and sequence told.
    public private(set) var repeats = 0
    /// The partitions that records of a topic are in.
    public private(set) var partitions: [String: Set<Int>] = [:]
    /// The keys by topic whose last record has a value: what compaction leaves.
    public private(set) var liveKeys: [String: Set<String>] = [:]

    private let keys: [String: [String]]
    private let dropsRepeats: Bool
    /// The first half of a change of key by its table and sequence.
    private var departures: [String: ChangeEvent] = [:]
    private var arrivals: [String: Int] = [:]
    private var homes: [String: Int] = [:]
    private var seen: Set<String> = []

    /// Reads every topic of the prefix that is a table's; blocks its thread.
    ///
    /// `keys` is as RebuiltTables takes it. With `dropsRepeats` a record whose key and sequence
    /// were there before is left out, as a consumer has to where the sink is not transactional.
    public init(
        _ broker: KafkaBroker,
        prefix: String,
        keys: [String: [String]],
        isolation: KafkaIsolation = .committed,
        dropsRepeats: Bool = false
    ) throws {
        self.keys = keys
        self.dropsRepeats = dropsRepeats
        let own = ["walrelay-checkpoint", "transaction", "heartbeat", "dead-letter"]
            .map { "\(prefix).\($0)" }
        for topic in try broker.topics() where topic.hasPrefix("\(prefix).") && !own.contains(topic)
        {
            homes.removeAll()
            seen.removeAll()
            var ends: [Int: PartitionEnd] = [:]
            try broker.read(topic, isolation: isolation) { record in
                try add(record, &ends[record.partition, default: PartitionEnd()])
            }
        }
        for (sequence, _) in departures where arrivals[sequence] == nil {
            fault("a key was left and none taken: \(sequence)")
        }
    }

    /// Where a partition has come to.
    private struct PartitionEnd {
        var commit: UInt64 = 0
        var ordinal: UInt64 = 0
        /// The key of the delete that a tombstone must follow.
        var deleted: String?
    }

    private mutating func fault(_ what: String, _ record: KafkaRecord? = nil) {
        guard faults.count < 100 else { return }
        let place =
            record.map { ": \($0.topic)/\($0.partition)@\($0.offset) \($0.key ?? "")" } ?? ""
        faults.append(what + place)
    }

    // MARK: Records

    private mutating func add(_ record: KafkaRecord, _ end: inout PartitionEnd) throws {
        partitions[record.topic, default: []].insert(record.partition)
        guard let key = record.key?.exact else { return try addKeyless(record, &end) }
        if homes.updateValue(record.partition, forKey: key).map({ $0 != record.partition }) == true
        {
            fault("the key is in another partition as well", record)
        }
        guard record.value != nil else {
            tombstones += 1
            if end.deleted != key { fault("a tombstone without its delete", record) }
            end.deleted = nil
            liveKeys[record.topic]?.remove(key)
            return
        }
        end.deleted = nil
        let event = try record.event()
        let isRepeated =
            dropsRepeats && !seen.insert("\(event.sequence ?? "")\(key)\(event.op)").inserted
        if isRepeated {
            repeats += 1
        } else {
            checkOrder(event, record, &end)
        }
        if event.op == "d" { end.deleted = key }
        liveKeys[record.topic, default: []].insert(key)
        checkKey(event, record)
        if !isRepeated { take(event, record) }
    }

    private mutating func addKeyless(_ record: KafkaRecord, _ end: inout PartitionEnd) throws {
        let event = try record.event()
        if event.op != "t" { fault("\(event.op) has no key", record) }
        checkOrder(event, record, &end)
        events.append(event)
    }

    /// Keeps the event; the two halves of a change of key become the one change that they were.
    private mutating func take(_ event: ChangeEvent, _ record: KafkaRecord) {
        let sequence = "\(event.table) \(event.sequence ?? "")"
        if let newKey = record.header("__debezium.newkey") {
            if event.op != "d" { fault("\(event.op) with a new key", record) }
            if newKey.exact == record.key?.exact { fault("the new key is the old one", record) }
            departures[sequence] = event
            if let index = arrivals[sequence] { events[index].before = event.before }
        } else if let oldKey = record.header("__debezium.oldkey") {
            if event.op != "c" { fault("\(event.op) with an old key", record) }
            if oldKey.exact == record.key?.exact { fault("the old key is the new one", record) }
            var joined = event
            joined.op = "u"
            joined.before = departures[sequence]?.before
            arrivals[sequence] = events.count
            events.append(joined)
        } else {
            if !record.headers.isEmpty { fault("headers: \(record.headers)", record) }
            events.append(event)
        }
    }

    private mutating func checkOrder(
        _ event: ChangeEvent,
        _ record: KafkaRecord,
        _ end: inout PartitionEnd
    ) {
        guard let commit = event.commitLSN, let ordinal = event.ordinal else {
            return fault("no sequence", record)
        }
        let isLater = (commit, ordinal) > (end.commit, end.ordinal)
        // Rows of a snapshot are all at one place, and so are the halves of a change of key.
        let mayBeEqual = event.op == "r" || record.header("__debezium.oldkey") != nil
        if !isLater, !mayBeEqual || (commit, ordinal) != (end.commit, end.ordinal) {
            fault("\(commit).\(ordinal) after \(end.commit).\(end.ordinal)", record)
        }
        (end.commit, end.ordinal) = (commit, ordinal)
    }

    /// The key must be the row's, spelled as the event spells it.
    private mutating func checkKey(_ event: ChangeEvent, _ record: KafkaRecord) {
        let columns = keys[event.table] ?? ["id"]
        guard let row = event.after ?? event.before, let text = record.key else {
            return fault("no row", record)
        }
        var fields: ChangeEvent.Row?
        Array(text.utf8).withUnsafeBytes { bytes in
            guard var line = try? JSONLine(bytes) else { return }
            fields = try? line.row()
        }
        guard let fields else { return fault("the key is no object", record) }
        if columns.isEmpty {
            let sequence = fields["sequence"]?.text ?? ""
            if fields.count != 1 || !sequence.hasPrefix(event.sequence?.dropLast() ?? "?") {
                fault("the key is not the sequence \(event.sequence ?? "")", record)
            }
        } else if fields.keys.sorted() != columns.sorted()
            || columns.contains(where: { fields[$0]?.exact != row[$0]?.exact })
        {
            fault("the key is not the row's", record)
        }
    }

    // MARK: Tables

    /// The tables after all changes in the source's order; throws when anything was wrong.
    ///
    /// `isInterrupted` says that a snapshot was begun more than once: what was copied before the
    /// last one need not be whole until that has passed.
    public func rebuilt(isInterrupted: Bool = false) throws -> RebuiltTables {
        var tables = RebuiltTables(keys: keys)
        if isInterrupted {
            tables.settledAt =
                events.lazy.filter { $0.op == "r" }.compactMap(\.commitLSN).max() ?? 0
        }
        let order = events.indices.sorted { left, right in
            let (a, b) = (events[left], events[right])
            let (x, y) = ((a.commitLSN ?? 0, a.ordinal ?? 0), (b.commitLSN ?? 0, b.ordinal ?? 0))
            return x == y ? left < right : x < y
        }
        for index in order { tables.apply(events[index]) }
        let all = faults + tables.faults
        guard all.isEmpty else {
            throw SupportError("\(all.count) faults:\n\(all.joined(separator: "\n"))")
        }
        return tables
    }
}
