// SPDX-License-Identifier: Apache-2.0
//
// COPY out and COPY both (the replication stream). The bytes stay libpq's; they are lent to a
// closure and freed after it.

import CLibPQ
import Glibc

/// What a look at a COPY stream found.
public enum CopyProgress: Sendable {
    /// A message was there and the closure has seen it.
    case message
    /// Nothing more has arrived yet.
    case wouldBlock
    /// The server ended the stream.
    case ended
}

extension Connection {
    /// Lends the next CopyData message that has already arrived; never blocks.
    ///
    /// Throws what the closure throws, or `PostgresError` when the connection is lost.
    @inline(__always)
    public func nextMessage(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> CopyProgress
    {
        var buffer: UnsafeMutablePointer<CChar>?
        let length = PQgetCopyData(handle, &buffer, 1)
        if length > 0, let buffer {
            defer { PQfreemem(buffer) }
            try body(UnsafeRawBufferPointer(start: buffer, count: Int(length)))
            return .message
        }
        switch length {
        case 0: return .wouldBlock
        case -1: return .ended
        default: throw lostError()
        }
    }

    /// Lends each row of a running COPY … TO STDOUT; blocks until the COPY has ended.
    ///
    /// `idleLimit` bounds the wait for the next bytes, not the whole.
    public func copyOut(
        idleLimit: Duration = .seconds(600),
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        while true {
            switch try nextMessage(body) {
            case .message: continue
            case .wouldBlock:
                try wait(for: Int16(POLLIN), until: .now + idleLimit)
                try consumeInput()
            case .ended:
                _ = try finishCopy(within: idleLimit)
                return
            }
        }
    }

    /// Reads what the socket has; does not block.
    public func consumeInput() throws(PostgresError) {
        guard PQconsumeInput(handle) == 1 else { throw lostError() }
    }

    /// Queues a CopyData message and sends as much as the socket takes.
    ///
    /// Does not wait for the rest: `flushPending` says whether there is one.
    public func send(_ message: [UInt8]) throws(PostgresError) {
        let sent = message.withUnsafeBytes { bytes in
            PQputCopyData(
                handle,
                bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                Int32(bytes.count)
            )
        }
        guard sent == 1, PQflush(handle) >= 0 else { throw lostError() }
    }

    /// Sends what is left to send; true while the socket does not take all of it.
    public func flushPending() throws(PostgresError) -> Bool {
        switch PQflush(handle) {
        case 0: return false
        case 1: return true
        default: throw lostError()
        }
    }

    /// After the server ended a COPY: its verdict, an error thrown where it ended in one.
    @discardableResult
    public func finishCopy(within limit: Duration) throws(PostgresError) -> QueryResult {
        try lastResult(until: .now + limit)
    }

    /// Ends our side of COPY both; the server answers with what it had left and then ends too.
    public func endCopyBoth() throws(PostgresError) {
        guard PQputCopyEnd(handle, nil) >= 0, PQflush(handle) >= 0 else { throw lostError() }
    }
}
