// SPDX-License-Identifier: Apache-2.0
//
// Serves HealthRoutes over HTTP. A port that cannot be had at the start is an error of the
// settings; a listener that breaks later is opened anew, since a task must not die of its own
// health page. BoundedSocketPool keeps idle clients from piling up.

import ChangeModel
import FlyingFox
import FlyingSocks
import Foundation
public import Logging
public import Pipeline
public import ServiceLifecycle
import Synchronization

/// The HTTP server of a running task: health, readiness, status, metrics and the status page.
public struct HealthService: Service {
    private static let requestTimeLimit: TimeInterval = 5
    private static let openTimeLimit: TimeInterval = 60
    /// Time that replies under way get at shutdown.
    private static let drainTimeLimit: TimeInterval = 0.5
    private static let reopenDelay: Duration = .seconds(2)

    private let listen: ListenAddress
    private let routes: HealthRoutes
    private let logger: Logger
    private let limits: ClientLimits
    private let onListening: @Sendable (ListenAddress) -> Void

    /// Creates the server; nothing is bound before ``run()``.
    ///
    /// - Parameters:
    ///   - listen: where to listen; with port 0 the system chooses a free one.
    ///   - board: what is shown.
    ///   - logger: told where the server listens.
    ///   - onListening: called with the address and the true port once connections are accepted.
    public init(
        listen: ListenAddress,
        board: StatusBoard,
        logger: Logger,
        onListening: @escaping @Sendable (ListenAddress) -> Void = { _ in }
    ) {
        self.init(
            listen: listen,
            routes: HealthRoutes(board: board),
            logger: logger,
            onListening: onListening
        )
    }

    init(
        listen: ListenAddress,
        routes: HealthRoutes,
        logger: Logger,
        limits: ClientLimits = ClientLimits(),
        onListening: @escaping @Sendable (ListenAddress) -> Void
    ) {
        self.limits = limits
        self.listen = listen
        self.routes = routes
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until graceful shutdown or cancellation.
    ///
    /// - Throws: `WalrelayError` with exit 78 when the address cannot be listened on, such as
    ///   `http.address_in_use`.
    public func run() async throws {
        var hasListened = false
        repeat {
            do {
                try await serve(hasListened: &hasListened)
            } catch let error as WalrelayError where hasListened {
                logger.warning("http server reopens", metadata: ["error": "\(error.message)"])
                try? await cancelWhenGracefulShutdown {
                    try await Task.sleep(for: Self.reopenDelay)
                }
            }
        } while !Task.isShuttingDownGracefully && !Task.isCancelled
    }

    /// Serves on the first of the host's addresses that the system grants.
    ///
    /// Returns only at shutdown; a listener that breaks throws.
    private func serve(hasListened: inout Bool) async throws {
        var refusal = listen.refusal(errno: EADDRNOTAVAIL)
        for endpoint in try listen.resolve() {
            let outcome = await serve(on: server(on: endpoint))
            hasListened = hasListened || outcome.didListen
            if Task.isShuttingDownGracefully || Task.isCancelled { return }
            var code = EIO
            if case .failed(_, let errno, _) = outcome.error as? SocketError { code = errno }
            refusal = listen.refusal(errno: code)
            if outcome.didListen { break }
        }
        throw refusal
    }

    private func serve(on server: HTTPServer) async -> (didListen: Bool, error: (any Error)?) {
        let listened = Flag()
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.run() }
                group.addTask {
                    try await server.waitUntilListening(timeout: Self.openTimeLimit)
                    listened.raise()
                    await announce(server.listeningAddress)
                    try await gracefulShutdown()
                    await server.stop(timeout: Self.drainTimeLimit)
                }
                // Whichever ends first ends the other: a broken listener, or the shutdown.
                defer { group.cancelAll() }
                try await group.next()
            }
            return (listened.isRaised, nil)
        } catch {
            return (listened.isRaised, error)
        }
    }

    private func announce(_ address: Socket.Address?) {
        var actual = listen
        switch address {
        case .ip4(let host, let port), .ip6(let host, let port):
            actual = ListenAddress(host: host, port: port)
        case .unix, nil:
            break
        }
        logger.info("http server listens", metadata: ["address": "\(actual)"])
        onListening(actual)
    }

    private func server(on endpoint: SocketEndpoint) -> HTTPServer {
        let routes = routes
        let pool = BoundedSocketPool(HTTPServer.defaultPool(), limits: limits)
        let handler = ClosureHTTPHandler { request in Self.respond(to: request, by: routes) }
        switch endpoint {
        case .ip4(let address):
            return HTTPServer(
                address: address,
                timeout: Self.requestTimeLimit,
                pool: pool,
                logger: .disabled,
                handler: handler
            )
        case .ip6(let address):
            return HTTPServer(
                address: address,
                timeout: Self.requestTimeLimit,
                pool: pool,
                logger: .disabled,
                handler: handler
            )
        }
    }

    private static func respond(to request: HTTPRequest, by routes: HealthRoutes) -> HTTPResponse {
        let reply = routes.reply(method: request.method.rawValue, path: request.path)
        let body = Data(reply.body.utf8)
        var headers = HTTPHeaders()
        headers[.contentType] = reply.contentType
        headers[.contentLength] = String(body.count)
        headers[.cacheControl] = "no-store"
        headers[HTTPHeader("X-Content-Type-Options")] = "nosniff"
        for header in reply.headers { headers[HTTPHeader(header.name)] = header.value }
        return HTTPResponse(
            statusCode: HTTPStatusCode(reply.code, phrase: phrase(of: reply.code)),
            headers: headers,
            body: request.method == .HEAD ? Data() : body
        )
    }

    private static func phrase(of code: Int) -> String {
        switch code {
        case 200: "OK"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 503: "Service Unavailable"
        default: "Internal Server Error"
        }
    }
}

/// Set once, read from any task.
private final class Flag: Sendable {
    private let value = Atomic(false)

    var isRaised: Bool { value.load(ordering: .acquiring) }

    func raise() { value.store(true, ordering: .releasing) }
}
