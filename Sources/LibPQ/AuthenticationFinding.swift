// SPDX-License-Identifier: Apache-2.0
//
// What `check` says of the way in which a login was proved, the same for every PostgreSQL that
// walrelay connects to.

import CLibPQ
import Certificates
public import ChangeModel

extension Connection {
    /// The finding `login.method`; `nil` where the way could not be seen.
    ///
    /// `change` gives the statement by which this server's provider changes a setting.
    public func loginFinding(
        at end: ConnectionEnd,
        change: (_ name: String, _ value: String) -> String = { name, value in
            "ALTER SYSTEM SET \(name) = \(SQL.literal(value)); SELECT pg_reload_conf();"
        }
    ) -> Finding? {
        let role = PQuser(handle).map { String(cString: $0) } ?? ""
        let address = PQhostaddr(handle).map { String(cString: $0) } ?? ""
        return authentication?.finding(
            over: encryption,
            throughSocket: address.isEmpty,
            role: role,
            at: end,
            change: change
        )
    }
}

extension Authentication {
    /// The finding `login.method` for a login over a connection that is so protected, or through
    /// a Unix socket.
    package func finding(
        over encryption: Encryption,
        throughSocket: Bool = false,
        role: String,
        at end: ConnectionEnd,
        change: (_ name: String, _ value: String) -> String
    ) -> Finding {
        func finding(_ level: Finding.Level, _ found: String, _ mend: String = "") -> Finding {
            // The target's findings name it as their subject: the source's have no prefix.
            let (subject, prefix) = end == .target ? ("target", "login: ") : ("login", "")
            return Finding(
                "login.method",
                level,
                subject: subject,
                found: prefix + found,
                mend: mend
            )
        }
        let isHidden = encryption.channel != .plain
        switch self {
        case .scram: return finding(.ok, "scram-sha-256")
        case .other: return finding(.ok, "Kerberos")
        case .md5:
            return finding(
                .warning,
                "md5: the server keeps a hash of the password that is as good as the password, "
                    + "and PostgreSQL is going to drop it",
                "\(change("password_encryption", "scram-sha-256")) Then set the password of "
                    + "\(SQL.identifier(role)) anew (\\password in psql); where pg_hba.conf is "
                    + "yours, write scram-sha-256 for md5 there"
            )
        case .clearPassword where isHidden:
            return finding(.ok, "the password in clear, within the encryption")
        case .clearPassword where throughSocket:
            return finding(.ok, "the password in clear, through a socket of this machine")
        case .clearPassword:
            return finding(
                .warning,
                "the password in clear, and nothing is encrypted: anybody on the way can read it",
                "\(end.setting("tls.mode")): verify-full, and scram-sha-256 for this role in "
                    + "pg_hba.conf; then another password, since this one was sent"
            )
        case .none where encryption.certificates?.client != nil:
            return finding(.ok, "by the client's certificate")
        case .none where encryption.isLocal: return finding(.ok, "nothing asked, on this machine")
        case .none:
            return finding(
                .warning,
                "nothing asked (trust): whoever reaches the server is let in as "
                    + SQL.identifier(role),
                "write scram-sha-256 for trust in pg_hba.conf, then SELECT pg_reload_conf();"
            )
        }
    }
}
