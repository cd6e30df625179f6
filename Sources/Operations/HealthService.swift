// SPDX-License-Identifier: Apache-2.0
//
// Serves HealthRoutes over HTTP, on a thread of its own. A port that cannot be had at the start is
// an error of the settings.

import ChangeModel
import LibPQ
public import Logging
public import Pipeline
public import ServiceLifecycle

/// The HTTP server of a running task: health, readiness, status, metrics and the status page.
public struct HealthService: Service {
    private let listen: ListenAddress
    private let routes: HealthRoutes
    private let logger: Logger
    private let times: HTTPTimes
    private let clientLimit: Int
    private let onListening: @Sendable (ListenAddress) -> Void

    /// Creates the server; nothing is bound before ``run()``.
    ///
    /// - Parameters:
    ///   - listen: where to listen; with port 0 the system chooses a free one.
    ///   - access: who is answered.
    ///   - board: what is shown.
    ///   - logger: told where the server listens.
    ///   - onListening: called with the address and the true port once connections are accepted.
    public init(
        listen: ListenAddress,
        access: HTTPAccess = HTTPAccess(),
        board: StatusBoard,
        logger: Logger,
        onListening: @escaping @Sendable (ListenAddress) -> Void = { _ in }
    ) {
        self.init(
            listen: listen,
            routes: HealthRoutes(board: board, access: access),
            logger: logger,
            onListening: onListening
        )
    }

    init(
        listen: ListenAddress,
        routes: HealthRoutes,
        logger: Logger,
        times: HTTPTimes = HTTPTimes(),
        clientLimit: Int = HTTPListener.clientLimit,
        onListening: @escaping @Sendable (ListenAddress) -> Void
    ) {
        self.listen = listen
        self.routes = routes
        self.logger = logger
        self.times = times
        self.clientLimit = clientLimit
        self.onListening = onListening
    }

    /// Serves until graceful shutdown or cancellation.
    ///
    /// - Throws: `WalrelayError` with exit 78 when the address cannot be listened on, such as
    ///   `http.address_in_use`.
    public func run() async throws {
        let stop = StopSignal()
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await onOwnThread(named: "http") { [self] in try serve(until: stop) }
        } onCancelOrGracefulShutdown: {
            stop.request()
        }
    }

    private func serve(until stop: StopSignal) throws(WalrelayError) {
        let socket = try ListeningSocket(listen)
        logger.info("http server listens", metadata: ["address": "\(socket.address)"])
        onListening(socket.address)
        var listener = HTTPListener(
            socket,
            times: times,
            clientLimit: clientLimit,
            answer: routes.reply(to:)
        )
        listener.run(until: stop)
    }
}
