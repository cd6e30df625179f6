// SPDX-License-Identifier: Apache-2.0
//
// The relation message makes a `Relation` of ChangeModel. The server sends it before a relation's
// first row of a session and again after whatever may have changed it.

import ChangeModel

extension PgOutputDecoder {
    /// The most columns that a tuple can have in PostgreSQL (`MaxTupleAttributeNumber`).
    public static let columnLimit = 1_664
}

extension Relation {
    init(from reader: inout ByteReader) throws(DecodeError) {
        let oid = try reader.uint32("the relation's OID")
        let schema = try reader.schemaName()
        let name = try reader.name("the relation's name")
        let identityByte = try reader.uint8("the replica identity")
        guard let replicaIdentity = ReplicaIdentity(rawValue: identityByte) else {
            throw reader.unexpected(identityByte, "a replica identity of d, n, f or i")
        }
        let count = try reader.columnCount()
        var columns: [Column] = []
        columns.reserveCapacity(min(count, reader.remaining / 10))
        for _ in 0..<count {
            columns.append(try Column(from: &reader))
        }
        self.init(
            oid: oid,
            schema: schema,
            name: name,
            replicaIdentity: replicaIdentity,
            columns: columns
        )
    }
}

extension Column {
    init(from reader: inout ByteReader) throws(DecodeError) {
        let flags = try reader.uint8("a column's flags")
        guard flags <= 1 else { throw reader.unexpected(flags, "column flags of 0 or 1 (key)") }
        let name = try reader.name("a column's name")
        let typeOID = try reader.uint32("a column's type")
        let typeModifier = Int32(bitPattern: try reader.uint32("a column's type modifier"))
        self.init(name: name, typeOID: typeOID, typeModifier: typeModifier, isKey: flags == 1)
    }
}
