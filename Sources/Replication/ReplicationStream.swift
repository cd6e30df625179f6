// SPDX-License-Identifier: Apache-2.0
//
// The connection to a walsender in streaming mode: START_REPLICATION, messages in, standby
// status out. Knows nothing of what the messages say.

import ChangeModel
import Glibc
import LibPQ
import PgOutput

/// A running START_REPLICATION.
struct ReplicationStream: ~Copyable {
    private let connection: Connection

    /// Starts streaming a slot from a position, on a replication connection outside of a
    /// transaction.
    ///
    /// Blocks.
    ///
    /// A position before the slot's confirmed flush is moved forward by the server without a
    /// word: the caller has compared the two. Throws `PostgresError`; SQLSTATE 55006 says that
    /// somebody else holds the slot.
    init(
        on connection: consuming Connection,
        slot: String,
        publication: String,
        from start: LSN
    ) throws(PostgresError) {
        let names = SQL.literal(SQL.identifier(publication))
        try connection.query(
            "START_REPLICATION SLOT \(SQL.identifier(slot)) LOGICAL \(start) "
                + "(proto_version '1', publication_names \(names))"
        )
        self.connection = connection
    }

    var socket: Int32 { connection.socket }

    /// Reads what the socket has; does not block.
    @inline(__always)
    func receive() throws(PostgresError) {
        try connection.consumeInput()
    }

    /// Lends the next message that has arrived whole; never blocks.
    @inline(__always)
    func next(_ body: (Span<UInt8>) throws -> Void) throws -> CopyProgress {
        try connection.nextMessage { bytes in
            try body(bytes.bindMemory(to: UInt8.self).span)
        }
    }

    /// Tells the server how far we are; what the socket does not take now is sent later.
    func send(_ status: StandbyStatus) throws(PostgresError) {
        try connection.send(status.encode())
    }

    /// Sends what is left to send; true while the socket does not take all of it.
    func flushPending() throws(PostgresError) -> Bool {
        try connection.flushPending()
    }

    /// Why the server ended the stream.
    func verdict() -> PostgresError {
        do throws(PostgresError) {
            try connection.finishCopy(within: .seconds(5))
            return PostgresError(
                kind: .connectionLost,
                message: "the server ended the replication stream"
            )
        } catch {
            return error
        }
    }

    /// Ends the stream in good order so that the slot is free at once; gives up after `limit`.
    func end(within limit: Duration) {
        let deadline = ContinuousClock.now + limit
        do {
            try connection.endCopyBoth()
            while ContinuousClock.now < deadline {
                switch try connection.nextMessage({ _ in }) {
                case .message: continue
                case .ended:
                    // Only the end of the command says that the slot is free.
                    try connection.finishCopy(within: deadline - .now)
                    return
                case .wouldBlock: break
                }
                var set = [pollfd(fd: socket, events: Int16(POLLIN), revents: 0)]
                _ = poll(&set, 1, 100)
                try connection.consumeInput()
            }
        } catch {
            // The stream is being closed anyway; the server notices the closed socket as well.
        }
    }
}
