// SPDX-License-Identifier: Apache-2.0
//
// What a walsender puts into CopyData around the output plugin's bytes. Numbers are big-endian,
// times are microseconds since 2000-01-01.
//
//   w  XLogData    start LSN 8, end of WAL LSN 8, sent at 8, then the payload  (header: 25 bytes)
//   k  keepalive   end of WAL LSN 8, sent at 8, reply requested 1  (18 bytes)

public import ChangeModel

/// One CopyData message that the server sends in streaming replication.
public enum ReplicationFrame: Sendable, Equatable {
    /// A message of the output plugin.
    ///
    /// `start` is the message's own position, 0 for relation and type messages; `end` is the
    /// server's end of WAL, here the same position again; the payload goes from `payloadOffset` to
    /// the frame's last byte.
    case walData(start: LSN, end: LSN, sentAt: PostgresTime, payloadOffset: Int)
    /// A sign of life; an answer is asked for at once where `replyRequested` is set.
    case keepalive(walEnd: LSN, sentAt: PostgresTime, replyRequested: Bool)

    /// Decodes the frame's header; the payload is not looked at.
    public static func decode(_ bytes: Span<UInt8>) throws(DecodeError) -> ReplicationFrame {
        var reader = ByteReader(bytes, subject: .frame)
        let kind = try reader.uint8("a frame's kind")
        switch kind {
        case UInt8(ascii: "w"):
            let start = try reader.lsn("the start position")
            let end = try reader.lsn("the end position")
            let sentAt = try reader.time("the sending time")
            return .walData(start: start, end: end, sentAt: sentAt, payloadOffset: reader.offset)
        case UInt8(ascii: "k"):
            let walEnd = try reader.lsn("the end position")
            let sentAt = try reader.time("the sending time")
            let reply = try reader.uint8("whether a reply is requested")
            guard reply <= 1 else { throw reader.unexpected(reply, "0 or 1") }
            try reader.finish()
            return .keepalive(walEnd: walEnd, sentAt: sentAt, replyRequested: reply == 1)
        default:
            throw reader.unexpected(kind, "'w' or 'k'")
        }
    }
}
