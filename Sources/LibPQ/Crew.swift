// SPDX-License-Identifier: Apache-2.0
//
// Threads that end together: the first error, or the caller's wish, ends them all.

import Glibc
import Synchronization

/// Runs the same work on several threads, each of which may block.
public final class Crew: Sendable {
    private struct State {
        var running = 0
        var failure: (any Error)?
    }

    /// Requested as soon as the work is to end early, be it by an error or by the caller.
    public let ending: StopSignal
    private let state = Mutex(State())
    private let bell = Wakeup()

    /// A crew that has nothing to do yet; good for one run.
    public init(ending: StopSignal = StopSignal()) {
        self.ending = ending
    }

    /// Runs `work` once a thread, from 0 on, and waits until all have ended; blocks.
    ///
    /// The signal that `work` is given ends it early; a request of `stop` is passed on to it. Throws
    /// the first error of any of them. `meanwhile` is called on the caller's thread after each
    /// `wake`, now and then, and once after the last has ended.
    public func run(
        _ count: Int,
        named name: String,
        stop: StopSignal,
        _ work: @escaping @Sendable (Int, StopSignal) throws -> Void,
        meanwhile: () -> Void = {}
    ) throws {
        state.withLock { $0.running = count }
        for number in 0..<count {
            startThread(named: "\(name)-\(number)") { [self] in
                do {
                    try work(number, ending)
                    ended(nil)
                } catch {
                    ended(error)
                }
            }
        }
        while true {
            let isRunning = state.withLock { $0.running > 0 }
            meanwhile()
            guard isRunning else { break }
            if stop.isRequested { ending.request() }
            var set = [
                pollfd(fd: bell.descriptor, events: Int16(POLLIN), revents: 0),
                // Once passed on it is always readable and of no more interest.
                pollfd(
                    fd: ending.isRequested ? -1 : stop.descriptor,
                    events: Int16(POLLIN),
                    revents: 0
                ),
            ]
            _ = poll(&set, 2, 1_000)
            if set[0].revents != 0 { bell.clear() }
        }
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    /// Has `meanwhile` called soon; for whoever works in the crew.
    public func wake() { bell.ring() }

    private func ended(_ error: (any Error)?) {
        state.withLock { state in
            state.running -= 1
            if state.failure == nil { state.failure = error }
        }
        // Only now: what the others throw because of it must not come first.
        if error != nil { ending.request() }
        bell.ring()
    }
}
