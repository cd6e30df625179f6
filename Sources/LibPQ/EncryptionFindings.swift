// SPDX-License-Identifier: Apache-2.0
//
// What `check` says of a connection's protection, the same for every PostgreSQL that walrelay
// connects to.

public import Certificates
public import ChangeModel

extension Encryption {
    /// A certificate on which the connection rests, and whose it is.
    public struct Role: Sendable, Equatable {
        /// Whose a certificate is.
        public enum Name: String, Sendable, CaseIterable {
            /// The server's own.
            case server
            /// The client's.
            case client
            /// One that the server's was verified by.
            case authority
        }

        /// Whose it is.
        public var name: Name
        /// The certificate.
        public var certificate: Certificate
    }

    /// All certificates, the server's first.
    public var roles: [Role] {
        guard let certificates else { return [] }
        return (certificates.server.map { [Role(name: .server, certificate: $0)] } ?? [])
            + (certificates.client.map { [Role(name: .client, certificate: $0)] } ?? [])
            + certificates.authorities.map { Role(name: .authority, certificate: $0) }
    }

    /// The findings, none for bytes that do not leave the machine and are not encrypted.
    ///
    /// `setting` is where the connection's `tls` stands, such as `source`; `now` are seconds since
    /// 1970-01-01 UTC.
    public func findings(setting: String, at now: Int64 = Certificate.now) -> [Finding] {
        [channelFinding(setting)].compactMap { $0 } + roles.map { Self.finding($0, at: now) }
    }

    private func channelFinding(_ setting: String) -> Finding? {
        switch channel {
        case .plain where isLocal: return nil
        case .plain:
            return Finding(
                "tls.connection",
                .warning,
                subject: "encryption",
                found:
                    "none: whoever sits between reads the rows and may change them (mode \(mode))",
                mend: "\(setting).tls: { mode: verify-full, rootCertificate: FILE }, and ssl = on "
                    + "at the server"
            )
        case .gssapi:
            return Finding("tls.connection", .ok, subject: "encryption", found: "GSSAPI")
        case .tls(let version, let cipher):
            let (doubt, mend) = doubt(setting)
            return Finding(
                "tls.connection",
                doubt.isEmpty ? .ok : .warning,
                subject: "encryption",
                found: "\(version), \(cipher), mode \(mode)" + (doubt.isEmpty ? "" : ": \(doubt)"),
                mend: mend
            )
        }
    }

    /// What is not verified, and the setting that has it verified.
    private func doubt(_ setting: String) -> (String, String) {
        let isVerified = certificates?.isVerified ?? false
        if isChannelBound || (isVerified && mode == "verify-full") { return ("", "") }
        let whole = "\(setting).tls: { mode: verify-full, rootCertificate: FILE }"
        if isVerified {
            return (
                "the server's certificate is of a known authority, and may be another server's",
                "\(setting).tls.mode: verify-full"
            )
        }
        let unverified = "the server is not verified, so whoever sits between may pose as it"
        return mode == "require"
            ? (unverified, whole)
            : ("\(unverified), or have the connection go on without TLS", whole)
    }

    private static func finding(_ role: Role, at now: Int64) -> Finding {
        let certificate = role.certificate
        let noun = role.name == .authority ? "authority" : "\(role.name.rawValue) certificate"
        var level = Finding.Level.ok
        var mend = ""
        switch certificate.validity(at: now) {
        case .valid: break
        case .ending: (level, mend) = (.warning, renewal(role.name))
        case .expired: (level, mend) = (.failed, renewal(role.name))
        case .early: (level, mend) = (.failed, "set the clock of the machine that is wrong")
        }
        let names =
            certificate.names.isEmpty || role.name != .server
            ? "" : " for \(Prose.list(certificate.names))"
        return Finding(
            "tls.\(role.name.rawValue)_certificate",
            level,
            subject: noun,
            found: "\(certificate.subject)\(names), \(certificate.validityText(at: now))"
                + (role.name == .authority ? "" : ", issued by \(certificate.issuer)"),
            mend: mend
        )
    }

    private static func renewal(_ name: Role.Name) -> String {
        switch name {
        case .server:
            "give the server a new certificate (ssl_cert_file), then SELECT pg_reload_conf();"
        case .client: "replace the certificate's file and the key's; the next connection takes them"
        case .authority: "take the authority's new certificate into the root certificate's file"
        }
    }
}
