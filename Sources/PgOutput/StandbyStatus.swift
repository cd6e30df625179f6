// SPDX-License-Identifier: Apache-2.0
//
// What the client answers: how far it has come. `flushed` is the promise that lets the server
// remove WAL, so it may never be beyond what the sink has made durable (rule 2).
//
//   r  standby status   written LSN 8, flushed LSN 8, applied LSN 8, sent at 8, reply requested 1

public import ChangeModel

/// The standby status update that the client sends to the walsender.
public struct StandbyStatus: Sendable, Equatable {
    /// Everything before this position was received.
    public var written: LSN
    /// Everything before this position is durable here; the slot's confirmed position follows it.
    public var flushed: LSN
    /// Everything before this position is visible to readers here.
    public var applied: LSN
    /// The client's clock.
    public var sentAt: PostgresTime
    /// Whether the server shall answer with a keepalive at once.
    public var replyRequested: Bool

    /// The length of the encoded message in bytes.
    public static let byteCount = 34

    /// Creates a status.
    public init(
        written: LSN,
        flushed: LSN,
        applied: LSN,
        at sentAt: PostgresTime,
        replyRequested: Bool = false
    ) {
        self.written = written
        self.flushed = flushed
        self.applied = applied
        self.sentAt = sentAt
        self.replyRequested = replyRequested
    }

    /// The bytes of the CopyData message: always `byteCount` of them.
    public func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.byteCount)
        bytes.append(UInt8(ascii: "r"))
        let numbers = [
            written.rawValue, flushed.rawValue, applied.rawValue,
            UInt64(bitPattern: sentAt.microseconds),
        ]
        for number in numbers {
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: number >> shift))
            }
        }
        bytes.append(replyRequested ? 1 : 0)
        return bytes
    }
}
