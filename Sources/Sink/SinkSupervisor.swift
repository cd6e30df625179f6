// SPDX-License-Identifier: Apache-2.0

public import ChangeModel

/// What a sink may ask of the pipeline that drives it.
public protocol SinkSupervisor: Sendable {
    /// Waits before the `attempt`-th retry (from 1) of something that is expected to mend itself.
    ///
    /// Reports the error, keeps the watchdog fed and sleeps with backoff. Throws
    /// `CancellationError` once the task is asked to stop, and the error itself, no longer
    /// transient, once the time for retries is used up.
    func waitBeforeRetry(of error: WalrelayError, attempt: Int) throws

    /// Says that the sink waits for somebody else's pace, such as a reader that is slow.
    ///
    /// To be called at least every second of such a wait: keeps the watchdog fed. Returns false
    /// once the task is asked to stop.
    func keepWaiting() -> Bool

    /// Says what a wait is for that may still end by itself: the operator sees it, nothing else.
    ///
    /// To be called now and then for as long as the wait lasts.
    func note(_ error: WalrelayError)

    /// Says what works and may cause trouble: of the findings the warnings, each once a run,
    /// however often a sink is opened in it.
    func tell(_ findings: [Finding])
}

extension SinkSupervisor {
    /// Says nothing.
    public func note(_ error: WalrelayError) {}

    /// Says nothing.
    public func tell(_ findings: [Finding]) {}
}
