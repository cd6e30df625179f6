// SPDX-License-Identifier: Apache-2.0
//
// The output plugin's messages as bytes, and what the assembler made of them as text. The bytes
// are written here by the protocol's documentation, with no code of the product.

import ChangeModel
import Replication

/// A tuple's column.
enum Value {
    case text(String)
    case null
    case unchanged
}

/// Messages of pgoutput, protocol 1.
enum Messages {
    static func begin(commit: UInt64, xid: UInt32 = 7, time: Int64 = 0) -> [UInt8] {
        [UInt8(ascii: "B")] + big(commit) + big(time) + big(xid)
    }

    static func commit(_ commit: UInt64, end: UInt64, time: Int64 = 0) -> [UInt8] {
        [UInt8(ascii: "C"), 0] + big(commit) + big(end) + big(time)
    }

    static func relation(_ relation: Relation) -> [UInt8] {
        var bytes = [UInt8(ascii: "R")] + big(relation.oid)
        bytes += string(relation.schema) + string(relation.name)
        bytes += [relation.replicaIdentity.rawValue] + big(Int16(relation.columns.count))
        for column in relation.columns {
            bytes += [column.isKey ? 1 : 0] + string(column.name)
            bytes += big(column.typeOID) + big(column.typeModifier)
        }
        return bytes
    }

    static func insert(_ oid: UInt32, _ values: [Value]) -> [UInt8] {
        [UInt8(ascii: "I")] + big(oid) + [UInt8(ascii: "N")] + tuple(values)
    }

    static func update(_ oid: UInt32, key: [Value]? = nil, _ values: [Value]) -> [UInt8] {
        var bytes = [UInt8(ascii: "U")] + big(oid)
        if let key { bytes += [UInt8(ascii: "K")] + tuple(key) }
        return bytes + [UInt8(ascii: "N")] + tuple(values)
    }

    static func delete(_ oid: UInt32, key: [Value]) -> [UInt8] {
        [UInt8(ascii: "D")] + big(oid) + [UInt8(ascii: "K")] + tuple(key)
    }

    static func truncate(_ oids: [UInt32]) -> [UInt8] {
        oids.reduce([UInt8(ascii: "T")] + big(Int32(oids.count)) + [0]) { $0 + big($1) }
    }

    private static func tuple(_ values: [Value]) -> [UInt8] {
        var bytes = big(Int16(values.count))
        for value in values {
            switch value {
            case .null: bytes.append(UInt8(ascii: "n"))
            case .unchanged: bytes.append(UInt8(ascii: "u"))
            case .text(let text):
                bytes += [UInt8(ascii: "t")] + big(Int32(text.utf8.count)) + Array(text.utf8)
            }
        }
        return bytes
    }

    private static func string(_ text: String) -> [UInt8] { Array(text.utf8) + [0] }

    private static func big(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}

/// A relation with an `id` as its key and further text columns.
func relation(_ oid: UInt32, _ name: String, _ more: [String] = ["v"]) -> Relation {
    Relation(
        oid: oid,
        schema: "public",
        name: name,
        replicaIdentity: .default,
        columns: [Column(name: "id", typeOID: 23, isKey: true)]
            + more.map { Column(name: $0, typeOID: 25) }
    )
}

/// A complete checkpoint at a position.
func checkpoint(at position: UInt64, _ relations: [Relation]) -> Checkpoint {
    Checkpoint(
        task: "t",
        systemIdentifier: "1",
        database: "postgres",
        slot: "di_slot_t",
        position: LSN(position),
        snapshot: .complete,
        snapshotLSN: nil,
        relations: relations
    )
}

extension BatchAssembler {
    /// One that asks nobody for types.
    init(
        at position: UInt64 = 100,
        _ relations: [Relation],
        provisional: Bool = false,
        policy: StreamPolicy = StreamPolicy()
    ) {
        self.init(
            checkpoint: checkpoint(at: position, relations),
            isBaselineProvisional: provisional,
            policy: policy,
            types: TypeCatalog(),
            resolveTypes: { oids in
                oids.map {
                    TypeEntry(oid: $0, name: "type\($0)", schema: "public", kind: .enumeration)
                }
            }
        )
    }

    mutating func feed(_ messages: [UInt8]..., at lsn: UInt64 = 0) throws {
        for message in messages { try accept(message.span, at: LSN(lsn)) }
    }

    mutating func take() -> ChangeBatch { take(next: ChangeBatch()) }
}

extension ChangeBatch {
    /// Each change in one line: transaction, order, table, kind, old and new values.
    var lines: [String] {
        changes.map { change in
            let version = relations[Int(change.relation)].relation
            let transaction = transactions[Int(change.transaction)]
            var text = "\(transaction.xid)@\(transaction.commitLSN.rawValue)"
            text += " \(change.ordinal)/\(change.relationOrdinal) \(version.name) \(change.kind)"
            if change.old != .none { text += " \(values(change.oldCells, version))" }
            if change.kind != .delete, change.kind != .truncate {
                text += " \(values(change.newCells, version))"
            }
            return text
        }
    }

    private func values(_ first: UInt32, _ relation: Relation) -> String {
        let cells = cells[Int(first)..<(Int(first) + relation.columns.count)]
        let texts = cells.map { cell in
            switch cell {
            case .null: "NULL"
            case .unchanged: "unchanged"
            case .absent: "absent"
            default: text(cell) ?? ""
            }
        }
        return "(" + texts.joined(separator: ",") + ")"
    }
}
