// SPDX-License-Identifier: Apache-2.0
//
// Threads that end together: the first error, or the caller's wish, ends them all.

import ChangeModel
import Glibc
import LibPQ
import Synchronization

/// Runs the same work on several threads, each of which may block.
final class Crew: Sendable {
    private struct State {
        var running: Int
        var failure: (any Error)?
    }

    /// Requested as soon as the work is to end early.
    let ending = StopSignal()
    private let state: Mutex<State>
    private let bell = Wakeup()

    private init(count: Int) {
        state = Mutex(State(running: count))
    }

    /// Runs `work` once a thread, from 0 on, and waits until all have ended; blocks.
    ///
    /// The signal that `work` is given ends it early. Throws the first error of any of them.
    static func run(
        _ count: Int,
        named name: String,
        stop: StopSignal,
        _ work: @escaping @Sendable (Int, StopSignal) throws -> Void
    ) throws {
        guard count > 0 else { return }
        let crew = Crew(count: count)
        for number in 0..<count {
            startThread(named: "\(name)-\(number)") {
                do {
                    try work(number, crew.ending)
                    crew.ended(nil)
                } catch {
                    crew.ended(error)
                }
            }
        }
        while crew.state.withLock({ $0.running }) > 0 {
            if stop.isRequested { crew.ending.request() }
            var set = [
                pollfd(fd: crew.bell.descriptor, events: Int16(POLLIN), revents: 0),
                // Once passed on it is always readable and of no more interest.
                pollfd(
                    fd: crew.ending.isRequested ? -1 : stop.descriptor,
                    events: Int16(POLLIN),
                    revents: 0
                ),
            ]
            _ = poll(&set, 2, 1_000)
            if set[0].revents != 0 { crew.bell.clear() }
        }
        if let failure = crew.state.withLock({ $0.failure }) { throw failure }
    }

    private func ended(_ error: (any Error)?) {
        state.withLock { state in
            state.running -= 1
            if state.failure == nil { state.failure = error }
        }
        if error != nil { ending.request() }
        bell.ring()
    }
}

/// Work that several threads take from, in order.
final class WorkList<Item: Sendable>: Sendable {
    private let items: [Item]
    private let next = Atomic(0)

    init(_ items: [Item]) {
        self.items = items
    }

    /// The next item; nil when none is left.
    func take() -> Item? {
        let index = next.add(1, ordering: .relaxed).oldValue
        return index < items.count ? items[index] : nil
    }
}
