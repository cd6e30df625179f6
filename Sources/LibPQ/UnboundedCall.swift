// SPDX-License-Identifier: Apache-2.0
//
// Calls that have no bound, as connecting by a name has none: with name servers that are silent
// getaddrinfo(3) takes minutes. Each runs on a thread of its own, for which we wait with a bound.

import Glibc
import Synchronization

/// A call that is waited for only as long as it is worth it.
final class UnboundedCall<Answer: Sendable>: Sendable {
    private enum State {
        case running
        case answered(Answer)
        case abandoned
    }

    /// The most calls that nobody waits for any more and that have not come back.
    static var abandonedLimit: Int { 32 }

    private let state = Mutex(State.running)
    private let bell = Wakeup()

    private init() {}

    /// Calls, and waits for the answer until the deadline or a stop; `beat` is called each second.
    ///
    /// Throws `PostgresError` of kind `timeout` or `interrupted`: then nobody waits any more, and
    /// whenever the answer comes `cleanUp` gets it, on the thread of the call. Where too many such
    /// calls have not come back it throws `timeout` at once.
    static func answer(
        until deadline: ContinuousClock.Instant,
        stop: StopSignal?,
        beat: (@Sendable () -> Void)?,
        _ call: @escaping @Sendable () -> Answer,
        cleanUp: @escaping @Sendable (Answer) -> Void
    ) throws(PostgresError) -> Answer {
        guard abandonedCalls.load(ordering: .relaxed) < abandonedLimit else { throw late }
        let pending = UnboundedCall()
        startThread(named: "connect") {
            let answer = call()
            guard !pending.give(answer) else { return }
            cleanUp(answer)
            abandonedCalls.subtract(1, ordering: .relaxed)
        }
        while true {
            let left = deadline - .now
            if pending.wait(for: min(left, .seconds(1)), stop: stop), let answer = pending.take() {
                return answer
            }
            beat?()
            let isStopped = stop?.isRequested ?? false
            guard isStopped || left <= .zero else { continue }
            // The call sees a stop as well, and is seldom where it cannot: to leave it in the midst
            // of OpenSSL is to leave it there when the process ends.
            if isStopped { _ = pending.wait(for: .milliseconds(200), stop: nil) }
            // It may have come just now.
            if let answer = pending.abandon() { return answer }
            throw isStopped ? PostgresError(kind: .interrupted, message: "stopped") : late
        }
    }

    private static var late: PostgresError {
        PostgresError(kind: .timeout, message: "no answer within the time limit")
    }

    /// Waits for the bell; returns at once on a stop.
    private func wait(for limit: Duration, stop: StopSignal?) -> Bool {
        var set = [
            pollfd(fd: bell.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stop?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        _ = poll(&set, 2, max(limit, .zero).pollMilliseconds)
        return set[0].revents != 0
    }

    /// False where nobody waits for the answer.
    private func give(_ answer: Answer) -> Bool {
        let isAwaited = state.withLock { state in
            if case .abandoned = state { return false }
            state = .answered(answer)
            return true
        }
        bell.ring()
        return isAwaited
    }

    private func take() -> Answer? {
        state.withLock { state in
            if case .answered(let answer) = state { answer } else { nil }
        }
    }

    private func abandon() -> Answer? {
        state.withLock { state in
            if case .answered(let answer) = state { return answer }
            state = .abandoned
            abandonedCalls.add(1, ordering: .relaxed)
            return nil
        }
    }
}

/// Calls of any kind that nobody waits for and that have not come back.
private let abandonedCalls = Atomic(0)
