// SPDX-License-Identifier: Apache-2.0
//
// For how long readers have waited for room in a queue: of the time that passes, the share in which
// the sink, and not the source, sets the pace. One for a task, whatever queues it has one after
// another; read by monitors at any time, also in the middle of a wait.

import Synchronization

/// A stopwatch that runs while a reader waits for the sink.
public final class BackPressure: Sendable {
    private struct State: Sendable {
        var total: Duration = .zero
        var since: ContinuousClock.Instant?
    }

    private let state = Mutex(State())

    /// A stopwatch that has not run.
    public init() {}

    /// How long it has run, up to now.
    public var total: Duration { total(at: .now) }

    func total(at now: ContinuousClock.Instant) -> Duration {
        state.withLock { $0.total + ($0.since.map { now - $0 } ?? .zero) }
    }

    /// Runs from now on, or goes on running.
    func begin(at now: ContinuousClock.Instant = .now) {
        state.withLock { $0.since = $0.since ?? now }
    }

    /// Stands still.
    func end(at now: ContinuousClock.Instant = .now) {
        state.withLock { state in
            guard let since = state.since else { return }
            state.total += now - since
            state.since = nil
        }
    }
}
