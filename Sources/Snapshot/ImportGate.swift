// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Glibc
import LibPQ
import Synchronization

/// Holds each worker up until all of them see the snapshot and have its locks.
///
/// A worker that copied already would hold up an ALTER TABLE, which would hold up the locks of a
/// worker that comes later.
final class ImportGate: Sendable {
    private let missing: Atomic<Int>
    /// Like a request to stop it stays.
    private let opened = StopSignal()

    init(workerCount: Int) {
        missing = Atomic(workerCount)
    }

    /// Whether all workers have come to it; nobody needs the exporting transaction any more.
    var isOpen: Bool { missing.load(ordering: .acquiring) == 0 }

    /// Comes to the gate and waits until it is open; blocks.
    ///
    /// Throws when the work is to end.
    func pass(ending: StopSignal, crew: Crew) throws(WalrelayError) {
        if missing.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            opened.request()
            crew.wake()
        }
        while !opened.isRequested {
            if ending.isRequested {
                throw WalrelayError("stopped", exit: .success, "the snapshot was stopped")
            }
            var set = [
                pollfd(fd: opened.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: ending.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&set, 2, 1_000)
        }
    }
}
