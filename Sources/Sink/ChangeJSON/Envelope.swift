// SPDX-License-Identifier: Apache-2.0
//
// What stands around a row in Debezium's envelope, as runs of bytes between the numbers that
// change with every row. A run is made anew only when the transaction changes:
//
//   ,"source":{…,"sequence":"[\"COMMIT\",\"  ordinal  \"]","ts_us":…   (head, middle)
//   ,"schema":…,"table":…,"txId":                                       (the plan's)
//   XID,"lsn":                               lsn                        (position)
//   },"transaction":{…,"total_order":  ordinal  ,"data_collection_order":  n  (order)
//   ,"op":"c","ts_ms":…}                                                (tail)
//
// `ts_ns`, `xmin`, `origin` and `origin_lsn` of Debezium's source are left out: PostgreSQL's clock
// has microseconds, and the others are always null here. A fifth of each line would be said for
// nothing.

import ChangeModel

/// The runs of one transaction, and those of one call.
struct Envelope: ~Copyable {
    private var text = OutputBuffer(capacity: 1024)
    private var tail = OutputBuffer(capacity: 64)
    private var headEnd = 0
    private var middleEnd = 0
    private var positionEnd = 0
    private var now: PostgresTime?
    private var transaction: Transaction?
    private var isSnapshot = false

    // `"source":{"version":…,"name":…,"ts_ms":` and `,"db":…,"sequence":"[\"`.
    private var sourceStart = OutputBuffer(capacity: 256)
    private var database = OutputBuffer(capacity: 256)

    init(task: String, database name: String, version: String) {
        sourceStart.append(",\"source\":{\"version\":")
        sourceStart.appendText(version)
        sourceStart.append(",\"connector\":\"postgresql\",\"name\":")
        sourceStart.appendText(task)
        sourceStart.append(",\"ts_ms\":")
        database.append(",\"db\":")
        database.appendText(name)
        database.append(",\"sequence\":\"[\\\"")
    }

    /// Makes the tail for events that are written at `now`.
    mutating func begin(at now: PostgresTime) {
        if self.now == now { return }
        self.now = now
        tail.removeAll()
        tail.append(",\"op\":\"?\",\"ts_ms\":")
        tail.append(decimal: now.unixMilliseconds)
        tail.append("}")
        tail.padWithZeros()
    }

    /// Makes the runs for the changes of `transaction`, unless they are there already.
    mutating func select(_ transaction: Transaction, isSnapshot: Bool) {
        if self.transaction == transaction, self.isSnapshot == isSnapshot { return }
        self.transaction = transaction
        self.isSnapshot = isSnapshot
        text.removeAll()
        text.append(sourceStart.bytes)
        text.append(decimal: transaction.commitTime.unixMilliseconds)
        text.append(isSnapshot ? ",\"snapshot\":\"true\"" : ",\"snapshot\":\"false\"")
        text.append(database.bytes)
        text.append(decimal: transaction.commitLSN.rawValue)
        text.append("\\\",\\\"")
        headEnd = text.count
        text.append("\\\"]\",\"ts_us\":")
        text.append(decimal: transaction.commitTime.unixMicroseconds)
        middleEnd = text.count
        if isSnapshot {
            text.append("null,\"lsn\":")
            positionEnd = text.count
            text.append("},\"transaction\":null")
        } else {
            text.append(decimal: UInt64(transaction.xid))
            text.append(",\"lsn\":")
            positionEnd = text.count
            text.append("},\"transaction\":{\"id\":\"")
            text.append(decimal: UInt64(transaction.xid))
            text.append(":")
            text.append(decimal: transaction.commitLSN.rawValue)
            text.append("\",\"total_order\":")
        }
        text.padWithZeros()
    }

    /// Appends all that follows `after`, and leaves room for one byte more.
    @inline(__always)
    func close(
        _ change: Change,
        as shape: EventShape,
        _ plan: EncodingPlan.View,
        into buffer: inout OutputBuffer
    ) {
        let relationLength = plan.relation.count
        buffer.reserve(text.count + relationLength + tail.count + 128)
        let runs = text.bytes
        guard let base = runs.baseAddress, let tailBase = tail.bytes.baseAddress else { return }
        buffer.unchecked(base, headEnd)
        buffer.unchecked(decimal: change.ordinal)
        buffer.unchecked(base + headEnd, middleEnd - headEnd)
        buffer.unchecked(plan.bytes + Int(plan.relation.lowerBound), relationLength)
        buffer.unchecked(padded: base + middleEnd, positionEnd - middleEnd)
        buffer.unchecked(decimal: change.lsn.rawValue)
        buffer.unchecked(base + positionEnd, text.count - positionEnd)
        if !isSnapshot {
            buffer.unchecked(decimal: change.ordinal)
            buffer.unchecked(",\"data_collection_order\":")
            buffer.unchecked(decimal: change.relationOrdinal)
            buffer.unchecked(UInt8(ascii: "}"))
        }
        let operation = buffer.end + 7
        buffer.unchecked(tailBase, tail.count)
        operation.pointee =
            switch shape {
            case .whole: change.kind.operation
            case .departure: UInt8(ascii: "d")
            case .arrival: UInt8(ascii: "c")
            }
    }
}

extension PostgresTime {
    /// Milliseconds since 1970, those before it rounded down.
    var unixMilliseconds: Int64 {
        let (quotient, remainder) = unixMicroseconds.quotientAndRemainder(dividingBy: 1000)
        return remainder < 0 ? quotient - 1 : quotient
    }
}

extension OutputBuffer {
    /// Appends a number, checked.
    mutating func append(decimal value: UInt64) {
        reserve(24)
        unchecked(decimal: value)
    }

    /// Appends a number, checked.
    mutating func append(decimal value: Int64) {
        reserve(24)
        unchecked(decimal: value)
    }
}
