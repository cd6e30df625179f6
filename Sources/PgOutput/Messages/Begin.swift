// SPDX-License-Identifier: Apache-2.0

public import ChangeModel

/// The beginning of a transaction; all of it follows, up to its commit.
public struct Begin: Sendable, Equatable {
    /// The position of the commit record, the same as `Commit.commitLSN`.
    public var finalLSN: LSN
    /// When it was committed.
    public var commitTime: PostgresTime
    /// The transaction's 32-bit id.
    public var xid: UInt32

    init(from reader: inout ByteReader) throws(DecodeError) {
        finalLSN = try reader.lsn("the commit position")
        commitTime = try reader.time("the commit time")
        xid = try reader.uint32("the transaction's id")
    }
}
