// SPDX-License-Identifier: Apache-2.0
//
// Waiting for what another process does, without sleeping for a guessed time.

/// Polls until `condition` holds; throws a `SupportError` that names `what` when time is up.
///
/// The condition is asked at growing intervals up to 50 ms and once more at the very end; an
/// error that it throws counts as "not yet" and stands in the failure, unless `giveUp` takes it:
/// then it is thrown on at once.
public func eventually(
    _ what: String = "the condition",
    timeout: Duration = .seconds(30),
    _ condition: () async throws -> Bool,
    giveUp: (any Error) -> Bool = { $0 is CancellationError }
) async throws {
    let deadline = ContinuousClock.now + timeout
    var pause = Duration.milliseconds(1)
    var last: (any Error)?
    while true {
        let isLast = ContinuousClock.now >= deadline
        do {
            if try await condition() { return }
            last = nil
        } catch {
            if giveUp(error) { throw error }
            last = error
        }
        if isLast {
            let reason = last.map { "; the last try threw: \($0)" } ?? ""
            throw SupportError("\(what) did not hold within \(timeout)\(reason)")
        }
        try await Task.sleep(for: pause)
        pause = min(pause * 2, .milliseconds(50))
    }
}
