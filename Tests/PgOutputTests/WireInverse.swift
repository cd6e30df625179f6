// SPDX-License-Identifier: Apache-2.0
//
// The inverse of the decoder, for tests: a message's parts become its bytes again.

import ChangeModel
import PgOutput

extension Wire {
    func lsn(_ lsn: LSN) -> Wire { int64(Int(truncatingIfNeeded: lsn.rawValue)) }
    func time(_ time: PostgresTime) -> Wire { int64(Int(time.microseconds)) }
    func oid(_ oid: UInt32) -> Wire { int32(Int(oid)) }

    func tuple(_ tuple: TupleCells, of decoded: Decoded) -> Wire {
        decoded.cells[tuple.indices].reduce(int16(tuple.indices.count)) { wire, cell in
            switch cell {
            case .null: return wire.byte("n")
            case .unchanged: return wire.byte("u")
            default:
                let start = Int(cell.offset)
                let value = decoded.arena[start..<(start + Int(cell.length))]
                return wire.byte("t").int32(value.count).adding(Array(value))
            }
        }
    }
}

extension Message {
    /// The tuples in the order in which they stand on the wire.
    var tuples: [TupleCells] {
        switch self {
        case .insert(_, let new): [new]
        case .update(_, .none, _, let new): [new]
        case .update(_, _, let old, let new): [old, new]
        case .delete(_, _, let tuple): [tuple]
        default: []
        }
    }

    /// The bytes that the message may have come from: two where its schema is pg_catalog, which
    /// the wire may also have left empty.
    func wires(of decoded: Decoded, payload: [UInt8]) -> [Wire] {
        switch self {
        case .relation(let relation):
            Self.schemas(relation.schema).map { schema in
                let head = Wire.message("R").oid(relation.oid).name(schema).name(relation.name)
                    .byte(relation.replicaIdentity.rawValue).int16(relation.columns.count)
                return relation.columns.reduce(head) { wire, column in
                    wire.byte(column.isKey ? 1 : 0).name(column.name).oid(column.typeOID)
                        .int32(Int(column.typeModifier))
                }
            }
        case .type(let type):
            Self.schemas(type.schema).map { schema in
                Wire.message("Y").oid(type.oid).name(schema).name(type.name)
            }
        default: [wire(of: decoded, payload: payload)]
        }
    }

    private static func schemas(_ schema: String) -> [String] {
        schema == "pg_catalog" ? ["", schema] : [schema]
    }

    private func wire(of decoded: Decoded, payload: [UInt8]) -> Wire {
        switch self {
        case .relation, .type: Wire()
        case .begin(let begin):
            Wire.message("B").lsn(begin.finalLSN).time(begin.commitTime).oid(begin.xid)
        case .commit(let commit):
            Wire.message("C").byte(0).lsn(commit.commitLSN).lsn(commit.endLSN)
                .time(commit.commitTime)
        case .origin(let origin): Wire.message("O").lsn(origin.lsn).name(origin.name)
        case .insert(let relation, let new):
            Wire.message("I").oid(relation).byte("N").tuple(new, of: decoded)
        case .update(let relation, .none, _, let new):
            Wire.message("U").oid(relation).byte("N").tuple(new, of: decoded)
        case .update(let relation, let kind, let old, let new):
            Wire.message("U").oid(relation).byte(kind == .key ? "K" : "O").tuple(old, of: decoded)
                .byte("N").tuple(new, of: decoded)
        case .delete(let relation, let kind, let old):
            Wire.message("D").oid(relation).byte(kind == .key ? "K" : "O").tuple(old, of: decoded)
        case .truncate(let truncate):
            truncate.relations.reduce(
                Wire.message("T").int32(truncate.relations.count)
                    .byte((truncate.cascade ? 1 : 0) | (truncate.restartIdentity ? 2 : 0))
            ) { $0.oid($1) }
        case .logicalMessage(let message):
            Wire.message("M").byte(message.transactional ? 1 : 0).lsn(message.lsn)
                .name(message.prefix).int32(message.content.count)
                .adding(Array(payload[message.content]))
        }
    }
}
