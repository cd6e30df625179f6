// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ
import Replication
import Support
import Synchronization
import Testing

@Suite struct BatchQueueTests {
    private func batch(_ number: UInt8) -> ChangeBatch {
        var batch = ChangeBatch()
        batch.bytes = [number]
        return batch
    }

    @Test func `it holds what it may and no more, in order`() {
        let queue = BatchQueue(capacity: 2)
        var third = batch(3)
        var (first, second) = (batch(1), batch(2))
        #expect(queue.offer(&first) && queue.offer(&second))
        #expect(first.bytes.isEmpty, "a batch that was taken is not with the caller any more")
        #expect(!queue.offer(&third) && third.bytes == [3], "one that was not still is")
        #expect(queue.next(within: .zero)?.bytes == [1])
        #expect(queue.offer(&third))
        #expect(queue.next(within: .zero)?.bytes == [2])
        #expect(queue.next(within: .zero)?.bytes == [3])
        #expect(queue.next(within: .zero)?.bytes == nil)
    }

    @Test func `after the end nothing comes in and what waits still comes out`() {
        let queue = BatchQueue(capacity: 2)
        var (first, second) = (batch(1), batch(2))
        #expect(queue.offer(&first))
        queue.finish()
        #expect(!queue.offer(&second) && second.bytes == [2])
        #expect(!queue.isDrained)
        #expect(throws: CancellationError.self) { try queue.put(batch(3), stop: StopSignal()) }
        #expect(queue.next(within: .seconds(60))?.bytes == [1])
        #expect(queue.isDrained)
    }

    @Test func `emptied batches come back with their memory, up to a bound`() {
        let queue = BatchQueue(capacity: 1)
        for _ in 0..<10 {
            var used = ChangeBatch(rows: 10, bytes: 1_000)
            used.bytes += [1, 2, 3]
            used.committedCount = 0
            queue.recycle(used)
        }
        let spares = (0..<10).map { _ in queue.spare() }
        #expect(spares.allSatisfy { $0.bytes.isEmpty && $0.isEmpty })
        let kept = spares.count { $0.bytes.capacity >= 1_000 }
        #expect(kept >= 1 && kept <= 2)
    }

    @Test(arguments: [1, 3])
    func `no batch is lost or doubled between many producers and the consumer`(
        capacity: Int
    ) async throws {
        let queue = BatchQueue(capacity: capacity)
        let producers = 4
        let each = 200
        let working = Count(producers)
        for producer in 0..<producers {
            startThread(named: "producer") {
                for number in 0..<each {
                    var batch = queue.spare()
                    batch.bytes = [UInt8(producer), UInt8(number)]
                    try? queue.put(batch, stop: StopSignal())
                }
                if working.down() == 0 { queue.finish() }
            }
        }
        let seen = try await onThread {
            var seen: [[UInt8]] = []
            while !queue.isDrained {
                guard let batch = queue.next(within: .seconds(1)) else { continue }
                seen.append(batch.bytes)
                queue.recycle(batch)
            }
            return seen
        }
        #expect(seen.count == producers * each)
        for producer in 0..<producers {
            let own = seen.filter { $0[0] == UInt8(producer) }.map { Int($0[1]) }
            #expect(own == Array(0..<each), "each producer's batches in its own order")
        }
    }

    private final class Count: Sendable {
        private let value: Atomic<Int>

        init(_ start: Int) { value = Atomic(start) }

        func down() -> Int { value.subtract(1, ordering: .sequentiallyConsistent).newValue }
    }

    @Test func `a stop ends a producer that waits for room`() async throws {
        let queue = BatchQueue(capacity: 1)
        try queue.put(batch(1), stop: StopSignal())
        let stop = StopSignal()
        async let outcome: Bool = onThread {
            do {
                try queue.put(ChangeBatch(), stop: stop)
                return false
            } catch {
                return error is CancellationError
            }
        }
        stop.request()
        #expect(try await outcome)
        #expect(queue.next(within: .zero)?.bytes == [1])
        #expect(queue.next(within: .zero) == nil, "the one that was refused is not in it")
    }

    @Test func `the durable position never goes back, and its bell rings when it moves`() {
        let bell = Wakeup()
        let position = StreamPosition(start: LSN(100), wakeup: bell)
        #expect(position.durable == LSN(100) && position.received == LSN(100))
        position.advanceDurable(to: LSN(100))
        position.advanceDurable(to: LSN(50))
        #expect(!bell.wait(for: .zero) && position.durable == LSN(100))
    }
}
