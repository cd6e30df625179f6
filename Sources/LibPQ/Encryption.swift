// SPDX-License-Identifier: Apache-2.0
//
// How a connection that is made is protected: what libpq and OpenSSL agreed on with the server.

import CLibPQ
public import Certificates

/// The protection of one connection.
public struct Encryption: Sendable, Equatable {
    /// What carries the bytes.
    public enum Channel: Sendable, Equatable {
        /// TLS, its version and its cipher.
        case tls(version: String, cipher: String)
        /// GSSAPI's encryption.
        case gssapi
        /// Nothing hides them.
        case plain
    }

    /// What carries the bytes.
    public var channel: Channel
    /// libpq's `sslmode`.
    public var mode: String
    /// Whether the login had to be bound to the channel, by which a server proves itself too.
    public var isChannelBound: Bool
    /// Whether the bytes do not leave the machine.
    public var isLocal: Bool
    /// The certificates; nil without TLS.
    public var certificates: SessionCertificates?

    /// Creates a protection.
    public init(
        channel: Channel,
        mode: String,
        isChannelBound: Bool = false,
        isLocal: Bool = false,
        certificates: SessionCertificates? = nil
    ) {
        self.channel = channel
        self.mode = mode
        self.isChannelBound = isChannelBound
        self.isLocal = isLocal
        self.certificates = certificates
    }
}

extension Connection {
    /// How this connection is protected.
    public var encryption: Encryption {
        var settings: [String: String] = [:]
        if let options = PQconninfo(handle) {
            settings = ConnectionParameters.values(of: options)
            PQconninfoFree(options)
        }
        func attribute(_ name: String) -> String {
            PQsslAttribute(handle, name).map { String(cString: $0) } ?? "?"
        }
        var encryption = Encryption(
            channel: PQgssEncInUse(handle) == 1 ? .gssapi : .plain,
            mode: settings["sslmode"] ?? "prefer",
            isChannelBound: settings["channel_binding"] == "require",
            isLocal: isLocal
        )
        guard PQsslInUse(handle) == 1 else { return encryption }
        encryption.channel = .tls(version: attribute("protocol"), cipher: attribute("cipher"))
        encryption.certificates = PQsslStruct(handle, "OpenSSL").map { SessionCertificates(of: $0) }
        return encryption
    }

    private var isLocal: Bool {
        // Over a Unix socket there is no address.
        guard let address = PQhostaddr(handle).map({ String(cString: $0) }), !address.isEmpty else {
            return true
        }
        return address.hasPrefix("127.") || address == "::1"
    }
}
