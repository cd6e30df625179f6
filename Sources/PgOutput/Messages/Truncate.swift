// SPDX-License-Identifier: Apache-2.0

/// TRUNCATE of one or more published tables by one statement.
public struct Truncate: Sendable, Equatable {
    /// The OIDs of the tables.
    public var relations: [UInt32]
    /// Whether CASCADE was given.
    public var cascade: Bool
    /// Whether RESTART IDENTITY was given.
    public var restartIdentity: Bool

    init(from reader: inout ByteReader) throws(DecodeError) {
        let count = Int(Int32(bitPattern: try reader.uint32("the number of relations")))
        let countOffset = reader.offset - 4
        let options = try reader.uint8("the options")
        guard options <= 3 else {
            throw reader.unexpected(options, "options of 1 (cascade) and 2 (restart identity)")
        }
        guard count >= 0, count <= reader.remaining / 4 else {
            throw reader.fault(
                "a number of relations that the message has room for",
                found: "\(count)",
                at: countOffset
            )
        }
        cascade = options & 1 != 0
        restartIdentity = options & 2 != 0
        relations = []
        relations.reserveCapacity(count)
        for _ in 0..<count {
            relations.append(try reader.uint32("a relation's OID"))
        }
    }
}
