// SPDX-License-Identifier: Apache-2.0
//
// One change → one JSON object, for whoever puts it into a line or a record. The hot path of the
// whole daemon: per row there is no allocation, no reference counting and no look-up; what can be
// known per relation version (names, types) or per transaction (most of the envelope) is bytes
// that are copied.

import ChangeModel

/// Which sides of a change an event shows, and what it calls itself.
enum EventShape {
    /// The change as it is.
    case whole
    /// The old row alone, as a delete: a change of the key, seen from the old one.
    case departure
    /// The new row alone, as an insert: a change of the key, seen from the new one.
    case arrival
}

/// Appends events and keys to a buffer.
struct EventWriter: ~Copyable {
    /// How many relation versions are kept prepared from call to call.
    static let planLimit = 512

    /// Whether each value is checked to be UTF-8.
    var validatesUTF8 = false

    private var envelope: Envelope
    private var values: ValueWriter
    private var plans: [UInt64: EncodingPlan] = [:]
    /// The plans of the batch that is being encoded, by its relation indices.
    private var current: [EncodingPlan.View] = []
    private var currentVersions: [UInt64] = []
    /// A plan for nothing, so that there is always one to point at.
    private let empty: EncodingPlan
    /// What keys and events are declared to be; `nil` for events alone.
    private let schemas: RecordSchemas?
    private var transaction: Int32 = -1
    private var isSnapshot = false

    init(
        task: String,
        database: String,
        version: String,
        format: ValueFormat,
        schemas: RecordSchemas? = nil
    ) {
        self.schemas = schemas
        envelope = Envelope(task: task, database: database, version: version)
        let relation = Relation(
            oid: 0,
            schema: "",
            name: "",
            replicaIdentity: .nothing,
            columns: []
        )
        empty = EncodingPlan(RelationVersion(relation: relation, types: [], version: 0))
        values = ValueWriter(format: format, nodes: empty.view.nodes)
    }

    /// Makes ready for the changes of one batch, finds or makes the plans of its relations.
    mutating func begin(_ relations: [RelationVersion], at now: PostgresTime) {
        envelope.begin(at: now)
        transaction = -1
        // A caller that encodes a batch in many small ranges is not to pay for look-ups each time.
        if relations.count == currentVersions.count,
            relations.indices.allSatisfy({ relations[$0].version == currentVersions[$0] })
        {
            return
        }
        if plans.count > Self.planLimit { plans.removeAll() }
        current.removeAll(keepingCapacity: true)
        currentVersions.removeAll(keepingCapacity: true)
        for relation in relations {
            let plan =
                plans[relation.version] ?? EncodingPlan(relation, schemas: schemas)
            plans[relation.version] = plan
            current.append(plan.view)
            currentVersions.append(relation.version)
        }
    }

    /// The change at `index`, its transaction's part of the envelope made ready; `nil` where the
    /// batch contradicts itself.
    @inline(__always)
    mutating func select(_ index: Int, _ rows: Rows) -> Change? {
        guard let change = rows.change(index, planCount: current.count) else { return nil }
        let isRead = change.kind == .read
        if change.transaction != transaction || isRead != isSnapshot {
            transaction = change.transaction
            isSnapshot = isRead
            envelope.select(rows.transactions[Int(transaction)], isSnapshot: isRead)
        }
        return change
    }

    /// The plan of a change that was selected.
    @inline(__always)
    func plan(of change: Change) -> EncodingPlan.View { current[Int(change.relation)] }

    /// Appends the event of a change that was selected, and leaves room for one byte more.
    ///
    /// After a fault what was appended is to be taken back.
    @inline(__always)
    mutating func append(
        _ change: Change,
        as shape: EventShape = .whole,
        _ rows: Rows,
        into buffer: inout OutputBuffer
    ) -> Fault? {
        let plan = current[Int(change.relation)]
        if schemas != nil { buffer.append(plan.run(plan.valueOpening)) }
        buffer.reserve(64)
        if change.old == .none || change.kind == .truncate || shape == .arrival {
            buffer.unchecked("{\"before\":null,\"after\":")
        } else {
            buffer.unchecked("{\"before\":")
            if let fault = appendTuple(
                Int(change.oldCells),
                unchanged: nil,
                identityOnly: change.old == .key,
                plan,
                rows,
                into: &buffer
            ) {
                return fault
            }
            buffer.append(",\"after\":")
        }
        if change.kind == .delete || change.kind == .truncate || shape == .departure {
            buffer.append("null")
        } else if let fault = appendTuple(
            Int(change.newCells),
            unchanged: change.old == .none ? nil : Int(change.oldCells),
            identityOnly: false,
            plan,
            rows,
            into: &buffer
        ) {
            return fault
        }
        envelope.close(change, as: shape, plan, into: &buffer)
        if schemas != nil { buffer.append("}") }
        return nil
    }

