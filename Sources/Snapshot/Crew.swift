// SPDX-License-Identifier: Apache-2.0
//
// The caller's view of its workers: how many have imported, how many still run, who failed first.

import ChangeModel
import Glibc
import LibPQ
import Synchronization

/// Workers that end together: the first error, or the caller's wish, ends them all.
final class Crew: Sendable {
    private struct State {
        var importing: Int
        var running: Int
        var failure: (any Error)?
    }

    private let state: Mutex<State>
    private let bell = Wakeup()
    private let ending: StopSignal
    /// Rung once all have imported; like the request to stop it stays.
    private let gate = StopSignal()

    init(workerCount: Int, ending: StopSignal) {
        state = Mutex(State(importing: workerCount, running: workerCount))
        self.ending = ending
    }

    /// The first error of a worker.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Told by a worker whose transaction sees the snapshot and holds its locks; waits until all
    /// of them do.
    ///
    /// Blocks. A worker that copied already would hold up an ALTER TABLE, which would hold up
    /// the locks of a worker that comes later. Throws when the crew is to end.
    func imported() throws(WalrelayError) {
        let isLast = state.withLock { state in
            state.importing -= 1
            return state.importing == 0
        }
        if isLast { gate.request() }
        bell.ring()
        while !gate.isRequested {
            if ending.isRequested {
                throw WalrelayError("stopped", exit: .success, "the snapshot was stopped")
            }
            var set = [
                pollfd(fd: gate.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: ending.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&set, 2, 1000)
        }
    }

    /// Told by a worker as the last thing it does, its connection closed.
    func ended(_ error: (any Error)?) {
        state.withLock { state in
            state.running -= 1
            if state.failure == nil { state.failure = error }
        }
        // Only now: what the others throw because of it must not come first.
        if error != nil { ending.request() }
        bell.ring()
    }

    /// Waits until all workers have ended; blocks.
    ///
    /// Passes a request of `stop` on to them. `allImported` is called once, if it comes to that.
    func supervise(stop: StopSignal, allImported: () -> Void) {
        var announced = false
        while true {
            let (importing, running) = state.withLock { ($0.importing, $0.running) }
            if importing == 0, !announced {
                announced = true
                allImported()
            }
            if running == 0 { return }
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
            _ = poll(&set, 2, 1000)
            if set[0].revents != 0 { bell.clear() }
        }
    }
}
