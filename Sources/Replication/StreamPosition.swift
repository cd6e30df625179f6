// SPDX-License-Identifier: Apache-2.0

public import ChangeModel
public import LibPQ
import Synchronization

/// How far a stream is, shared by its reader and whoever writes to the sink.
///
/// Rule 2: confirmed flush ≤ checkpoint = durable ≤ received. The writer moves `durable` after the
/// sink's commit has returned and never before; the reader confirms no more than that.
public final class StreamPosition: Sendable {
    private let durableLSN: Atomic<UInt64>
    private let receivedLSN: Atomic<UInt64>
    private let wakeup: Wakeup

    /// A stream that goes on at `start`; `wakeup` rings when the durable position moves.
    public init(start: LSN, wakeup: Wakeup) {
        durableLSN = Atomic(start.rawValue)
        receivedLSN = Atomic(start.rawValue)
        self.wakeup = wakeup
    }

    /// Everything committed before this position is durable in the sink.
    public var durable: LSN { LSN(durableLSN.load(ordering: .acquiring)) }

    /// The furthest position that the server has spoken of.
    public var received: LSN { LSN(receivedLSN.load(ordering: .relaxed)) }

    /// Says what the sink has made durable; a position never goes back.
    public func advanceDurable(to lsn: LSN) {
        precondition(lsn <= received || received == .zero, "durable ahead of received")
        guard lsn > durable else { return }
        durableLSN.store(lsn.rawValue, ordering: .releasing)
        wakeup.ring()
    }

    /// Says what has arrived.
    func advanceReceived(to lsn: LSN) {
        if lsn.rawValue > receivedLSN.load(ordering: .relaxed) {
            receivedLSN.store(lsn.rawValue, ordering: .relaxed)
        }
    }
}
