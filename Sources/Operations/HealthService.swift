// SPDX-License-Identifier: Apache-2.0
//
// Serves HealthRoutes over HTTP, on a thread of its own. A port that cannot be had at the start is
// an error of the settings; one that cannot be had later leaves the server where it is.

public import ChangeModel
import LibPQ
public import Logging
public import Pipeline
public import ServiceLifecycle
import Synchronization

/// The HTTP server of a running task: health, readiness, status, metrics and the status page.
public struct HealthService: Service {
    private let seat: HTTPSeat
    private let logger: Logger
    private let times: HTTPTimes
    private let clientLimit: Int
    private let onListening: @Sendable (ListenAddress) -> Void

    /// Creates the server; nothing is bound before ``run()``.
    ///
    /// - Parameters:
    ///   - listen: where to listen; with port 0 the system chooses a free one; nil listens nowhere
    ///     until ``reload(listen:access:)`` says where.
    ///   - access: who is answered.
    ///   - board: what is shown.
    ///   - ask: takes the wish for tables to be copied once more, or says that too many wait; must
    ///     not wait for anything.
    ///   - logger: told where the server listens.
    ///   - onListening: called with the address and the true port once connections are accepted.
    public init(
        listen: ListenAddress?,
        access: HTTPAccess = HTTPAccess(),
        board: StatusBoard,
        ask: (@Sendable ([TableName]) -> Bool)? = nil,
        logger: Logger,
        onListening: @escaping @Sendable (ListenAddress) -> Void = { _ in }
    ) {
        self.init(
            listen: listen,
            routes: HealthRoutes(board: board, access: access, ask: ask),
            logger: logger,
            onListening: onListening
        )
    }

    init(
        listen: ListenAddress?,
        routes: HealthRoutes,
        logger: Logger,
        times: HTTPTimes = HTTPTimes(),
        clientLimit: Int = HTTPListener.clientLimit,
        onListening: @escaping @Sendable (ListenAddress) -> Void
    ) {
        seat = HTTPSeat(listen: listen, routes: routes)
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
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await onOwnThread(named: "http") { [self] in try serve() }
        } onCancelOrGracefulShutdown: {
            seat.end()
        }
    }

    /// Listens at another place, or nowhere, and answers whom it is told to.
    ///
    /// Blocks while a name is looked up. Clients of the former place have half a second to take
    /// what they were promised.
    ///
    /// - Throws: the same errors as ``run()``; then nothing has changed.
    public func reload(listen: ListenAddress?, access: HTTPAccess) throws(WalrelayError) {
        try seat.take(listen: listen, access: access)
    }

    private func serve() throws(WalrelayError) {
        while let turn = try seat.next() {
            guard let socket = turn.socket else {
                turn.over.sleep(for: .seconds(3600))
                continue
            }
            logger.info("http server listens", metadata: ["address": "\(socket.address)"])
            onListening(socket.address)
            var listener = HTTPListener(
                socket,
                times: times,
                clientLimit: clientLimit,
                answer: { [seat] in seat.routes.reply(to: $0) }
            )
            listener.run(until: turn.over)
        }
    }
}

/// Where the server sits, and what comes next.
private final class HTTPSeat: Sendable {
    /// The time at one place.
    struct Turn {
        /// `nil` where nobody is listened to.
        var socket: ListeningSocket?
        /// Ends the turn.
        let over = StopSignal()
    }

    private struct State {
        var listen: ListenAddress?
        var routes: HealthRoutes
        /// The turn that is to begin once the present one is over.
        var waiting: Turn?
        var present: Turn?
        var isEnded = false
    }

    private let state: Mutex<State>

    init(listen: ListenAddress?, routes: HealthRoutes) {
        state = Mutex(State(listen: listen, routes: routes))
    }

    var routes: HealthRoutes { state.withLock { $0.routes } }

    /// The next turn, once the former one is over; nil at the end.
    func next() throws(WalrelayError) -> Turn? {
        let (first, isFirst) = state.withLock { state in
            (state.listen, state.present == nil && state.waiting == nil)
        }
        let opened = isFirst ? Turn(socket: try Self.open(first)) : nil
        return state.withLock { state in
            guard !state.isEnded else { return nil }
            // The former socket is closed with the last reference to it.
            if let waiting = state.waiting ?? opened { state.present = waiting }
            state.waiting = nil
            return state.present
        }
    }

    func take(listen: ListenAddress?, access: HTTPAccess) throws(WalrelayError) {
        let (former, last) = state.withLock { ($0.listen, $0.waiting ?? $0.present) }
        let turn =
            former == listen ? nil : Turn(socket: try Self.open(listen, after: last?.socket))
        state.withLock { state in
            state.routes.access = access
            guard let turn else { return }
            state.listen = listen
            state.waiting = turn
            state.present?.over.request()
        }
    }

    private static func open(
        _ listen: ListenAddress?,
        after former: ListeningSocket? = nil
    ) throws(WalrelayError) -> ListeningSocket? {
        guard let listen else { return nil }
        guard let former, former.address.port == listen.port else {
            return try ListeningSocket(listen)
        }
        // 127.0.0.1 and 0.0.0.0 have the port in common: the former is in the way itself.
        former.pause()
        do throws(WalrelayError) {
            return try ListeningSocket(listen)
        } catch {
            _ = former.resume()
            throw error
        }
    }

    func end() {
        state.withLock { state in
            state.isEnded = true
            state.present?.over.request()
        }
    }
}
