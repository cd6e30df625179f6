// SPDX-License-Identifier: Apache-2.0
//
// Connections by TLS with files in every form, against a server that knows its clients by their
// certificates alone; and what is said where it does not come to a connection.

import Certificates
import ChangeModel
import Foundation
import Glibc
import LibPQ
import Support
import Testing

@Suite struct TLSTests {
    /// A server that lets in whoever shows a certificate of the role.
    private static func cluster() async throws -> PostgresCluster {
        let cluster = try await PostgresCluster.start(
            authentication: .hostssl("cert"),
            tls: .shared()
        )
        try cluster.psql("CREATE ROLE \(TestPKI.role) LOGIN")
        return cluster
    }

    private static func files(
        _ kind: TestPKI.ClientCertificate = .good
    ) throws -> [String: String] {
        let pki = try TestPKI.shared()
        let client = try pki.client(kind)
        return [
            "user": TestPKI.role, "sslmode": "verify-full", "sslcert": client.certificate,
            "sslkey": client.key, "sslrootcert": pki.serverAuthority.certificate,
        ]
    }

    @Test func `keys and authorities in every form lead to a connection, and no file stays open`()
        async throws
    {
        let cluster = try await Self.cluster()
        let pki = try TestPKI.shared()
        let client = try pki.client(.good)
        var cases = [try Self.files()]
        for form in TestIdentity.KeyForm.allCases {
            var files = try Self.files()
            files["sslkey"] = try client.key(form, password: "right horse")
            files["sslpassword"] = form == .der ? nil : "right horse"
            cases.append(files)
        }
        for bundle in try [
            pki.serverAuthority.binaryCertificate(), pki.serverAuthority.bundle(.pem),
            pki.serverAuthority.bundle(.der),
        ] {
            cases.append(try Self.files().merging(["sslrootcert": bundle]) { $1 })
        }
        for files in cases {
            let parameters = cluster.parameters(files)
            let encryption = try await onThread {
                let connection = try Connection.open(parameters)
                #expect(try connection.query("SELECT current_user").text(0, 0) == TestPKI.role)
                #expect(try Self.holdsNoFiles(), "they stay open with the connection")
                return connection.encryption
            }
            guard case .tls(let version, let cipher) = encryption.channel else {
                Issue.record("no TLS: \(encryption)")
                continue
            }
            #expect(version == "TLSv1.3" && cipher.hasPrefix("TLS_"))
            #expect(encryption.mode == "verify-full" && encryption.isLocal)
            #expect(encryption.certificates?.isVerified == true)
            #expect(
                encryption.roles.map(\.certificate.subject)
                    == ["CN=127.0.0.1", "CN=\(TestPKI.role)", "CN=server-authority"]
            )
        }
    }

    /// Whether this process comes to hold no files in memory; tests beside this one hold some for
    /// the moment in which they connect.
    private static func holdsNoFiles() throws -> Bool {
        for _ in 0..<3_000 {
            if try memoryFiles() == 0 { return true }
            usleep(10_000)
        }
        return false
    }

    private static func memoryFiles() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count { name in
            let path = "/proc/self/fd/\(name)"
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
            return target?.contains("walrelay-tls") ?? false
        }
    }

    @Test func `a connection string's files are prepared too, and for each of several hosts`()
        async throws
    {
        let cluster = try await Self.cluster()
        let pki = try TestPKI.shared()
        let client = try pki.client(.good)
        let key = try client.key(.encryptedMD5DES, password: "right horse")
        let bundle = try pki.serverAuthority.bundle(.der)
        let dead = try FreePort.find()
        let string = """
            host=127.0.0.1,127.0.0.1 port=\(dead),\(cluster.port) user=\(TestPKI.role) \
            dbname=postgres sslmode=verify-full sslrootcert=\(bundle) \
            sslcert=\(client.certificate) sslkey=\(key) sslpassword='right horse'
            """
        let uri = """
            postgresql://\(TestPKI.role)@127.0.0.1:\(cluster.port)/postgres?sslmode=verify-full\
            &sslrootcert=\(bundle)&sslcert=\(client.certificate)&sslkey=\(key)\
            &sslpassword=right%20horse
            """
        for conninfo in [string, uri] {
            let parameters = ConnectionParameters(keywords: ["dbname": conninfo])
            #expect(try await failure(parameters) == nil)
        }
        // A keyword wins over the connection string, for the files as for libpq.
        let parameters = ConnectionParameters(keywords: ["dbname": uri, "sslpassword": "wrong"])
        #expect(try await failure(parameters)?.cause?.code == "tls.key_password")
    }

    @Test func `a statement is cancelled over TLS as well`() async throws {
        let cluster = try await Self.cluster()
        let parameters = cluster.parameters(try Self.files())
        let isCancelled = try await onThread {
            let connection = try Connection.open(parameters)
            do throws(PostgresError) {
                try connection.query("SELECT pg_sleep(60)", within: .milliseconds(200))
                return false
            } catch {
                return error.kind == .timeout
            }
        }
        #expect(isCancelled)
        try await eventually("the statement ends") {
            try cluster.psql(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60)%' "
                    + "AND pid <> pg_backend_pid()"
            ) == "0"
        }
    }

    @Test func `a certificate and a key that are replaced are taken by the next connection`()
        async throws
    {
        let cluster = try await Self.cluster()
        let pki = try TestPKI.shared()
        let directory = try TemporaryDirectory()
        let (certificate, key) = (directory.file("client.crt"), directory.file("client.key"))
        func place(_ from: String, _ path: String) throws {
            unlink(path)
            try FileManager.default.copyItem(atPath: from, toPath: path)
            chmod(path, 0o600)
        }
        let parameters = cluster.parameters(
            try Self.files().merging(["sslcert": certificate, "sslkey": key]) { $1 }
        )
        let first = try pki.client(.good)
        try place(first.certificate, certificate)
        try place(first.key, key)
        #expect(try await failure(parameters) == nil)
        let second = try pki.clientAuthority.issue(TestPKI.role)
        try place(second.certificate, certificate)
        let between = try #require(try await failure(parameters))
        #expect(between.cause?.code == "tls.key_mismatch")
        try place(second.key, key)
        #expect(try await failure(parameters) == nil)
    }

    @Test func `what the server or libpq refuses of TLS is not retried, and is explained`()
        async throws
    {
        let cluster = try await Self.cluster()
        let pki = try TestPKI.shared()
        let expired = try pki.client(.expired)
        for (kind, part) in [
            (
                TestPKI.ClientCertificate.expired,
                "the client certificate \(expired.certificate): exp"
            ),
            (.otherAuthority, "unknown ca"),
        ] {
            let error = try #require(try await failure(cluster.parameters(Self.files(kind))))
            #expect(error.kind == .tls, "\(error)")
            #expect(!error.isTransient)
            #expect("\(error)".contains(part), "\(error)")
        }
        for change in [
            ["sslrootcert": pki.otherAuthority.certificate],
            ["ssl_max_protocol_version": "TLSv1.2", "ssl_min_protocol_version": "TLSv1.2"],
            ["channel_binding": "require"],
        ] {
            let all = try Self.files().merging(change) { $1 }
            if change["ssl_max_protocol_version"] != nil {
                try cluster.reload(settings: ["ssl_min_protocol_version": "TLSv1.3"])
                try await cluster.reloadAndWait()
            }
            let error = try #require(try await failure(cluster.parameters(all)))
            #expect(error.kind == .tls, "\(change): \(error)")
        }
    }

    @Test func `a fault of a file is told before anything goes over the network`() async throws {
        let pki = try TestPKI.shared()
        let client = try pki.client(.good)
        let server = try MuteServer()
        let open = try client.key(.der)
        chmod(open, 0o644)
        for (change, code) in [
            (["sslkey": open], "tls.key_permissions"),
            (["sslkey": client.certificate], "tls.key_permissions"),
            (["sslcert": "/nonexistent/client.crt"], "tls.file_unreadable"),
            (["sslrootcert": client.key], "tls.no_certificate"),
            (["sslcrl": client.key], "tls.no_revocation_list"),
            (["sslrootcert": "system", "sslmode": "require"], "tls.system_authorities"),
        ] {
            let files = try Self.files().merging(["sslpassword": "right horse"]) { $1 }
                .merging(change) { $1 }
            let keywords = server.parameters.keywords.merging(files) { $1 }
            let error = try #require(
                try await failure(ConnectionParameters(keywords: keywords))
            )
            #expect(error.cause?.code == code, "\(change): \(error)")
            #expect(!error.isTransient)
            let told = WalrelayError(error, while: "connecting to the source")
            #expect(told.code == code && told.exit == .settings)
            #expect(told.message.hasPrefix("connecting to the source: The "))
            #expect(!"\(told)".contains("horse"))
            // Where TLS is off nobody reads the files.
            let off = keywords.merging(["sslmode": "disable", "connect_timeout": "2"]) { $1 }
            var parameters = ConnectionParameters(keywords: off)
            parameters.connectTimeout = .milliseconds(100)
            #expect(!parameters.mayUseTLS)
            #expect(try await failure(parameters)?.kind == .timeout)
        }
    }

    @Test func `over a Unix socket no file is read, and an engine's key is left to libpq`()
        async throws
    {
        let cluster = try await Self.cluster()
        let socket = cluster.parameters([
            "host": cluster.socketDirectory, "sslmode": "verify-full", "sslkey": "/nonexistent",
        ])
        #expect(!socket.mayUseTLS)
        let findings = try await onThread {
            try Connection.open(socket).encryption.findings(setting: "source")
        }
        #expect(findings.isEmpty)
        // Nobody but libpq knows where a service leads to.
        #expect(ConnectionParameters(keywords: ["dbname": "service=orders"]).mayUseTLS)
        #expect(!ConnectionParameters(keywords: ["dbname": "orders"]).mayUseTLS)
        let engine = cluster.parameters(
            try Self.files().merging(["sslkey": "pkcs11:object=cdc"]) { $1 }
        )
        let error = try #require(try await failure(engine))
        #expect(error.cause == nil && error.message.contains("pkcs11"))
    }

    @Test func `the system's authorities are those of a file that libpq 15 is told of`()
        async throws
    {
        let cluster = try await Self.cluster()
        let parameters = cluster.parameters(
            try Self.files().merging(["sslrootcert": "system"]) { $1 }
        )
        let error = try #require(try await failure(parameters))
        // They do not know the authority of a test.
        #expect("\(error)".contains("certificate verify failed"), "\(error)")
    }
}
