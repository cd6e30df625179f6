// SPDX-License-Identifier: Apache-2.0

public import ChangeModel

/// The end of a transaction.
///
/// The protocol's flags are not kept: none is defined, and a message that sets one is refused.
public struct Commit: Sendable, Equatable {
    /// The position of the commit record.
    public var commitLSN: LSN
    /// The position behind the commit record; a stream that starts here does not repeat it.
    public var endLSN: LSN
    /// When it was committed.
    public var commitTime: PostgresTime

    init(from reader: inout ByteReader) throws(DecodeError) {
        let flags = try reader.uint8("the commit flags")
        guard flags == 0 else { throw reader.unexpected(flags, "no commit flags") }
        commitLSN = try reader.lsn("the commit position")
        endLSN = try reader.lsn("the end position")
        commitTime = try reader.time("the commit time")
    }
}
