// SPDX-License-Identifier: Apache-2.0
//
// A call that does not come back for as long as it likes: who waits for it is let go, and what
// comes of it later is cleaned up.

import Support
import Synchronization
import Testing

@testable import LibPQ

@Suite struct UnboundedCallTests {
    /// A call that takes until it is let go, and what became of its answer.
    private final class Slow: Sendable {
        let mayEnd = StopSignal()
        let cleaned = Mutex<[Int]>([])
        let beats = Atomic(0)

        func answer(
            within limit: Duration,
            stop: StopSignal? = nil
        ) throws(PostgresError) -> Int {
            try UnboundedCall.answer(
                until: .now + limit,
                stop: stop,
                beat: { [self] in beats.add(1, ordering: .relaxed) },
                { [self] in
                    mayEnd.sleep(for: .seconds(120))
                    return 7
                },
                cleanUp: { [self] answer in cleaned.withLock { $0.append(answer) } }
            )
        }
    }

    @Test func `an answer is given, and nothing is cleaned up`() async throws {
        let slow = Slow()
        slow.mayEnd.request()
        #expect(try await onThread { try slow.answer(within: .seconds(60)) } == 7)
        #expect(slow.cleaned.withLock(\.self) == [])
    }

    @Test func `the deadline lets go, with a beat a second, and the answer is cleaned up`()
        async throws
    {
        let slow = Slow()
        let error = try await #require(throws: PostgresError.self) {
            try await onThread { _ = try slow.answer(within: .milliseconds(2_500)) }
        }
        #expect(error.kind == .timeout)
        #expect(slow.beats.load(ordering: .relaxed) >= 2)
        #expect(slow.cleaned.withLock(\.self) == [])
        slow.mayEnd.request()
        try await eventually("the late answer") { slow.cleaned.withLock(\.self) == [7] }
    }

    @Test func `a stop lets go at once`() async throws {
        let (slow, stop) = (Slow(), StopSignal())
        stop.request()
        let error = try await #require(throws: PostgresError.self) {
            try await onThread { _ = try slow.answer(within: .seconds(100), stop: stop) }
        }
        #expect(error.kind == .interrupted)
        slow.mayEnd.request()
        try await eventually("the late answer") { slow.cleaned.withLock(\.self) == [7] }
    }
}
