// SPDX-License-Identifier: Apache-2.0
//
// The `http.listen` setting: text in, host and port out, and what is said where it cannot be had.

public import ChangeModel
import Glibc

/// A host and a port to listen on, such as `127.0.0.1:8085`, `[::1]:8085` or `localhost:8085`.
public struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    public var host: String
    /// The TCP port; 0 lets the system choose one.
    public var port: UInt16

    /// Creates an address.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port`, an IPv6 host in brackets.
    ///
    /// - Throws: `http.address_invalid` (exit 78) when the text is anything else.
    public init(parsing text: String) throws(WalrelayError) {
        let invalid = WalrelayError(
            "http.address_invalid",
            exit: .settings,
            "http.listen is \"\(text)\", which is not an address to listen on",
            hint: "write host:port, such as 127.0.0.1:8085, [::1]:8085 or localhost:8085"
        )
        guard let colon = text.lastIndex(of: ":") else { throw invalid }
        let digits = text[text.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(digits)
        else { throw invalid }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, host.contains(":") == isBracketed,
            host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x5b && $0 != 0x5d })
        else { throw invalid }
        self.init(host: String(host), port: port)
    }

    /// `host:port`, an IPv6 host in brackets.
    public var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

extension ListenAddress {
    /// What to tell the operator when the host is a name that stands for nothing.
    func unknown(_ reason: String) -> WalrelayError {
        WalrelayError(
            "http.address_unknown",
            exit: .settings,
            "http.listen names the host \"\(host)\", which cannot be resolved: \(reason)",
            hint: "set http.listen to an address of this machine, such as 127.0.0.1:\(port)"
        )
    }

    /// What to tell the operator when the system refuses to listen.
    func refusal(errno code: Int32) -> WalrelayError {
        let reason = String(cString: strerror(code))
        switch code {
        case EADDRINUSE:
            return WalrelayError(
                "http.address_in_use",
                exit: .settings,
                "cannot listen on \(self): another process listens there",
                hint: "set http.listen to a free port; `ss -ltnp 'sport = :\(port)'` shows who has "
                    + "it (each task needs a port of its own)"
            )
        case EACCES, EPERM:
            return WalrelayError(
                "http.address_not_permitted",
                exit: .settings,
                "cannot listen on \(self): \(reason)",
                hint: "set http.listen to a port above 1023"
            )
        case EADDRNOTAVAIL, EAFNOSUPPORT:
            return WalrelayError(
                "http.address_unavailable",
                exit: .settings,
                "cannot listen on \(self): this machine has no such address",
                hint: "set http.listen to 127.0.0.1:\(port), or to an address that `ip addr` shows"
            )
        default:
            return WalrelayError(
                "http.listen_failed",
                exit: .settings,
                "cannot listen on \(self): \(reason)",
                hint: "set http.listen to another address"
            )
        }
    }
}
