// SPDX-License-Identifier: Apache-2.0

import LibPQ
import Support
import Synchronization
import Testing

private final class Counter: Sendable {
    private let count = Atomic(0)

    var value: Int { count.load(ordering: .sequentiallyConsistent) }

    func add() { count.add(1, ordering: .sequentiallyConsistent) }
}

@Suite struct WaitingTests {
    @Test func `no ring of many producers is lost`() async throws {
        let bell = Wakeup()
        let produced = Counter()
        let producers = 8
        let each = 2_000
        for number in 0..<producers {
            startThread(named: "producer-\(number)") {
                for _ in 0..<each {
                    produced.add()
                    bell.ring()
                }
            }
        }
        // A consumer that looks only after a ring must see the last one's work.
        let seen = try await onThread {
            var seen = produced.value
            while seen < producers * each {
                guard bell.wait(for: .seconds(60)) else { return seen }
                seen = produced.value
            }
            return seen
        }
        #expect(seen == producers * each)
    }

    @Test func `a ring before the wait is not lost, and one wait clears all`() async throws {
        let bell = Wakeup()
        bell.ring()
        bell.ring()
        let rang = try await onThread {
            [bell.wait(for: .seconds(60)), bell.wait(for: .zero)]
        }
        #expect(rang == [true, false])
        bell.clear()
        bell.ring()
        bell.clear()
        #expect(!bell.wait(for: .zero))
    }

    @Test func `a stop wakes every sleeper and stays`() async throws {
        let stop = StopSignal()
        #expect(!stop.isRequested)
        let (asleep, woken) = (Counter(), Counter())
        for number in 0..<4 {
            startThread(named: "sleeper-\(number)") {
                asleep.add()
                if stop.sleep(for: .seconds(60)) { woken.add() }
            }
        }
        try await eventually { asleep.value == 4 }
        stop.request()
        try await eventually { woken.value == 4 }
        #expect(stop.isRequested)
        #expect(stop.sleep(for: .seconds(60)), "a sleep after the request returns at once")
        stop.request()
        #expect(stop.isRequested)
    }

    @Test func `without a stop a sleep ends by itself`() async throws {
        let slept = try await onThread { StopSignal().sleep(for: .milliseconds(1)) }
        #expect(!slept)
    }

    @Test func `work on a thread of its own gives its value, its error and its name`()
        async throws
    {
        struct Failure: Error {}
        #expect(try await onOwnThread(named: "worker") { 42 } == 42)
        await #expect(throws: Failure.self) {
            try await onOwnThread(named: "worker") { throw Failure() }
        }
    }
}
