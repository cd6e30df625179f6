// SPDX-License-Identifier: Apache-2.0
//
// What a task says of itself while another daemon runs it.

public import Replication

extension TaskStatus {
    /// A wait for the task's lock.
    public struct Standby: Sendable, Codable, Equatable {
        /// Since when, as ISO 8601 in UTC with milliseconds.
        public var since: String
        /// The session that has the lock; nil where that could not be seen.
        public var holder: TaskHolder?

        /// Creates a wait.
        public init(since: String, holder: TaskHolder?) {
            self.since = since
            self.holder = holder
        }

        /// Encodes every key, an unknown holder as null.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(since, forKey: .since)
            try container.encode(holder, forKey: .holder)
        }

        /// `the task is run by walrelay/orders lock from 10.0.0.5 (pid 4711 of the source)`.
        public var text: String { "the task is run by \(holder?.text ?? "another walrelay")" }
    }
}

extension StatusBoard {
    /// Shows that the task waits for another daemon's end; the phase is standby.
    func standBy(for holder: TaskHolder?) {
        let now = timestamp
        count { $0.isSourceUp = true }
        update { status in
            // Where a stream of ours stood says nothing any more, and would count as lag.
            (status.stream.receivedLSN, status.stream.durableLSN) = (nil, nil)
            let since = status.phase == .standby ? status.standby?.since : nil
            status.standby = TaskStatus.Standby(since: since ?? now, holder: holder)
            status.phase = .standby
        }
    }
}
