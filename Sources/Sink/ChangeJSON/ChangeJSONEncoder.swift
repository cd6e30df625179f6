// SPDX-License-Identifier: Apache-2.0
//
// Changes → Debezium's JSON envelope, one line each. The hot path of the whole daemon: per row
// there is no allocation, no reference counting and no look-up; what can be known per relation
// version (names, types) or per transaction (most of the envelope) is bytes that are copied.
//
// What a line holds is told in docs/types.md and docs/decisions; a column that was not sent is
// absent, never null.

public import ChangeModel

/// Encodes changes as Debezium events.
public struct ChangeJSONEncoder: ~Copyable {
    /// How many relation versions are kept prepared from call to call.
    static let planLimit = 512

    /// Whether each value is checked to be UTF-8: only of use where server_encoding is SQL_ASCII.
    public var validatesUTF8 = false

    private var envelope: Envelope
    private var writer: ValueWriter
    private var plans: [UInt64: EncodingPlan] = [:]
    /// The plans of the batch that is being encoded, by its relation indices.
    private var current: [EncodingPlan.View] = []
    /// A plan for nothing, so that there is always one to point at.
    private let empty: EncodingPlan

    /// Creates an encoder; `version` is walrelay's own, for `source.version`.
    public init(task: String, database: String, version: String, format: ValueFormat) {
        envelope = Envelope(task: task, database: database, version: version)
        let relation = Relation(
            oid: 0,
            schema: "",
            name: "",
            replicaIdentity: .nothing,
            columns: []
        )
        empty = EncodingPlan(RelationVersion(relation: relation, types: [], version: 0))
        writer = ValueWriter(format: format, nodes: empty.view.nodes)
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
        prepare(batch.relations)
        envelope.begin(at: now)
        var next = range.lowerBound
        let fault = batch.withRows { rows -> Fault? in
            var transaction: Int32 = -1
            var isSnapshot = false
            while next < range.upperBound {
                guard let change = rows.change(next, planCount: current.count) else {
                    return Fault(kind: .batch, column: -1)
                }
                let isRead = change.kind == .read
                if change.transaction != transaction || isRead != isSnapshot {
                    transaction = change.transaction
                    isSnapshot = isRead
                    envelope.select(rows.transactions[Int(transaction)], isSnapshot: isRead)
                }
                let start = buffer.count
                if let fault = encodeRow(change, rows, into: &buffer) {
                    buffer.truncate(to: start)
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

    /// Appends the object of the replica identity's columns, without a line's end.
    ///
    /// Takes the new row's values, a delete's old ones. False, and nothing appended, where the
    /// change has no such columns or no row. Throws as `encode` does.
    public mutating func encodeKey(
        _ batch: borrowing ChangeBatch,
        change index: Int,
        into buffer: inout OutputBuffer
    ) throws(WalrelayError) -> Bool {
        prepare(batch.relations)
        let start = buffer.count
        var isWritten = false
        let fault = batch.withRows { rows -> Fault? in
            guard let change = rows.change(index, planCount: current.count) else {
                return Fault(kind: .batch, column: -1)
            }
            let plan = current[Int(change.relation)]
            guard plan.hasKey, change.kind != .truncate else { return nil }
            let isDelete = change.kind == .delete
            guard !isDelete || change.old != .none else { return nil }
            let old = change.old == .none ? nil : Int(change.oldCells)
            isWritten = true
            return encodeTuple(
                isDelete ? Int(change.oldCells) : Int(change.newCells),
                unchanged: isDelete ? nil : old,
                keysOnly: true,
                plan,
                rows,
                into: &buffer
            )
        }
        if let fault {
            buffer.truncate(to: start)
            throw fault.error(in: batch, change: index)
        }
        return isWritten
    }

    /// Finds or makes the plans of a batch's relations.
    private mutating func prepare(_ relations: [RelationVersion]) {
        if plans.count > Self.planLimit { plans.removeAll() }
        current.removeAll(keepingCapacity: true)
        for relation in relations {
            if let plan = plans[relation.version] {
                current.append(plan.view)
            } else {
                let plan = EncodingPlan(relation)
                plans[relation.version] = plan
                current.append(plan.view)
            }
        }
    }

    @inline(__always)
    private mutating func encodeRow(
        _ change: Change,
        _ rows: Rows,
        into buffer: inout OutputBuffer
    ) -> Fault? {
        let plan = current[Int(change.relation)]
        buffer.reserve(64)
        if change.old == .none || change.kind == .truncate {
            buffer.unchecked("{\"before\":null,\"after\":")
        } else {
            buffer.unchecked("{\"before\":")
            let keysOnly = change.old == .key
            if let fault = encodeTuple(
                Int(change.oldCells),
                unchanged: nil,
                keysOnly: keysOnly,
                plan,
                rows,
                into: &buffer
            ) {
                return fault
            }
            buffer.append(",\"after\":")
        }
        switch change.kind {
        case .read, .insert, .update:
            let old = change.old == .full ? Int(change.oldCells) : nil
            if let fault = encodeTuple(
                Int(change.newCells),
                unchanged: old,
                keysOnly: false,
                plan,
                rows,
                into: &buffer
            ) {
                return fault
            }
        case .delete, .truncate:
            buffer.append("null")
        }
        envelope.close(change, plan, into: &buffer)
        return nil
    }

    /// Appends the object of a tuple whose cells begin at `first`.
    ///
    /// Where a cell says that its value was not sent because it did not change, the one at
    /// `unchanged`, the first cell of the old tuple, is taken if it has a value.
    @inline(__always)
    private mutating func encodeTuple(
        _ first: Int,
        unchanged: Int?,
        keysOnly: Bool,
        _ plan: EncodingPlan.View,
        _ rows: Rows,
        into buffer: inout OutputBuffer
    ) -> Fault? {
        guard rows.hasCells(first, plan.columnCount),
            unchanged.map({ rows.hasCells($0, plan.columnCount) }) ?? true
        else { return Fault(kind: .batch, column: -1) }
        writer.nodes = plan.nodes
        let objectStart = buffer.count
        for index in 0..<plan.columnCount {
            let column = plan.columns[index]
            if keysOnly, !column.isKey { continue }
            var cell = rows.cells[first + index]
            if !cell.isValue {
                if cell == .unchanged, let unchanged, rows.cells[unchanged + index].isValue {
                    cell = rows.cells[unchanged + index]
                }
                if cell == .absent { continue }
            }
            buffer.reserve(column.name.count + 64)
            buffer.unchecked(
                padded: plan.bytes + Int(column.name.lowerBound),
                column.name.count
            )
            guard cell.isValue else {
                buffer.unchecked(cell == .null ? "null" : "\"__debezium_unavailable_value\"")
                continue
            }
            guard let text = rows.value(cell) else { return Fault(kind: .batch, column: index) }
            if validatesUTF8, !text.isUTF8 { return Fault(kind: .encoding, column: index) }
            if !writer.appendColumn(text, as: column.code, to: &buffer) {
                return Fault(kind: .malformed, column: index)
            }
        }
        buffer.reserve(2)
        // Each column began with a comma; the first one is the object's brace.
        if buffer.count == objectStart {
            buffer.unchecked(UInt8(ascii: "{"))
        } else {
            buffer.replace(at: objectStart, with: UInt8(ascii: "{"))
        }
        buffer.unchecked(UInt8(ascii: "}"))
        return nil
    }
}
