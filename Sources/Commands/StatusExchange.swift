// SPDX-License-Identifier: Apache-2.0
//
// One question over HTTP, with Foundation's client on a short leash: it follows no redirect, since
// a task sends none and the token is for nobody else; and a login that is asked for is an answer,
// for which Foundation would look for a password and then never call back.

import Foundation
import FoundationNetworking
import Synchronization

/// A request under way, and its delegate.
final class StatusExchange: NSObject, URLSessionTaskDelegate {
    /// A status code, and what came with it.
    typealias Reply = (code: Int, body: Data)

    private let waiter = Mutex<CheckedContinuation<Reply, any Error>?>(nil)

    /// Asks, and waits for the answer for so many seconds at most.
    static func reply(to request: URLRequest, within seconds: TimeInterval) async throws -> Reply {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = seconds
        configuration.timeoutIntervalForResource = seconds
        let exchange = StatusExchange()
        let session = URLSession(
            configuration: configuration,
            delegate: exchange,
            delegateQueue: nil
        )
        defer { session.invalidateAndCancel() }
        return try await withCheckedThrowingContinuation { continuation in
            exchange.waiter.withLock { $0 = continuation }
            let task = session.dataTask(with: request) { body, response, error in
                let code = (response as? HTTPURLResponse)?.statusCode ?? 0
                exchange.end(error.map { .failure($0) } ?? .success((code, body ?? Data())))
            }
            task.resume()
        }
    }

    /// The first end counts.
    private func end(_ result: Result<Reply, any Error>) {
        let waiter = waiter.withLock { waiter in
            defer { waiter = nil }
            return waiter
        }
        waiter?.resume(with: result)
    }

    func urlSession(
        _ session: URLSession,
        task: URLSessionTask,
        willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest,
        completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }

    func urlSession(
        _ session: URLSession,
        task: URLSessionTask,
        didReceive challenge: URLAuthenticationChallenge,
        completionHandler:
            @escaping @Sendable (URLSession.AuthChallengeDisposition, URLCredential?) -> Void
    ) {
        end(.success((401, Data())))
        completionHandler(.cancelAuthenticationChallenge, nil)
    }
}
