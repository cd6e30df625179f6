// SPDX-License-Identifier: Apache-2.0
//
// The bounds of a batch, which may be set anew while a stream is read: the reader looks once each
// time its loop comes round, at one atomic number, and takes the new ones when that has changed.

import Synchronization

/// What closes a batch; whichever is met first.
public struct BatchLimits: Sendable, Equatable {
    /// How many changes a batch holds at most.
    public var rows: Int
    /// How many bytes of values close a batch.
    public var bytes: Int
    /// How long a change may wait for others before its batch is closed.
    public var delay: Duration

    /// Creates bounds.
    public init(rows: Int, bytes: Int, delay: Duration) {
        self.rows = rows
        self.bytes = bytes
        self.delay = delay
    }
}

/// The bounds as they are now; shared by whoever sets them and the readers.
public final class LiveBatchLimits: Sendable {
    private let version = Atomic<Int>(0)
    private let limits: Mutex<BatchLimits>

    /// Starts with these bounds.
    public init(_ limits: BatchLimits) {
        self.limits = Mutex(limits)
    }

    /// The bounds as they are now.
    public var current: BatchLimits { limits.withLock { $0 } }

    /// Sets other bounds, which count from the next batch on.
    public func replace(_ new: BatchLimits) {
        limits.withLock { $0 = new }
        version.add(1, ordering: .releasing)
    }

    /// The bounds, where they were set since the caller looked last; `seen` is the caller's memory
    /// of that, -1 at first.
    @inline(__always)
    func news(since seen: inout Int) -> BatchLimits? {
        let now = version.load(ordering: .acquiring)
        guard now != seen else { return nil }
        seen = now
        return current
    }
}
