// SPDX-License-Identifier: Apache-2.0
//
// Who is answered: whoever has the token, where there is one; else whoever reaches the port, less
// the pages of other sites. A page whose own name was made to lead to this machine (DNS rebinding)
// counts for the browser as the page of this server and could read it; it gives itself away by that
// name in Host. With a token the browser has nothing to show under another name.

public import ChangeModel
import Foundation
public import Logging
import Synchronization

/// What a request must show to be answered.
public struct HTTPAccess: Sendable {
    /// What a request showed.
    enum Login {
        /// The token, or none is asked for.
        case granted
        /// Another token, or none.
        case refused
        /// What the token is cannot be told now.
        case unknown
    }

    private let token: AccessToken?
    private let localNames: Set<String>?

    /// Sets what has to be shown.
    ///
    /// - Parameters:
    ///   - token: the token; nil answers without.
    ///   - localNames: the names, beside addresses and `localhost`, by which the server may be
    ///     called; nil takes every name.
    public init(token: AccessToken? = nil, localNames: Set<String>? = nil) {
        self.token = token
        self.localNames = localNames.map { Set($0.map { $0.lowercased() }) }
    }

    /// Whether a client that calls the server by this `Host` is answered at all.
    func accepts(host: String?) -> Bool {
        guard let localNames, let host else { return true }
        // An address is no name that could lead elsewhere.
        if host.hasPrefix("[") { return true }
        var name = String(host.prefix { $0 != ":" }).lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        var address = in_addr()
        return inet_pton(AF_INET, name, &address) == 1 || name == "localhost"
            || name.hasSuffix(".localhost") || localNames.contains(name)
    }

    /// Whether whoever is answered may ask for work, too: not where anybody on a network could,
    /// or a page of another site under a name of its own.
    var allowsWishes: Bool { token != nil || localNames != nil }

    /// Looks at the header `Authorization`.
    func login(_ authorization: String?) -> Login {
        guard let token else { return .granted }
        guard let offered = authorization.flatMap(Self.token(in:)) else { return .refused }
        guard let token = token.current() else { return .unknown }
        return Self.areEqual(offered, token) ? .granted : .refused
    }

    /// The token of `Bearer TOKEN`, or of `Basic` as its password, for browsers.
    private static func token(in authorization: String) -> [UInt8]? {
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        switch parts[0].lowercased() {
        case "bearer": return Array(parts[1].utf8)
        case "basic":
            guard let pair = Data(base64Encoded: String(parts[1])),
                let colon = pair.firstIndex(of: UInt8(ascii: ":"))
            else { return nil }
            return Array(pair[(colon + 1)...])
        default: return nil
        }
    }

    /// Takes as long whatever the first difference is.
    private static func areEqual(_ offered: [UInt8], _ token: [UInt8]) -> Bool {
        guard !token.isEmpty else { return false }
        var difference = offered.count ^ token.count
        for (index, byte) in offered.enumerated() {
            difference |= Int(byte ^ token[index % token.count])
        }
        return difference == 0
    }
}

/// The token as it is now, so that it can be changed without a restart.
public final class AccessToken: Sendable {
    private let read: @Sendable () throws(WalrelayError) -> String
    private let logger: Logger
    private let isReadable = Mutex(true)

    /// Takes the token from `read`, which is called for each request that shows one.
    public init(
        logger: Logger,
        read: @escaping @Sendable () throws(WalrelayError) -> String
    ) {
        self.read = read
        self.logger = logger
    }

    /// The token, or nil where it cannot be read, which is logged once until it can be again.
    func current() -> [UInt8]? {
        do {
            let token = try read()
            isReadable.withLock { $0 = true }
            return Array(token.utf8)
        } catch {
            let wasReadable = isReadable.withLock { isReadable in
                defer { isReadable = false }
                return isReadable
            }
            if wasReadable {
                logger.warning(
                    "nobody can log in over http",
                    metadata: [
                        "error": "\(error.message) [\(error.code)]", "code": "\(error.code)",
                    ]
                )
            }
            return nil
        }
    }
}