    /// Appends the object of the key's columns: of the new row, or of the old one.
    @inline(__always)
    mutating func appendKey(
        of change: Change,
        isOld: Bool,
        _ plan: EncodingPlan.View,
        _ rows: Rows,
        into buffer: inout OutputBuffer
    ) -> Fault? {
        let first = isOld ? Int(change.oldCells) : Int(change.newCells)
        let unchanged = isOld || change.old == .none ? nil : Int(change.oldCells)
        guard rows.hasCells(first, plan.columnCount),
            unchanged.map({ rows.hasCells($0, plan.columnCount) }) ?? true
        else { return Fault(kind: .batch, column: -1) }
        if schemas != nil { buffer.append(plan.run(plan.keyOpening)) }
        values.nodes = plan.nodes
        let start = buffer.count
        for place in 0..<plan.keyCount {
            let index = Int(plan.key[place])
            let cell = rows.cell(first + index, unchanged: unchanged.map { $0 + index })
            guard cell.isValue || cell == .null else { return Fault(kind: .key, column: index) }
            if let fault = append(cell, at: index, plan, rows, into: &buffer) { return fault }
        }
        closeObject(from: start, in: &buffer)
        if schemas != nil { buffer.append("}") }
        return nil
    }

    /// Appends the key of a row that has none: its change's place in the total order.
    ///
    /// All rows of a snapshot are at one place, so a third number, `row`, tells them apart.
    @inline(never)
    func appendPlace(
        of change: Change,
        row: UInt64?,
        _ rows: Rows,
        into buffer: inout OutputBuffer
    ) {
        let plan = current[Int(change.relation)]
        if schemas != nil { buffer.append(plan.run(plan.keyOpening)) }
        buffer.append("{\"sequence\":\"[\\\"")
        buffer.append(decimal: rows.transactions[Int(change.transaction)].commitLSN.rawValue)
        buffer.append("\\\",\\\"")
        buffer.append(decimal: change.ordinal)
        if let row {
            buffer.append("\\\",\\\"")
            buffer.append(decimal: row)
        }
        buffer.append("\\\"]\"}")
        if schemas != nil { buffer.append("}") }
    }

    /// Appends the object of a tuple whose cells begin at `first`.
    ///
    /// Where a cell says that its value was not sent because it did not change, the one at
    /// `unchanged`, the first cell of the old tuple, is taken if it has a value.
    @inline(__always)
    private mutating func appendTuple(
        _ first: Int,
        unchanged: Int?,
        identityOnly: Bool,
        _ plan: EncodingPlan.View,
        _ rows: Rows,
        into buffer: inout OutputBuffer
    ) -> Fault? {
        guard rows.hasCells(first, plan.columnCount),
            unchanged.map({ rows.hasCells($0, plan.columnCount) }) ?? true
        else { return Fault(kind: .batch, column: -1) }
        values.nodes = plan.nodes
        let start = buffer.count
        for index in 0..<plan.columnCount {
            if identityOnly, !plan.columns[index].isIdentity { continue }
            let cell = rows.cell(first + index, unchanged: unchanged.map { $0 + index })
            if cell == .absent { continue }
            if let fault = append(cell, at: index, plan, rows, into: &buffer) { return fault }
        }
        closeObject(from: start, in: &buffer)
        return nil
    }

    /// Appends a column's name and value behind a comma.
    @inline(__always)
    private mutating func append(
        _ cell: Cell,
        at index: Int,
        _ plan: EncodingPlan.View,
        _ rows: Rows,
        into buffer: inout OutputBuffer
    ) -> Fault? {
        let column = plan.columns[index]
        buffer.reserve(column.name.count + 64)
        buffer.unchecked(padded: plan.bytes + Int(column.name.lowerBound), column.name.count)
        guard cell.isValue else {
            if cell == .null {
                buffer.unchecked("null")
            } else if column.unavailable.isEmpty {
                return Fault(kind: .unavailable, column: index)
            } else {
                buffer.append(plan.run(column.unavailable))
            }
            return nil
        }
        guard let text = rows.value(cell) else { return Fault(kind: .batch, column: index) }
        if validatesUTF8, !text.isUTF8 { return Fault(kind: .encoding, column: index) }
        if !values.appendColumn(text, as: column.code, to: &buffer) {
            return Fault(kind: values.takeFault(), column: index)
        }
        return nil
    }

    /// Each column began with a comma; the first one becomes the object's brace.
    @inline(__always)
    private func closeObject(from start: Int, in buffer: inout OutputBuffer) {
        buffer.reserve(2)
        if buffer.count == start {
            buffer.unchecked(UInt8(ascii: "{"))
        } else {
            buffer.replace(at: start, with: UInt8(ascii: "{"))
        }
        buffer.unchecked(UInt8(ascii: "}"))
    }
}
