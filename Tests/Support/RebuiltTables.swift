// SPDX-License-Identifier: Apache-2.0
//
// The tables that a consumer gets who applies the events in order, and every reason to doubt
// them: a change that stands twice, an order that goes back, a transaction with a hole, an
// update without its row. A fault is collected, not thrown, so that a test shows all of them.

/// What one table holds after all events so far.
public struct RebuiltTable: Sendable {
    /// The key columns; empty where the whole row is the identity.
    public let key: [String]
    /// The rows by the text of their key.
    ///
    /// The columns' texts joined by U+001F; without a key `#0`, `#1`… tells equal rows apart.
    public internal(set) var rows: [String: ChangeEvent.Row] = [:]
    static let separator = "\u{1f}"

    init(key: [String]) {
        self.key = key
    }
}

extension String {
    /// A text that is equal to no other's: Swift takes é and e with an accent for the same.
    var exact: String {
        if utf8.allSatisfy({ $0 < 0x80 }) { return self }
        return unicodeScalars.map { $0.isASCII ? "\($0)" : "U+\($0.value)" }.joined()
    }
}

/// Applies events and checks them against what the contract promises.
public struct RebuiltTables: Sendable {
    /// The tables by `schema.table`.
    public private(set) var tables: [String: RebuiltTable] = [:]
    /// What was wrong, the first hundred.
    public private(set) var faults: [String] = []
    /// How many events were applied, by op.
    public private(set) var counts: [String: Int] = [:]
    /// How many transactions were seen, the snapshot not counted.
    public private(set) var transactions = 0

    /// The position of the last of several snapshots, where those before it were interrupted.
    ///
    /// What was copied before need not be whole: a change before that position may be of a row
    /// that was not copied, and a row may be read again.
    public var settledAt: UInt64 = 0

    private let keys: [String: [String]]
    private var readAt: [String: UInt64] = [:]
    private var readKeys: [String: Set<String>] = [:]
    private var lastCommit: UInt64 = 0
    private var lastOrdinal: UInt64 = 0
    private var transaction: String?
    private var totalOrder = 0
    private var collectionOrder: [String: Int] = [:]
    private static let unavailable = JSONValue.string("__debezium_unavailable_value")

    /// `keys` names the key columns by `schema.table`, `["id"]` where a table is not in it;
    /// an empty list means that the whole row is the identity.
    public init(keys: [String: [String]] = [:]) {
        self.keys = keys
    }

    /// Reads all of `reader` and throws when there was any fault.
    public init(_ reader: NDJSONReader, keys: [String: [String]] = [:]) throws {
        self.init(keys: keys)
        try reader.read { apply($0) }
        guard faults.isEmpty else {
            throw SupportError("\(faults.count) faults:\n\(faults.joined(separator: "\n"))")
        }
    }

    /// Applies one event.
    public mutating func apply(_ event: ChangeEvent) {
        counts[event.op, default: 0] += 1
        if event.op != "r" { checkOrder(event) }
        if event.op == "m" { return }
        var table = tables[event.table] ?? RebuiltTable(key: keys[event.table] ?? ["id"])
        tables[event.table] = nil
        defer { tables[event.table] = table }
        switch event.op {
        case "r" where settledAt > 0: readAgain(event, &table)
        case "r", "c": insert(event, &table)
        case "u": update(event, &table)
        case "d": delete(event, &table)
        default: table.rows.removeAll()
        }
    }

    // MARK: Order

    private mutating func checkOrder(_ event: ChangeEvent) {
        guard let commit = event.commitLSN, let ordinal = event.ordinal else {
            return fault("no sequence", event)
        }
        if commit < lastCommit {
            fault("commit \(commit) after commit \(lastCommit)", event)
        } else if commit == lastCommit, ordinal <= lastOrdinal {
            fault("ordinal \(ordinal) after \(lastOrdinal) of commit \(commit)", event)
        }
        if event.transactionID != transaction || commit != lastCommit {
            if event.transactionID == transaction {
                fault("transaction id \(transaction ?? "null") in two commits", event)
            }
            transaction = event.transactionID
            transactions += 1
            totalOrder = 0
            collectionOrder.removeAll(keepingCapacity: true)
        }
        lastCommit = commit
        lastOrdinal = ordinal
        totalOrder += 1
        let inTable = collectionOrder[event.table, default: 0] + 1
        collectionOrder[event.table] = inTable
        if event.totalOrder != totalOrder {
            fault("total_order is not \(totalOrder)", event)
            totalOrder = event.totalOrder ?? totalOrder
        }
        if event.op != "m", event.collectionOrder != inTable {
            fault("data_collection_order is not \(inTable)", event)
            collectionOrder[event.table] = event.collectionOrder ?? inTable
        }
    }

