// SPDX-License-Identifier: Apache-2.0
//
// `host:port`, with an IPv6 address in brackets.

/// An address to listen on.
public struct Endpoint: Sendable, Hashable {
    /// A name or an address, without brackets.
    public var host: String
    /// The port; 0 lets the system choose.
    public var port: UInt16

    /// Creates an endpoint.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }
}

extension Endpoint: CustomStringConvertible {
    /// `host:port`, with an IPv6 address in brackets.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension Form where Value == Endpoint {
    /// A host and a port.
    static var endpoint: Form {
        Form("an address such as 127.0.0.1:8085") { text throws(Rejection) in
            guard let colon = text.lastIndex(of: ":") else {
                throw Rejection("lacks a port: write host:port")
            }
            var host = text[..<colon]
            if host.first == "[" {
                guard host.last == "]" else { throw Rejection("lacks a port behind the bracket") }
                host = host.dropFirst().dropLast()
            } else if host.contains(":") {
                throw Rejection("holds an IPv6 address without brackets: write [::1]:8085")
            }
            guard !host.isEmpty else {
                throw Rejection("lacks a host: write 127.0.0.1, or 0.0.0.0 for every address")
            }
            let digits = text[text.index(after: colon)...]
            guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits)
            else { throw Rejection("has no port from 0 to 65535") }
            return Endpoint(host: String(host), port: port)
        }
    }
}
