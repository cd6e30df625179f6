// SPDX-License-Identifier: Apache-2.0
//
// Looks every few minutes at the certificates of the servers that a task talks to, by a connection
// that is made for that alone: the task's own may be months old, and a file or a server that was
// renewed since shows only in a new one. Whatever goes wrong here, the task does not feel it.

import Certificates
import ChangeModel
public import LibPQ
public import Logging

/// Watches the certificates of a running task.
public final class CertificateWatch: Sendable {
    /// One of the task's servers.
    public struct End: Sendable {
        /// Which one.
        public var server: TaskStatus.Certificate.Server
        /// Where its `tls` stands in the settings.
        public var setting: String
        /// How it is reached.
        public var parameters: ConnectionParameters

        /// Names a server.
        public init(
            _ server: TaskStatus.Certificate.Server,
            setting: String,
            parameters: ConnectionParameters
        ) {
            self.server = server
            self.setting = setting
            self.parameters = parameters
        }
    }

    /// How often a look is taken, how soon again after one that failed, and how often the log says
    /// the same of a certificate.
    public struct Pace: Sendable {
        /// Between two looks.
        public var interval: Duration = .seconds(600)
        /// After a look that failed.
        public var afterFailure: Duration = .seconds(60)
        /// Between two warnings of one thing.
        public var betweenWarnings: Duration = .seconds(86_400)

        /// The pace of a daemon.
        public init() {}
    }

    private let ends: [End]
    private let board: StatusBoard
    private let stop: StopSignal
    private let log: Logger
    private let pace: Pace
    private let ended = Wakeup()

    /// A watch that looks at nothing yet; ends that never use TLS are left out.
    public init(
        _ ends: [End],
        board: StatusBoard,
        stop: StopSignal,
        log: Logger,
        pace: Pace = Pace()
    ) {
        self.ends = ends.filter(\.parameters.mayUseTLS)
        self.board = board
        self.stop = stop
        self.log = log
        self.pace = pace
    }

    /// Begins to look, on a thread of its own, until a stop is requested.
    public func start() {
        startThread(named: "certificates") { [self] in
            run()
            ended.ring()
        }
    }

    /// Waits for the thread's end after the stop was requested; blocks, at most 2 s.
    ///
    /// OpenSSL takes itself apart when the process exits: nothing should be using it then.
    public func waitForEnd() { ended.wait(for: .seconds(2)) }

    private func run() {
        // A start that fails says itself what is wrong.
        while board.status.phase == .checking {
            if stop.sleep(for: .milliseconds(500)) { return }
        }
        var warned: [String: ContinuousClock.Instant] = [:]
        while !stop.isRequested {
            let failures = ends.count { !look(at: $0, &warned) }
            stop.sleep(for: failures == 0 ? pace.interval : pace.afterFailure)
        }
    }

    /// Takes a look; false where it was not possible.
    private func look(at end: End, _ warned: inout [String: ContinuousClock.Instant]) -> Bool {
        do throws(PostgresError) {
            let parameters = end.parameters.for(.monitor)
            let encryption = try Connection.open(parameters, stop: stop).encryption
            board.update { status in
                status.certificates =
                    (status.certificates ?? []).filter { $0.server != end.server }
                    + encryption.roles.map { role in
                        TaskStatus.Certificate(
                            server: end.server,
                            certificate: role.name.rawValue,
                            subject: role.certificate.subject,
                            notAfterSeconds: role.certificate.notAfter
                        )
                    }
            }
            for finding in encryption.findings(setting: end.setting)
            where finding.level != .ok {
                warn("\(end.server.rawValue) \(finding.sentence)", end, finding.id, &warned)
            }
            return true
        } catch {
            guard !stop.isRequested else { return true }
            if let fault = error.fileFault(while: "connecting to the \(end.server.rawValue)") {
                warn("the next connection will fail: \(fault)", end, fault.code, &warned)
            } else {
                log.debug("looking at certificates: \(error)")
            }
            return false
        }
    }

    /// Says it in the log, unless it was said of that server a short while ago.
    private func warn(
        _ text: String,
        _ end: End,
        _ id: String,
        _ warned: inout [String: ContinuousClock.Instant]
    ) {
        let now = ContinuousClock.now
        let key = "\(end.server.rawValue) \(id)"
        if let last = warned[key], now - last < pace.betweenWarnings { return }
        warned[key] = now
        log.warning("\(text)", metadata: ["check": "\(id)"])
    }
}
