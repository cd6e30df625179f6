// SPDX-License-Identifier: Apache-2.0

public import ChangeModel

/// Where a transaction came from, when it was itself replicated; it follows the begin message.
public struct Origin: Sendable, Equatable {
    /// The position of the commit on the server of origin.
    public var lsn: LSN
    /// The replication origin's name.
    public var name: String

    init(from reader: inout ByteReader) throws(DecodeError) {
        lsn = try reader.lsn("the origin's position")
        name = try reader.name("the origin's name")
    }
}
