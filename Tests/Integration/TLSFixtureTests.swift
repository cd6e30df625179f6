// SPDX-License-Identifier: Apache-2.0
//
// The fixtures of TLS, judged by psql and openssl: what later tests blame on walrelay must not be
// the test bed's fault.
import Foundation
import Support
import Testing

struct TLSFixtureTests {
    /// What psql says of a connection with these keywords; empty where it works.
    private static func refusal(
        _ cluster: PostgresCluster,
        _ keywords: String
    ) async throws
        -> String
    {
        try await onThread {
            // 15 and later look for addresses in a certificate, too.
            let output = try runProcess(
                PostgresVersion.v15.program("psql"),
                ["-Xq", "-d", "\(cluster.conninfo(user: TestPKI.role)) \(keywords)", "-c", ""],
                environment: PostgresVersion.v15.environment
            )
            return output.stderr
        }
    }

    @Test(arguments: PostgresVersion.available.filter(\.hasTLS))
    func `a server presents each certificate, and knows its clients`(
        version: PostgresVersion
    ) async throws {
        let pki = try TestPKI.shared()
        let cluster = try await PostgresCluster.start(
            version: version,
            authentication: .hostssl("cert"),
            tls: .shared()
        )
        try cluster.psql("CREATE ROLE \(TestPKI.role) LOGIN")
        let trust = "sslmode=verify-full sslrootcert=\(pki.serverAuthority.certificate)"
        func with(_ kind: TestPKI.ClientCertificate) throws -> String {
            let client = try pki.client(kind)
            return "\(trust) sslcert=\(client.certificate) sslkey=\(client.key)"
        }
        #expect(try await Self.refusal(cluster, with(.good)) == "")
        for (kind, text) in [
            (TestPKI.ClientCertificate.expired, "certificate expired"),
            (.otherAuthority, "unknown ca"), (.otherName, "certificate authentication failed"),
        ] {
            let refusal = try await Self.refusal(cluster, with(kind))
            #expect(refusal.contains(text), "\(kind): \(refusal)")
        }
        for (kind, text) in [
            (TestPKI.ServerCertificate.expired, "certificate verify failed"),
            (.otherHost, "does not match host name"),
            (.otherAuthority, "certificate verify failed"),
        ] {
            try await cluster.present(.shared(kind))
            let refusal = try await Self.refusal(cluster, with(.good))
            #expect(refusal.contains(text), "\(kind): \(refusal)")
        }
        try await cluster.present(.shared())
        try await cluster.authenticate(.hba("host all all 127.0.0.1/32 reject"))
        #expect(try await Self.refusal(cluster, with(.good)).contains("rejects connection"))
    }

    @Test(arguments: TestIdentity.KeyForm.allCases)
    func `a key is the same in each form`(form: TestIdentity.KeyForm) throws {
        let identity = try TestPKI.shared().client(.good)
        let path = try identity.key(form, password: "right horse")
        func publicKey(_ arguments: [String]) throws -> String {
            try openssl(
                ["pkey", "-pubout", "-provider", "legacy", "-provider", "default"] + arguments
            )
        }
        let isPEM = form == .encryptedPEM
        #expect(
            try publicKey(["-in", path, "-passin", "pass:right horse"])
                == publicKey(["-in", identity.key])
        )
        let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        #expect(text.hasPrefix("-----BEGIN ENCRYPTED PRIVATE KEY-----") == isPEM)
    }

    @Test(arguments: TestEncoding.allCases)
    func `a bundle holds the authority`(encoding: TestEncoding) throws {
        let authority = try TestPKI.shared().serverAuthority
        let listed = try openssl([
            "pkcs7", "-inform", encoding.rawValue, "-in", authority.bundle(encoding),
            "-print_certs",
        ])
        #expect(listed.contains("CN = server-authority"))
        let binary = try openssl([
            "x509", "-inform", "der", "-in", authority.binaryCertificate(), "-noout", "-subject",
        ])
        #expect(binary.contains("CN = server-authority"))
    }
}
