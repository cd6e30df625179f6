// SPDX-License-Identifier: Apache-2.0
//
// pgoutput protocol 1: one payload in, one message out; big-endian, the number is bytes.
//
//   B  final LSN 8, commit time 8, xid 4          C  flags 1, commit LSN 8, end LSN 8, time 8
//   O  LSN 8, name                                Y  type OID 4, schema, name
//   R  OID 4, schema, name, identity 1, n 2, n × { flags 1 (1 = key), name, type 4, modifier 4 }
//   I  OID 4, 'N' tuple                           D  OID 4, 'K' or 'O' tuple
//   U  OID 4, ['K' or 'O' tuple], 'N' tuple       T  n 4, options 1 (cascade, restart), n × OID 4
//   M  flags 1 (1 = transactional), LSN 8, prefix, length 4, bytes      tuple: see Tuple.swift
//
// Values are not copied: cells say where they stand. Bad input is an error, never a trap.

public import ChangeModel

/// Decodes the messages of a stream, one at a time; it keeps nothing between them.
public struct PgOutputDecoder: Sendable {
    /// Creates a decoder.
    public init() {}

    /// Decodes one message and appends the cells of its tuples.
    ///
    /// The caller appends the payload to its arena at `arenaOffset`; the cells' offsets hold then.
    /// A column that a key tuple leaves out comes as `.null`: see `markAbsent`. After an error
    /// `cells` holds what it held before.
    public func decode(
        _ payload: Span<UInt8>,
        arenaOffset: Int,
        cells: inout [Cell]
    ) throws(DecodeError) -> Message {
        var reader = ByteReader(payload, subject: .message(0))
        let kind = try reader.uint8("a message's kind")
        reader.subject = .message(kind)
        switch kind {
        case MessageKind.insert, MessageKind.update, MessageKind.delete:
            let former = cells.count
            do throws(DecodeError) {
                try checkRoom(arenaOffset, cellCount: former, reader: reader)
                let message = try rowMessage(kind, &reader, base: arenaOffset, cells: &cells)
                try reader.finish()
                return message
            } catch {
                cells.removeLast(cells.count - former)
                throw error
            }
        default:
            let message = try plainMessage(kind, &reader)
            try reader.finish()
            return message
        }
    }

    /// Tells the columns that a key tuple left out from those that are NULL.
    ///
    /// In a key tuple the wire writes both as NULL. Cells of columns that are not of the replica
    /// identity become `.absent`. Only for a tuple that came as `OldTuple.key`.
    /// - Throws: where the tuple has not as many columns as the relation; nothing is changed then.
    public static func markAbsent(
        cells: inout [Cell],
        tuple: TupleCells,
        relation: Relation
    ) throws(DecodeError) {
        let indices = tuple.indices
        guard indices.count == relation.columns.count, indices.upperBound <= cells.count else {
            throw DecodeError(
                subject: .tuple,
                expected: "the \(relation.columns.count) columns of \(relation.qualifiedName)",
                found: "\(indices.count)",
                offset: 0,
                length: 0
            )
        }
        for (column, index) in indices.enumerated()
        where cells[index] == .null && !relation.columns[column].isKey {
            cells[index] = .absent
        }
    }

    private func plainMessage(
        _ kind: UInt8,
        _ reader: inout ByteReader
    ) throws(DecodeError) -> Message {
        switch kind {
        case MessageKind.begin: .begin(try Begin(from: &reader))
        case MessageKind.commit: .commit(try Commit(from: &reader))
        case MessageKind.origin: .origin(try Origin(from: &reader))
        case MessageKind.relation: .relation(try Relation(from: &reader))
        case MessageKind.type: .type(try TypeName(from: &reader))
        case MessageKind.truncate: .truncate(try Truncate(from: &reader))
        case MessageKind.logical: .logicalMessage(try LogicalMessage(from: &reader))
        default: throw MessageKind.unexpected(kind, length: reader.bytes.count)
        }
    }

    @inline(__always)
    private func rowMessage(
        _ kind: UInt8,
        _ reader: inout ByteReader,
        base: Int,
        cells: inout [Cell]
    ) throws(DecodeError) -> Message {
        let relation = try reader.uint32("the relation's OID")
        var marker = try reader.uint8("a tuple's kind")
        if kind == MessageKind.insert {
            guard marker == UInt8(ascii: "N") else { throw reader.unexpected(marker, "'N'") }
            return .insert(relation: relation, new: try reader.tuple(base: base, cells: &cells))
        }
        var old = OldTuple.none
        var oldTuple = TupleCells(first: 0, count: 0)
        if marker == UInt8(ascii: "K") || marker == UInt8(ascii: "O") {
            old = marker == UInt8(ascii: "K") ? .key : .full
            oldTuple = try reader.tuple(base: base, cells: &cells)
            if kind == MessageKind.delete {
                return .delete(relation: relation, old: old, tuple: oldTuple)
            }
            marker = try reader.uint8("the new tuple's kind")
        } else if kind == MessageKind.delete {
            throw reader.unexpected(marker, "'K' or 'O'")
        }
        guard marker == UInt8(ascii: "N") else {
            throw reader.unexpected(marker, old == .none ? "'K', 'O' or 'N'" : "'N'")
        }
        let newTuple = try reader.tuple(base: base, cells: &cells)
        return .update(relation: relation, old: old, oldTuple: oldTuple, newTuple: newTuple)
    }

    /// Holds that every offset and index that the message can give fits into 32 bits.
    @inline(__always)
    private func checkRoom(
        _ arenaOffset: Int,
        cellCount: Int,
        reader: ByteReader
    ) throws(DecodeError) {
        let limit = Int(UInt32.max)
        guard arenaOffset >= 0, arenaOffset <= limit, reader.bytes.count <= limit - arenaOffset,
            cellCount <= limit - 2 * Self.columnLimit
        else {
            throw reader.fault(
                "an arena of at most 4 GiB",
                found: "\(reader.bytes.count) bytes to be added at \(arenaOffset)",
                at: 0
            )
        }
    }
}
