// SPDX-License-Identifier: Apache-2.0
//
// What OpenSSL knows of a session that libpq makes, and libpq does not tell: why it did not trust
// the server's certificate, and what the server says next. The session stays libpq's.

import COpenSSL
import Glibc

/// Asks OpenSSL about sessions of this thread.
public enum SessionTrace {
    /// What a look at the bytes to come has found.
    public enum Sight: Sendable, Equatable {
        /// So many bytes lie there.
        case bytes(Int)
        /// None have come yet.
        case nothing
        /// The server has ended the session, in OpenSSL's words for its alert.
        case ended(String)
    }

    /// Copies the first bytes that the server has sent and nobody has read, and leaves them there.
    ///
    /// `session` is what `PQsslStruct` gives for OpenSSL. Reads from the socket and does not wait.
    public static func peek(
        at session: UnsafeMutableRawPointer,
        into bytes: inout [UInt8]
    ) -> Sight {
        let session = OpaquePointer(session)
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

    /// Begins to note how certificates of this thread's sessions are judged.
    public static func begin() {
        pthread_setspecific(verdict, nil)
    }

    /// Why the certificate of the session that ended last on this thread was not trusted, such as
    /// `certificate has expired`; nil where it was, or where there was none since `begin`.
    public static var distrust: String? {
        let code = Int(bitPattern: pthread_getspecific(verdict))
        guard code != Int(X509_V_OK), let text = X509_verify_cert_error_string(code) else {
            return nil
        }
        return String(cString: text)
    }

    /// Where each thread keeps the verdict of its last session.
    ///
    /// libpq makes a session, has it fail and frees it in one call: only OpenSSL itself, which
    /// calls back when it frees one, can be asked in time.
    private static let verdict: pthread_key_t = {
        var key = pthread_key_t()
        let failure = pthread_key_create(&key, nil)
        precondition(failure == 0, "pthread_key_create: no key left")
        CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nil, nil, nil) { session, _, _, _, _, _ in
            guard let session else { return }
            let code = SSL_get_verify_result(OpaquePointer(session))
            pthread_setspecific(SessionTrace.verdict, UnsafeRawPointer(bitPattern: code))
        }
        return key
    }()
}
