// SPDX-License-Identifier: Apache-2.0

import LibPQ
import Synchronization

/// Blocking work on a thread of its own whose result somebody else waits for.
final class Worker<Result: Sendable>: Sendable {
    private let outcome = Mutex<Swift.Result<Result, any Error>?>(nil)
    private let ended = Wakeup()

    /// Starts the work at once.
    init(named name: String, _ body: @escaping @Sendable () throws -> Result) {
        startThread(named: name) { [self] in
            let result = Swift.Result { try body() }
            outcome.withLock { $0 = result }
            ended.ring()
        }
    }

    /// Whether the work has ended.
    var hasEnded: Bool { outcome.withLock { $0 != nil } }

    /// Waits for the end, `beat` being called meanwhile, and returns or throws what came of it.
    func join(beat: () -> Void) throws -> Result {
        while !hasEnded {
            beat()
            ended.wait(for: .milliseconds(200))
        }
        guard let result = outcome.withLock({ $0 }) else { throw CancellationError() }
        return try result.get()
    }
}
