// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a broker: feeds the watchdog, and ends a while after a stop was asked for. Before
// that it waits as long as whoever calls allows.

#if Kafka
import Sink

/// How long the sink waits for its brokers once the task is asked to stop.
final class Patience {
    /// How long a stop lets the waiting go on.
    static let afterStop: Duration = .seconds(15)

    private let supervisor: any SinkSupervisor
    private let afterStop: Duration
    private var askedToStop: ContinuousClock.Instant?

    init(_ supervisor: any SinkSupervisor, afterStop: Duration = Patience.afterStop) {
        self.supervisor = supervisor
        self.afterStop = afterStop
    }

    /// Tells the watchdog that we wait; false once the waiting is to end.
    func mayGoOn() -> Bool {
        guard !supervisor.keepWaiting() else { return true }
        let since = askedToStop ?? .now
        askedToStop = since
        return ContinuousClock.now - since < afterStop
    }

    /// Tells the watchdog that we wait; throws `CancellationError` once the waiting is to end.
    func look() throws {
        guard mayGoOn() else { throw CancellationError() }
    }
}
#endif
