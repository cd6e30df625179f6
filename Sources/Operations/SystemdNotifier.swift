// SPDX-License-Identifier: Apache-2.0
//
// Reads the board, and tells systemd what NotifyProtocol says is due. Without $NOTIFY_SOCKET it
// only waits for the shutdown; a socket that cannot be reached is a warning and never an error,
// since the data flows all the same.

import Glibc
public import Logging
public import Pipeline
public import ServiceLifecycle
import Synchronization

/// Tells systemd of readiness, progress and stopping, and feeds its watchdog by progress.
public struct SystemdNotifier: Service {
    private let board: StatusBoard
    private let logger: Logger
    private let address: String?
    private let watchdog: Duration?
    /// Whether READY=1 was sent, before which nothing is told of a reload.
    private let isReady = ReadyFlag()

    /// Creates a notifier for the service manager that the environment names, if any.
    public init(board: StatusBoard, logger: Logger, environment: [String: String]) {
        self.board = board
        self.logger = logger
        self.address = environment["NOTIFY_SOCKET"].flatMap { $0.isEmpty ? nil : $0 }
        self.watchdog = Self.watchdog(in: environment, process: getpid())
    }

    /// Notifies until graceful shutdown or cancellation.
    public func run() async {
        guard let address else {
            try? await gracefulShutdown()
            return
        }
        var state = NotifyProtocol(watchdog: watchdog)
        var isReachable = true
        let begin = ContinuousClock.now
        while true {
            let isShuttingDown = Task.isShuttingDownGracefully || Task.isCancelled
            // A copy: what could not be sent is due again at the next tick.
            var next = state
            let message = next.message(
                status: board.status,
                stall: HealthReport.stalls(on: board, after: stallLimit),
                isShuttingDown: isShuttingDown,
                now: ContinuousClock.now - begin
            )
            if let message {
                isReachable = send(message, to: address, wasReachable: isReachable)
                if isReachable { state = next }
                if state.isReady { isReady.set() }
            }
            if isShuttingDown { return }
            let tick = state.tick
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: tick) }
        }
    }

    /// Tells systemd that the settings are read again while `body` does it; blocks as long.
    ///
    /// The two lines are what `Type=notify-reload` waits for, and what `Type=notify` shows.
    public func reload(_ body: () -> Void) {
        guard let address, isReady.isSet else { return body() }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let microseconds = Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000
        _ = send(
            "RELOADING=1\nMONOTONIC_USEC=\(microseconds)",
            to: address,
            wasReachable: true
        )
        body()
        _ = send("READY=1", to: address, wasReachable: true)
    }

    /// Silence after which a part is stalled: the watchdog's interval, or what /healthz allows.
    private var stallLimit: Duration { watchdog ?? HealthReport.stallLimit }

    private func send(_ message: String, to address: String, wasReachable: Bool) -> Bool {
        do {
            // Opened each time: a service manager that was re-executed is found again.
            try NotifySocket(address: address).send(message)
            if !wasReachable { logger.info("systemd is reachable again") }
            return true
        } catch {
            if wasReachable {
                logger.warning(
                    "systemd cannot be notified; the task runs on",
                    metadata: ["socket": "\(address)", "error": "\(error)"]
                )
            }
            return false
        }
    }

    /// `WATCHDOG_USEC`, unless `WATCHDOG_PID` names another process.
    static func watchdog(in environment: [String: String], process: Int32) -> Duration? {
        if let owner = environment["WATCHDOG_PID"], Int32(owner) != process { return nil }
        guard let text = environment["WATCHDOG_USEC"], let microseconds = Int64(text),
            microseconds > 0
        else { return nil }
        return .microseconds(microseconds)
    }
}

/// Whether systemd was told that the service is ready.
private final class ReadyFlag: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .acquiring) }

    func set() { flag.store(true, ordering: .releasing) }
}
