// SPDX-License-Identifier: Apache-2.0
//
// A cluster that speaks TLS: its certificate, the authority by which it knows its clients, and who
// may come in how. All three can be changed while it runs, as an operator does it: the files are
// replaced and the configuration is read again.
import Foundation

/// What a server presents, and by whom it knows its clients.
public struct ServerTLS: Sendable {
    /// What it presents.
    public var identity: TestIdentity
    /// The file of the authority whose clients it knows; nil knows none.
    public var clientAuthority: String?

    /// Presents `identity`.
    public init(_ identity: TestIdentity, clientAuthority: String? = nil) {
        self.identity = identity
        self.clientAuthority = clientAuthority
    }

    /// A certificate of that kind, and clients of the shared client authority.
    public static func shared(_ kind: TestPKI.ServerCertificate = .good) throws -> ServerTLS {
        let pki = try TestPKI.shared()
        return ServerTLS(
            try pki.server(kind),
            clientAuthority: pki.clientAuthority.certificate
        )
    }

    /// The settings that go with the files.
    static let settings = [
        "ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key",
        "ssl_ca_file": "clients.crt",
    ]
}

extension PostgresVersion {
    /// Whether its build on this machine can speak TLS.
    public var hasTLS: Bool { self != .v11 }
}

extension PostgresCluster {
    /// Has the server present another certificate from the next connection on.
    public func present(_ tls: ServerTLS) async throws {
        try await onThread { try self.write(tls) }
        try await reloadAndWait()
    }

    /// Lets clients in by other rules from the next connection on.
    public func authenticate(_ authentication: Authentication) async throws {
        try await onThread { _ = try self.write(authentication.text, to: "pg_hba.conf") }
        try await reloadAndWait()
    }

    /// Has the server read its configuration again; returns when new connections meet the new one.
    public func reloadAndWait() async throws {
        try await onThread {
            func loaded() throws -> String { try self.psql("SELECT pg_conf_load_time()") }
            let before = try loaded()
            try self.reload()
            let deadline = ContinuousClock.now + .seconds(30)
            while try loaded() == before {
                guard ContinuousClock.now < deadline else {
                    throw SupportError("the server did not reload\n\(self.log())")
                }
            }
        }
    }

    /// Copies the files to where the server reads them.
    func write(_ tls: ServerTLS) throws {
        // Without authority a server that is told of one does not start: it knows itself then.
        let files = [
            "server.crt": tls.identity.certificate, "server.key": tls.identity.key,
            "clients.crt": tls.clientAuthority ?? tls.identity.certificate,
        ]
        for (name, path) in files {
            try write(String(contentsOfFile: path, encoding: .utf8), to: name)
        }
    }
}
