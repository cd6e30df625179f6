// SPDX-License-Identifier: Apache-2.0
//
// The certificates that a connection in fact rests on: asked of the TLS session itself, so files
// that libpq finds by its own ways count too.

import COpenSSL

/// The certificates of a connection.
public struct SessionCertificates: Sendable, Equatable {
    /// What the server showed.
    public var server: Certificate?
    /// What the client would show if it were asked.
    public var client: Certificate?
    /// Whether the server's leads to an authority that the client trusts.
    public var isVerified: Bool
    /// The chain above the server's by which it was verified; empty where it was not.
    public var authorities: [Certificate]

    /// Creates certificates.
    public init(
        server: Certificate?,
        client: Certificate? = nil,
        isVerified: Bool = false,
        authorities: [Certificate] = []
    ) {
        self.server = server
        self.client = client
        self.isVerified = isVerified
        self.authorities = authorities
    }

    /// Asks a session; `session` is what `PQsslStruct` gives for OpenSSL.
    public init(of session: UnsafeMutableRawPointer) {
        let session = OpaquePointer(session)
        if let certificate = SSL_get1_peer_certificate(session) {
            server = Certificate(of: certificate)
            X509_free(certificate)
        }
        client = SSL_get_certificate(session).map { Certificate(of: $0) }
        authorities = []
        // OpenSSL tries to build a chain in any case, and libpq looks at the outcome in some modes.
        isVerified = SSL_get_verify_result(session) == Int(X509_V_OK)
        guard isVerified, let chain = SSL_get0_verified_chain(session) else { return }
        for index in 1..<max(1, OPENSSL_sk_num(chain)) {
            guard let value = OPENSSL_sk_value(chain, index) else { continue }
            authorities.append(Certificate(of: OpaquePointer(value)))
        }
    }
}
