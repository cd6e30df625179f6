// SPDX-License-Identifier: Apache-2.0
//
// How long to wait before the next attempt: twice as long each time, up to a bound, and never
// exactly that long, so that many tasks do not come back to a server in step.

public import ChangeModel

/// Counts the attempts since the last success and says when the time for them is over.
public struct RetryPolicy: Sendable {
    /// The first wait.
    public static let firstDelay: Duration = .milliseconds(200)
    /// The longest wait.
    public static let longestDelay: Duration = .seconds(30)

    /// How long may pass without success; `nil` is for ever.
    public var limit: Duration?
    private var failedSince: ContinuousClock.Instant?
    /// Failures since the last success.
    public private(set) var failures = 0

    /// A policy that gives up after `limit` without success; `nil` never does.
    public init(limit: Duration?) {
        self.limit = limit
    }

    /// Forgets the failures: something worked.
    public mutating func succeed() {
        failedSince = nil
        failures = 0
    }

    /// How long to wait after a failure; throws the error once the time is used up.
    ///
    /// One that is transient by itself ends with `unreachable`: another run may find it mended.
    public mutating func delay(
        after error: WalrelayError,
        now: ContinuousClock.Instant = .now
    ) throws(WalrelayError) -> Duration {
        let since = failedSince ?? now
        failedSince = since
        failures += 1
        guard let limit else { return Self.delay(attempt: failures) }
        let left = limit - (now - since)
        guard left > .zero else {
            var final = error
            if error.isTransient { final.exit = .unreachable }
            final.isTransient = false
            final.message += " (tried for \(limit), \(failures) times)"
            throw final
        }
        // The last attempt is made when the time is over, not up to half a minute later.
        return min(left, Self.delay(attempt: failures))
    }

    /// The wait before the `attempt`-th retry, from 1: doubled each time, ± 20 %.
    public static func delay(attempt: Int) -> Duration {
        let doublings = min(max(0, attempt - 1), 16)
        let plain = min(longestDelay, firstDelay * (1 << doublings))
        return plain * Double.random(in: 0.8...1.2)
    }
}
