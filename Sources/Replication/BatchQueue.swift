// SPDX-License-Identifier: Apache-2.0
//
// The one queue between those who read the source (the stream's reader, the snapshot's workers)
// and the one who writes to the sink. Bounded in batches; its fullness is the back-pressure.
// Emptied batches go back to the readers, so that their memory is used again.

public import ChangeModel
public import LibPQ
import Synchronization

/// A bounded queue of batches with one consumer.
public final class BatchQueue: Sendable {
    private struct State {
        var waiting: [ChangeBatch] = []
        var spare: [ChangeBatch] = []
        var isFinished = false
    }

    private let state = Mutex(State())
    private let capacity: Int
    private let pressure: BackPressure
    private let batchArrived: Wakeup
    /// Rings when there is room again, and whenever the consumer has news for the reader.
    public let consumerMoved = Wakeup()

    /// A queue that holds at most `capacity` batches, at least one; `pressure` is told when there
    /// is no room for another.
    ///
    /// Whoever takes from several queues gives them one bell, `arrived`.
    public init(
        capacity: Int,
        arrived: Wakeup = Wakeup(),
        pressure: BackPressure = BackPressure()
    ) {
        batchArrived = arrived
        self.capacity = max(1, capacity)
        self.pressure = pressure
    }

    /// Takes a batch if there is room; leaves it with the caller and returns false if not.
    public func offer(_ batch: inout ChangeBatch) -> Bool {
        let accepted = state.withLock { state in
            guard state.waiting.count < capacity, !state.isFinished else {
                if !state.isFinished { pressure.begin() }
                return false
            }
            pressure.end()
            state.waiting.append(batch)
            batch = ChangeBatch()
            return true
        }
        if accepted { batchArrived.ring() }
        return accepted
    }

    /// Takes a batch, and waits for room as long as it takes.
    ///
    /// Blocks the thread.
    ///
    /// Throws `CancellationError` when `stop` is requested or the queue is finished. Several
    /// producers may wait; each looks again at least every 20 ms.
    public func put(_ batch: consuming ChangeBatch, stop: StopSignal) throws {
        var batch = batch
        while !offer(&batch) {
            if stop.isRequested || state.withLock({ $0.isFinished }) { throw CancellationError() }
            consumerMoved.wait(for: .milliseconds(20))
        }
    }

    /// The next batch; `nil` when none came within the time, or none will.
    public func next(within limit: Duration) -> ChangeBatch? {
        if let batch = takeFirst() { return batch }
        batchArrived.wait(for: limit)
        return takeFirst()
    }

    private func takeFirst() -> ChangeBatch? {
        let batch = state.withLock { state in
            state.waiting.isEmpty ? nil : state.waiting.removeFirst()
        }
        if batch != nil { consumerMoved.ring() }
        return batch
    }

    /// An empty batch, with the memory of an earlier one if there is one to spare.
    public func spare() -> ChangeBatch {
        state.withLock { $0.spare.popLast() } ?? ChangeBatch()
    }

    /// Gives an emptied batch's memory back; beyond the capacity it is freed.
    public func recycle(_ batch: consuming ChangeBatch) {
        var batch = batch
        batch.removeAll()
        state.withLock { state in
            if state.spare.count <= capacity { state.spare.append(batch) }
        }
    }

    /// Says that no batch will come any more; what waits is still to be taken.
    public func finish() {
        state.withLock { state in
            state.isFinished = true
            pressure.end()
        }
        batchArrived.ring()
    }

    /// Whether nothing waits and nothing will come.
    public var isDrained: Bool {
        state.withLock { $0.isFinished && $0.waiting.isEmpty }
    }
}
