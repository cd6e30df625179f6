// SPDX-License-Identifier: Apache-2.0

/// The name of a type that is not built in; it precedes the relation that uses it.
public struct TypeName: Sendable, Equatable {
    /// The type's OID, as in `Column.typeOID`.
    public var oid: UInt32
    /// The schema's name; `pg_catalog` where the wire had an empty one.
    ///
    /// For a domain the server names `pg_catalog` and the type that the domain is made of.
    public var schema: String
    /// The type's name.
    public var name: String

    init(from reader: inout ByteReader) throws(DecodeError) {
        oid = try reader.uint32("the type's OID")
        schema = try reader.schemaName()
        name = try reader.name("the type's name")
    }
}
