// SPDX-License-Identifier: Apache-2.0
//
// What a client asked for, as far as an answer depends on it, and why a client gets no answer.
// HTTPRequestReader makes both from bytes; HealthRoutes answers the one, HTTPClient sends the
// other.

/// The head of one request.
struct HTTPRequest: Sendable, Equatable {
    /// As it was sent, in whatever case.
    var method: String
    /// The target without its query, as it was sent: nothing is decoded or resolved.
    var path: String
    /// Whom the client believes to speak to: `host`, `host:port`; nil for an old client.
    var host: String?
    /// The value of the header `Authorization`.
    var authorization: String?
    /// The value of the header `Walrelay-Tables`, which no page of another site can send unasked.
    var tables: String?
    /// Whether a body follows, which is never read.
    var hasBody = false
    /// Whether the connection ends with the answer.
    var isLast = false
}

/// Why a request cannot be answered; the connection ends with it.
struct HTTPRefusal: Error, Equatable {
    /// The status code.
    var code: Int
    /// One line for the client; nothing of what it sent.
    var reason: String

    static func malformed(_ reason: String) -> HTTPRefusal {
        HTTPRefusal(code: 400, reason: reason)
    }

    static let targetTooLong = HTTPRefusal(
        code: 414,
        reason: "the request line is longer than \(HTTPLimits.headBytes >> 10) KiB"
    )
    static let headTooLarge = HTTPRefusal(
        code: 431,
        reason: "the headers are larger than \(HTTPLimits.headBytes >> 10) KiB"
    )
    static let tooManyHeaders = HTTPRefusal(
        code: 431,
        reason: "there are more than \(HTTPLimits.headerCount) headers"
    )
    static let unknownVersion = HTTPRefusal(
        code: 505,
        reason: "only HTTP/1 is spoken here"
    )
    static let tooSlow = HTTPRefusal(code: 408, reason: "the request did not come in time")
    static let tooMany = HTTPRefusal(code: 503, reason: "too many clients are connected")
}

/// What a client may take of the daemon.
///
/// The endpoints answer a handful of monitors and people; the daemon's memory belongs to changes.
enum HTTPLimits {
    /// Bytes of a request line with its headers: a browser that has cookies of other ports of the
    /// same host sends a few KiB.
    static let headBytes = 16 << 10
    /// Headers of a request; browsers send twenty, proxies add a few.
    static let headerCount = 64
    /// Requests on one connection: enough to spare a monitor the handshakes, and few enough that
    /// nobody stays for good.
    static let requestsPerConnection = 100
    /// Bytes of the replies that clients are taking, all together; one that is larger goes alone.
    ///
    /// /status and /metrics grow with the number of tables.
    static let replyBytes = 8 << 20
}
