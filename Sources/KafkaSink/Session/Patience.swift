// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a broker: feeds the watchdog, tells the operator what a long wait is for, and ends
// a while after a stop was asked for. Before that it waits as long as whoever calls allows.

#if Kafka
import ChangeModel
import Sink

/// How long the sink waits for its brokers once the task is asked to stop.
final class Patience {
    /// How long a stop lets the waiting go on.
    static let afterStop: Duration = .seconds(15)
    /// How long a wait lasts before the operator hears of it.
    private static let quiet: Duration = .seconds(3)
    /// How often the operator hears of a wait that goes on.
    private static let reminder: Duration = .seconds(30)
    /// Looks of one wait follow each other sooner than this.
    private static let pause: Duration = .seconds(2)

    /// What the brokers complain of, if they do.
    var reason: (() -> WalrelayError?)?

    private let supervisor: any SinkSupervisor
    private let afterStop: Duration
    private var askedToStop: ContinuousClock.Instant?
    private var lastLook: ContinuousClock.Instant?
    /// When the wait that goes on is to be told of next.
    private var nextNote = ContinuousClock.now

    init(_ supervisor: any SinkSupervisor, afterStop: Duration = Patience.afterStop) {
        self.supervisor = supervisor
        self.afterStop = afterStop
    }

    /// Tells the watchdog that we wait; false once the waiting is to end.
    func mayGoOn() -> Bool {
        tell()
        guard !supervisor.keepWaiting() else { return true }
        let since = askedToStop ?? .now
        askedToStop = since
        return ContinuousClock.now - since < afterStop
    }

    private func tell() {
        let now = ContinuousClock.now
        if lastLook.map({ now - $0 > Self.pause }) ?? true { nextNote = now + Self.quiet }
        lastLook = now
        guard now >= nextNote, let error = reason?() else { return }
        nextNote = now + Self.reminder
        supervisor.note(error)
    }

    /// Tells the watchdog that we wait; throws `CancellationError` once the waiting is to end.
    func look() throws {
        guard mayGoOn() else { throw CancellationError() }
    }
}
#endif
