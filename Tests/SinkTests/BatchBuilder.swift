// SPDX-License-Identifier: Apache-2.0
//
// Batches written by hand: a row is a list of what its columns hold.

import ChangeModel
import Sink

/// What a column of a row holds.
enum Field {
    case text([UInt8])
    case null
    case unchanged
    case absent

    static func text(_ string: String) -> Field { .text(Array(string.utf8)) }
}

extension Field: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self = .text(Array(value.utf8)) }
}

extension ChangeBatch {
    /// Adds a relation and returns its index.
    @discardableResult
    mutating func addRelation(
        _ name: String = "items",
        schema: String = "public",
        version: UInt64 = 1,
        oid: UInt32 = 16_384,
        identity: ReplicaIdentity = .default,
        primaryKey: [String] = [],
        typeOID: UInt32 = 25,
        columns: [(name: String, type: ValueType, isKey: Bool)]
    ) -> Int32 {
        let relation = Relation(
            oid: oid,
            schema: schema,
            name: name,
            replicaIdentity: identity,
            columns: columns.map { Column(name: $0.name, typeOID: typeOID, isKey: $0.isKey) },
            primaryKey: primaryKey
        )
        relations.append(
            RelationVersion(relation: relation, types: columns.map(\.type), version: version)
        )
        return Int32(relations.count - 1)
    }

    /// Adds a transaction; later changes belong to it.
    mutating func addTransaction(
        xid: UInt32 = 771,
        commitLSN: LSN = LSN(0x16B3748),
        commitTime: PostgresTime = PostgresTime(unixMicroseconds: 1_700_000_000_123_456)
    ) {
        transactions.append(Transaction(xid: xid, commitLSN: commitLSN, commitTime: commitTime))
    }

    /// Adds a change of the last transaction.
    mutating func addChange(
        _ kind: ChangeKind,
        relation: Int32 = 0,
        new: [Field] = [],
        old: (OldTuple, [Field]) = (.none, []),
        lsn: LSN = LSN(0x16B3000),
        ordinal: UInt64 = 1,
        relationOrdinal: UInt64 = 1
    ) {
        if transactions.isEmpty { addTransaction() }
        let oldCells = add(old.1)
        let newCells = add(new)
        changes.append(
            Change(
                kind: kind,
                old: old.0,
                relation: relation,
                transaction: Int32(transactions.count - 1),
                newCells: newCells,
                oldCells: oldCells,
                lsn: lsn,
                ordinal: ordinal,
                relationOrdinal: relationOrdinal
            )
        )
    }

    private mutating func add(_ fields: [Field]) -> UInt32 {
        let first = UInt32(cells.count)
        for field in fields {
            switch field {
            case .text(let value):
                cells.append(Cell(offset: UInt32(bytes.count), length: Int32(value.count)))
                bytes += value
            case .null: cells.append(.null)
            case .unchanged: cells.append(.unchanged)
            case .absent: cells.append(.absent)
            }
        }
        return first
    }
}

/// When the lines of tests are written: 2023-11-14 22:13:21 UTC.
let testNow = PostgresTime(unixMicroseconds: 1_700_000_001_000_999)

/// An encoder as the tests use it.
func testEncoder(_ format: ValueFormat = ValueFormat()) -> ChangeJSONEncoder {
    ChangeJSONEncoder(task: "orders", database: "shop", version: "0.1.0", format: format)
}

extension OutputBuffer {
    /// The content as text.
    var string: String {
        withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
}

/// The lines of a batch, without their ends.
func lines(
    of batch: ChangeBatch,
    format: ValueFormat = ValueFormat(),
    validatesUTF8: Bool = false
) throws(WalrelayError) -> [String] {
    var encoder = testEncoder(format)
    encoder.validatesUTF8 = validatesUTF8
    var buffer = OutputBuffer(capacity: 0)
    try encoder.encode(batch, changes: 0..<batch.changes.count, at: testNow, into: &buffer)
    return buffer.string.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        .map(String.init)
}

/// The JSON of one value as it stands in `after`.
func json(
    _ type: ValueType,
    _ text: Field,
    format: ValueFormat = ValueFormat(),
    validatesUTF8: Bool = false
) throws(WalrelayError) -> String {
    var batch = ChangeBatch()
    batch.addRelation(columns: [("v", type, true)])
    batch.addChange(.insert, new: [text])
    let line = try lines(of: batch, format: format, validatesUTF8: validatesUTF8)[0]
    let start = #"{"before":null,"after":{"v":"#
    let end = #"},"source":{"version":"#
    guard line.hasPrefix(start), let source = line.lastRange(of: end) else {
        return "not an envelope: \(line)"
    }
    return String(line.dropFirst(start.count).prefix(upTo: source))
}

extension String {
    /// Where the last occurrence of `needle` begins.
    fileprivate func lastRange(of needle: String) -> String.Index? {
        indices.last { self[$0...].hasPrefix(needle) }
    }
}
