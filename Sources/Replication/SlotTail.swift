// SPDX-License-Identifier: Apache-2.0
//
// The changes between a snapshot and a later position: read from the very slot that gave the
// snapshot, on the connection that made it, since a temporary slot serves no other.

public import ChangeModel
import Glibc
public import LibPQ
import PgOutput

/// Reads what was committed after a snapshot, up to a position.
public struct SlotTail: ~Copyable {
    private let stream: ReplicationStream
    private var assembler: BatchAssembler
    private let stop: StopSignal

    /// After so many changes or bytes a batch is given away.
    private static let rowLimit = 1_000
    private static let byteLimit = 256 << 10

    /// Ends the transaction of the snapshot and starts streaming its slot.
    ///
    /// Others that imported the snapshot keep it. `relations` is what the snapshot shows; changes
    /// of other relations are left out, and one that does not fit is refused. Blocks; throws
    /// `WalrelayError`.
    public init(
        continuing snapshot: consuming SlotSnapshot,
        publication: String,
        relations: [Relation],
        stop: StopSignal
    ) throws(WalrelayError) {
        let (slot, start) = (snapshot.slotName, snapshot.consistentPoint)
        let connection = snapshot.connection
        do throws(PostgresError) {
            try connection.query("COMMIT")
            stream = try ReplicationStream(
                on: connection,
                slot: slot,
                publication: publication,
                from: start
            )
        } catch {
            throw WalrelayError(error, while: "streaming the slot \(slot) at \(start)")
        }
        assembler = BatchAssembler(
            checkpoint: Checkpoint(
                task: "",
                systemIdentifier: "",
                database: "",
                slot: slot,
                position: start,
                snapshot: .complete,
                snapshotLSN: nil,
                relations: relations
            ),
            policy: StreamPolicy(onTruncate: .apply),
            types: TypeCatalog(),
            resolveTypes: { _ in [] }
        )
        self.stop = stop
    }

    /// Gives every change of a transaction that commits before `end`, in commit order.
    ///
    /// Blocks; throws `WalrelayError`, transient where the server does not come that far in time,
    /// or what `take` throws.
    public consuming func read(
        upTo end: LSN,
        within limit: Duration,
        _ take: (borrowing ChangeBatch) throws -> Void
    ) throws {
        let deadline = ContinuousClock.now + limit
        var nextQuestion = ContinuousClock.now
        assembler.until = end
        while !assembler.isAtEnd {
            switch try next() {
            case .message:
                if assembler.batch.changes.count >= Self.rowLimit
                    || assembler.batch.bytes.count >= Self.byteLimit
                {
                    try give(take)
                }
                continue
            case .ended:
                throw WalrelayError(stream.verdict(), while: "streaming the temporary slot")
            case .wouldBlock: break
            }
            let now = ContinuousClock.now
            guard now < deadline else { throw Self.late(end, at: assembler.position) }
            guard !stop.isRequested else { throw CancellationError() }
            if now >= nextQuestion {
                try ask()
                nextQuestion = now + .milliseconds(50)
            }
            _ = try stream.flushPending()
            var set = [
                pollfd(fd: stream.socket, events: Int16(POLLIN), revents: 0),
                pollfd(fd: stop.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&set, 2, 50)
            try stream.receive()
        }
        try give(take)
    }

    private mutating func next() throws -> CopyProgress {
        try stream.next { frame in
            do {
                switch try ReplicationFrame.decode(frame) {
                case .walData(let start, _, _, let offset):
                    try assembler.accept(frame.extracting(offset..<frame.count), at: start)
                case .keepalive(let walEnd, _, _):
                    assembler.advance(to: walEnd)
                }
            } catch let error as DecodeError {
                throw error.walrelayError(at: assembler.position)
            }
        }
    }

    private mutating func give(_ take: (borrowing ChangeBatch) throws -> Void) throws {
        let batch = assembler.take(next: ChangeBatch())
        if !batch.changes.isEmpty { try take(batch) }
    }

    /// Says where we are and asks for the server's position: it tells it unasked too seldom.
    private func ask() throws(PostgresError) {
        let position = assembler.position
        try stream.send(
            StandbyStatus(
                written: position,
                flushed: position,
                applied: position,
                at: .now,
                replyRequested: true
            )
        )
    }

    private static func late(_ end: LSN, at position: LSN) -> WalrelayError {
        WalrelayError(
            "slot.slow",
            exit: .unreachable,
            "The temporary slot has come to \(position) and not to \(end) in time",
            hint: "look whether the source's walsender is busy with a large transaction",
            isTransient: true
        )
    }
}
