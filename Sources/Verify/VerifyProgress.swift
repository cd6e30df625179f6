// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How far a comparison is; safe to ask from any thread.
public final class VerifyProgress: Sendable {
    /// One look at it.
    public struct State: Sendable, Equatable {
        /// What is being done.
        public var step = "connecting"
        /// Rows read so far, on both servers together.
        public var rows: Int64 = 0
        /// Bytes of the tables read so far, of `bytesInAll`; both 0 where that is not known.
        public var bytes: Int64 = 0
        /// The bytes of all tables on both servers.
        public var bytesInAll: Int64 = 0
    }

    private let state = Mutex(State())

    /// A comparison that has not begun.
    public init() {}

    /// How far it is now.
    public var now: State { state.withLock { $0 } }

    func enter(_ step: String, bytesInAll: Int64 = 0) {
        state.withLock { state in
            state.step = step
            state.bytes = 0
            state.bytesInAll = bytesInAll
            state.rows = 0
        }
    }

    func add(rows: Int64, bytes: Int64 = 0) {
        state.withLock { state in
            state.rows += rows
            state.bytes += bytes
        }
    }
}
