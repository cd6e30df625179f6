// SPDX-License-Identifier: Apache-2.0
//
// A session on the target, set up alike for the stream and for each lane of a snapshot. Waiting
// in it feeds the watchdog; after a stop was asked for it waits only a while longer.

import ChangeModel
import LibPQ
import Sink
import Synchronization

/// What a session on the target may do.
struct SessionRights: Sendable, Equatable {
    /// Whether triggers and foreign keys are out of the way (`session_replication_role`).
    var skipsTriggers: Bool
}

/// A connection to the target whose settings are in place.
final class TargetSession {
    let connection: Connection
    let rights: SessionRights

    /// Connects and sets the session up; blocks.
    ///
    /// Throws `WalrelayError`, and `CancellationError` where a stop ended the waiting.
    init(_ parameters: ConnectionParameters, patience: Patience) throws {
        let beat: @Sendable () -> Void = { patience.look() }
        do throws(PostgresError) {
            let connection = try Connection.open(
                parameters.for(.sink),
                stop: patience.giveUp,
                beat: beat
            )
            rights = try Self.setUp(connection)
            self.connection = connection
        } catch {
            if error.kind == .interrupted { throw CancellationError() }
            throw TargetErrors.error(
                error,
                while: "connecting to the target \(parameters.destination)"
            )
        }
    }

    /// Sets a session up as walrelay's own; to be called once on each connection.
    static func setUp(_ connection: borrowing Connection) throws(PostgresError) -> SessionRights {
        // The source is told that a commit is durable as soon as it returns: where the database
        // says that it need not be, a crash would leave the slot ahead of the checkpoint.
        try connection.query(
            """
            SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
            WHERE pg_catalog.current_setting('synchronous_commit') = 'off'
            """
        )
        do {
            // As PostgreSQL's own apply worker: what triggers and foreign keys do was done at the
            // source already and comes as changes.
            try connection.query("SET session_replication_role = replica")
            return SessionRights(skipsTriggers: true)
        } catch {
            // Superusers only, or those with GRANT SET ON PARAMETER (15 and later).
            guard error.sqlState == "42501" else { throw error }
            return SessionRights(skipsTriggers: false)
        }
    }
}

/// How long a session waits for the target once the task is asked to stop.
///
/// Before that it waits as long as its statement allows.
final class Patience: Sendable {
    /// How long a stop lets a statement go on.
    static let afterStop: Duration = .seconds(15)

    /// Requested when the waiting is to end.
    let giveUp = StopSignal()
    let supervisor: any SinkSupervisor
    private let askedToStop = Mutex<ContinuousClock.Instant?>(nil)

    init(_ supervisor: any SinkSupervisor) {
        self.supervisor = supervisor
    }

    /// Tells the watchdog that we wait, and looks whether that is to end.
    func look() {
        guard !supervisor.keepWaiting() else { return }
        let since = askedToStop.withLock { asked in
            if asked == nil { asked = .now }
            return asked ?? .now
        }
        if ContinuousClock.now - since > Self.afterStop { giveUp.request() }
    }
}
