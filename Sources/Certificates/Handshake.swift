// SPDX-License-Identifier: Apache-2.0
//
// A TLS session while libpq makes it: what libpq does not tell of it when it fails, and what the
// server says next. The session is libpq's; it is kept here so that it can be asked afterwards.

import COpenSSL

/// A session in the making; to be used on libpq's own thread only.
public final class Handshake {
    /// What a look at the bytes to come has found.
    public enum Sight: Sendable, Equatable {
        /// So many bytes lie there.
        case bytes(Int)
        /// None have come yet.
        case nothing
        /// The server has ended the session, in OpenSSL's words for its alert.
        case ended(String)
    }

    private let session: OpaquePointer

    /// Keeps a session; `session` is what `PQsslStruct` gives for OpenSSL.
    public init(of session: UnsafeMutableRawPointer) {
        self.session = OpaquePointer(session)
        SSL_up_ref(self.session)
    }

    deinit { SSL_free(session) }

    /// Whether this is the session that libpq has now.
    public func isSame(as other: UnsafeMutableRawPointer) -> Bool {
        session == OpaquePointer(other)
    }

    /// Why the server's certificate was not trusted, such as `certificate has expired`; nil where
    /// it was, or was not looked at.
    public var distrust: String? {
        let result = SSL_get_verify_result(session)
        guard result != Int(X509_V_OK), let text = X509_verify_cert_error_string(result) else {
            return nil
        }
        return String(cString: text)
    }

    /// Copies the first bytes that the server has sent and nobody has read, and leaves them there.
    ///
    /// Reads from the socket and does not wait for it.
    public func peek(into bytes: inout [UInt8]) -> Sight {
        ERR_clear_error()
        defer { ERR_clear_error() }
        let count = SSL_peek(session, &bytes, Int32(clamping: bytes.count))
        if count > 0 { return .bytes(Int(count)) }
        // An alert is read once: libpq would only find that the session is over.
        guard SSL_get_error(session, count) == SSL_ERROR_SSL,
            let reason = ERR_reason_error_string(ERR_peek_last_error())
        else { return .nothing }
        return .ended(String(cString: reason))
    }
}