    private mutating func fault(_ what: String, _ event: ChangeEvent) {
        guard faults.count < 100 else { return }
        let order = event.totalOrder.map { ", total_order \($0)" } ?? ""
        let row = event.after ?? event.before ?? [:]
        let start = row.sorted { $0.key < $1.key }.prefix(3)
            .map { "\($0.key)=\($0.value.text?.prefix(40) ?? "null")" }.joined(separator: " ")
        faults.append(
            "\(what): \(event.op) \(event.table) \(event.sequence ?? "")\(order) (\(start))"
        )
    }

    // MARK: Rows

    private static func key(_ row: ChangeEvent.Row, _ columns: [String]) -> String? {
        var parts: [String] = []
        for name in columns.isEmpty ? row.keys.sorted() : columns {
            guard let value = row[name] else { return nil }
            parts.append(value.text?.exact ?? "\\N")
        }
        return parts.joined(separator: RebuiltTable.separator)
    }

    /// Where a row without a key goes among its equals.
    private static func place(_ key: String, _ table: RebuiltTable, isFree: Bool) -> String? {
        guard table.key.isEmpty else { return key }
        var number = 0
        while table.rows["\(key)#\(number)"] != nil { number += 1 }
        if isFree { return "\(key)#\(number)" }
        return number == 0 ? nil : "\(key)#\(number - 1)"
    }

    private mutating func insert(_ event: ChangeEvent, _ table: inout RebuiltTable) {
        guard let row = event.after, let key = Self.key(row, table.key),
            let place = Self.place(key, table, isFree: true)
        else { return fault("no key in after", event) }
        if table.rows.updateValue(row, forKey: place) != nil { fault("the row is there", event) }
        if row.values.contains(Self.unavailable) { fault("an unavailable value", event) }
    }

    /// A row of one of several snapshots: it takes the place of what was there.
    private mutating func readAgain(_ event: ChangeEvent, _ table: inout RebuiltTable) {
        if readAt.updateValue(event.commitLSN ?? 0, forKey: event.table) != event.commitLSN {
            readKeys[event.table] = []
            // Rows that no key tells apart are those of the last snapshot alone.
            if table.key.isEmpty { table.rows.removeAll() }
        }
        guard !table.key.isEmpty else { return insert(event, &table) }
        guard let row = event.after, let key = Self.key(row, table.key) else {
            return fault("no key in after", event)
        }
        if readKeys[event.table, default: []].insert(key).inserted == false {
            fault("the row was read twice in one snapshot", event)
        }
        table.rows[key] = row
    }

    private func isSettled(_ event: ChangeEvent) -> Bool { (event.commitLSN ?? 0) >= settledAt }

    private mutating func delete(_ event: ChangeEvent, _ table: inout RebuiltTable) {
        guard let row = event.before, let key = Self.key(row, table.key) else {
            return fault("no key in before", event)
        }
        guard let place = Self.place(key, table, isFree: false),
            table.rows.removeValue(forKey: place) != nil
        else {
            if isSettled(event) { fault("the row is not there", event) }
            return
        }
    }

    private mutating func update(_ event: ChangeEvent, _ table: inout RebuiltTable) {
        guard let changed = event.after else { return fault("no after", event) }
        // Without a before the key is the same; with one it may be that of another row.
        guard let oldKey = Self.key(event.before ?? changed, table.key),
            let oldPlace = Self.place(oldKey, table, isFree: false),
            var row = table.rows.removeValue(forKey: oldPlace)
        else {
            if isSettled(event) { fault("the row is not there", event) }
            return
        }
        for (name, value) in changed {
            if value == Self.unavailable {
                if row[name] == nil { fault("\(name) was never sent", event) }
            } else {
                row[name] = value
            }
        }
        guard let key = Self.key(row, table.key),
            let place = Self.place(key, table, isFree: true)
        else { return fault("no key in after", event) }
        if table.rows.updateValue(row, forKey: place) != nil {
            fault("the new key is taken", event)
        }
    }
}
