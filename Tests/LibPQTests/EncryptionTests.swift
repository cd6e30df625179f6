// SPDX-License-Identifier: Apache-2.0
//
// What `check` says of a connection's protection: pure.

import Certificates
import ChangeModel
import LibPQ
import Testing

@Suite struct EncryptionTests {
    private static let now: Int64 = 1_800_000_000
    private static let tls = Encryption.Channel.tls(version: "TLSv1.3", cipher: "AES")

    private static func encryption(
        _ mode: String,
        verified: Bool = false,
        bound: Bool = false,
        days: Int64 = 365
    ) -> Encryption {
        let end = now + days * 86_400
        return Encryption(
            channel: tls,
            mode: mode,
            isChannelBound: bound,
            certificates: SessionCertificates(
                server: Certificate(
                    subject: "CN=db",
                    issuer: "CN=ca",
                    names: ["DNS:db.example"],
                    notAfter: end
                ),
                isVerified: verified,
                authorities: verified ? [Certificate(subject: "CN=ca", notAfter: end)] : []
            )
        )
    }

    private static func first(_ encryption: Encryption) -> Finding? {
        encryption.findings(setting: "source", at: now).first { $0.id == "tls.connection" }
    }

    @Test func `what is not verified is a warning with the setting that mends it`() {
        for (encryption, part) in [
            (Self.encryption("verify-ca", verified: true), "may be another server's"),
            (Self.encryption("require", verified: true), "may be another server's"),
            (Self.encryption("require"), "may pose as it"),
            (Self.encryption("prefer"), "go on without TLS"),
            (Encryption(channel: .plain, mode: "prefer"), "none: whoever sits between"),
            (Encryption(channel: .plain, mode: "disable"), "none: whoever sits between"),
        ] {
            let finding = Self.first(encryption)
            #expect(finding?.level == .warning)
            #expect(finding?.found.contains(part) == true, "\(finding?.found ?? "")")
            #expect(finding?.mend.hasPrefix("source.tls") == true)
        }
        for encryption in [
            Self.encryption("verify-full", verified: true), Self.encryption("require", bound: true),
            Encryption(channel: .gssapi, mode: "prefer"),
        ] {
            #expect(Self.first(encryption)?.level == .ok)
        }
        let local = Encryption(channel: .plain, mode: "prefer", isLocal: true)
        #expect(local.findings(setting: "source", at: Self.now).isEmpty)
    }

    @Test(arguments: [
        (31, Finding.Level.ok, "valid until"), (29, .warning, "valid for 29 days more"),
        (1, .warning, "valid for 1 day more"), (0, .failed, "expired on"),
        (-3, .failed, "expired on"),
    ])
    func `each certificate is told with its end`(days: Int64, level: Finding.Level, text: String) {
        let encryption = Self.encryption("verify-full", verified: true, days: days)
        let findings = encryption.findings(setting: "source", at: Self.now).dropFirst()
        #expect(findings.map(\.id) == ["tls.server_certificate", "tls.authority_certificate"])
        for finding in findings {
            #expect(finding.level == level)
            #expect(finding.found.contains(text), "\(finding.found)")
            #expect(finding.mend.isEmpty == (level == .ok))
        }
        #expect(findings.first?.found.contains("CN=db for DNS:db.example, ") == true)
        #expect(findings.first?.found.contains("issued by CN=ca") == true)
    }
}
