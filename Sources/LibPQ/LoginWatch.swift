// SPDX-License-Identifier: Apache-2.0
//
// What libpq does not tell of a login: how the server has the client prove who it is, and why one
// side does not trust the other. It is seen in what the server sends, before libpq reads it; what
// we send is never looked at, and of what is seen only a number is kept.
//
//   R  int32 length  int32 code   0 ok · 3 password in clear · 5 md5 · 10 SASL, 11 and 12 its
//                                 further steps · the rest: Kerberos, GSSAPI, SSPI

import CLibPQ
import Certificates
import Glibc

/// How a server has a client prove who it is.
public enum Authentication: Sendable, Equatable {
    /// Not by anything that is said in the login: `trust`, `peer`, or the certificate of TLS.
    case none
    /// The password itself: `password`, `ldap`, `pam`, `radius`.
    case clearPassword
    /// An MD5 hash of the password.
    case md5
    /// SCRAM-SHA-256: neither side shows the other what it knows.
    case scram
    /// Kerberos or GSSAPI, which walrelay does not speak.
    case other
}

/// Watches one login; to be asked to look each time before libpq reads.
struct LoginWatch {
    /// What the server asked for; `nil` until it is known.
    private(set) var authentication: Authentication?
    private var alert = ""

    init() { SessionTrace.begin() }

    /// Looks at what has come for this connection; does not wait.
    mutating func look(at handle: OpaquePointer) {
        switch PQstatus(handle) {
        case CONNECTION_AWAITING_RESPONSE: see(handle)
        // The server's answer is complete, and what comes now is none of this.
        case CONNECTION_AUTH_OK, CONNECTION_CONSUME, CONNECTION_CHECK_WRITABLE,
            CONNECTION_CHECK_TARGET, CONNECTION_CHECK_STANDBY, CONNECTION_OK:
            return
        // Another host, or the same one anew with or without TLS.
        default: authentication = nil
        }
    }

    private mutating func see(_ handle: OpaquePointer) {
        var bytes = [UInt8](repeating: 0, count: 9)
        let count: Int
        if PQgssEncInUse(handle) == 1 {
            authentication = .other
            return
        } else if let session = PQsslStruct(handle, "OpenSSL") {
            switch SessionTrace.peek(at: session, into: &bytes) {
            case .bytes(let number): count = number
            case .nothing: return
            case .ended(let reason):
                alert = reason
                return
            }
        } else {
            count = recv(PQsocket(handle), &bytes, bytes.count, Int32(MSG_PEEK))
        }
        guard count == bytes.count, bytes[0] == UInt8(ascii: "R") else { return }
        var code: UInt32 = 0
        for byte in bytes[5...] { code = code &* 256 &+ UInt32(byte) }
        switch code {
        case 0: authentication = authentication ?? Authentication.none
        case 3: authentication = .clearPassword
        case 5: authentication = .md5
        case 10, 11, 12: authentication = .scram
        default: authentication = .other
        }
    }

    /// Whether the server asked for what walrelay cannot give.
    var isBeyondUs: Bool { authentication == .other }

    /// A line of libpq's on a failed login, with the reason that it lacks.
    func completed(_ line: String) -> String {
        if line.hasSuffix("certificate verify failed"), let reason = SessionTrace.distrust {
            return "\(line): \(reason)"
        }
        let end = "SSL connection has been closed unexpectedly"
        guard !alert.isEmpty, line.hasSuffix(end) else { return line }
        return "\(line.dropLast(end.count))SSL error: \(alert)"
    }
}
