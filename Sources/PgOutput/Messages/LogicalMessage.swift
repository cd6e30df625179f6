// SPDX-License-Identifier: Apache-2.0

public import ChangeModel

/// What `pg_logical_emit_message` wrote; sent only where the option `messages` was given (14+).
public struct LogicalMessage: Sendable, Equatable {
    /// Whether it belongs to the transaction around it; otherwise it stands outside of any.
    public var transactional: Bool
    /// The message's position.
    public var lsn: LSN
    /// The prefix that tells whose message it is.
    public var prefix: String
    /// Where the content stands in the payload.
    public var content: Range<Int>

    init(from reader: inout ByteReader) throws(DecodeError) {
        let flags = try reader.uint8("the flags")
        guard flags <= 1 else { throw reader.unexpected(flags, "flags of 0 or 1 (transactional)") }
        transactional = flags == 1
        lsn = try reader.lsn("the message's position")
        prefix = try reader.name("the prefix")
        let length = try reader.length("the content's length")
        content = reader.offset..<(reader.offset + length)
        reader.skip(length)
    }
}
