// SPDX-License-Identifier: Apache-2.0
//
// A task from one database of a server to another, that logs in at both ends in a way that the
// test chooses; and the ways that there are to prove who one is.
import Foundation
import Glibc
import Support

/// How a task proves who it is.
enum LoginWay: CaseIterable {
    /// `password:` in the settings.
    case literal
    /// `password: "${VARIABLE}"`.
    case variable
    /// `passwordFile:` with a path.
    case file
    /// `passwordFile: credential:NAME`, as systemd gives it.
    case credential
    /// PGPASSWORD.
    case environment
    /// `~/.pgpass`.
    case home
    /// The file that PGPASSFILE names.
    case passfile
    /// A certificate, and no password at all.
    case certificate
}

/// A server that asks `secret` for a password and `cdc` for a certificate, and lets the superuser
/// in; with two databases, of which the first holds the table `t`.
struct LoginServer: Sendable {
    static let role = "secret"
    static let password = OddTask.password

    let cluster: PostgresCluster

    /// Starts it; `method` is how passwords are asked for, `rules` go before the others.
    init(
        _ method: String = "scram-sha-256",
        encryption: String? = nil,
        rules: String = ""
    )
        async throws
    {
        cluster = try await PostgresCluster.start(
            authentication: .hba(
                """
                \(rules)
                host all \(Self.role) 127.0.0.1/32 \(method)
                hostssl all \(TestPKI.role) 127.0.0.1/32 cert
                host all postgres 127.0.0.1/32 trust
                """
            ),
            tls: .shared()
        )
        let kept = encryption ?? (method == "md5" ? "md5" : "scram-sha-256")
        try cluster.psql(
            """
            SET password_encryption = '\(kept)';
            CREATE ROLE \(Self.role) SUPERUSER LOGIN PASSWORD '\(Self.password)';
            CREATE ROLE \(TestPKI.role) SUPERUSER LOGIN PASSWORD NULL;
            CREATE DATABASE shop;
            CREATE DATABASE copy;
            """
        )
        try cluster.psql(
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
            database: "shop"
        )
    }

    /// The ids that have arrived at the other end, as `1,2`.
    func copied() throws -> String {
        try cluster.psql("SELECT string_agg(id::text, ',' ORDER BY id) FROM t", database: "copy")
    }

    /// Changes the role's password at the server and ends its sessions.
    func changePassword(to password: String) throws {
        try cluster.psql("ALTER ROLE \(Self.role) PASSWORD '\(password)'")
        try endSessions(of: Self.role)
    }

    /// Ends all sessions of a role.
    func endSessions(of role: String) throws {
        try cluster.psql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                + " WHERE usename = '\(role)' AND pid <> pg_backend_pid()"
        )
    }
}

/// The settings of a task between the two databases of a server.
struct LoginTask: Sendable {
    let server: LoginServer
    let files: TemporaryDirectory
    /// Lines of YAML below the server, database and port of either end.
    var source = ["user: postgres"]
    var sink = ["user: postgres"]
    /// The task's name.
    var name = "login"
    /// Further lines of the file.
    var more = ""
    /// What the daemon's environment has beyond the test's.
    var environment: [String: String] = [:]

    init(_ server: LoginServer) throws {
        self.server = server
        files = try TemporaryDirectory()
        // Nothing of the user who runs the tests.
        environment["HOME"] = files.path
    }

    /// A task both of whose ends log in that way.
    init(_ server: LoginServer, by way: LoginWay) throws {
        try self.init(server)
        let lines = try lines(for: way)
        (source, sink) = (lines, lines)
    }

    /// The lines for an end that logs in that way; adds what it needs to files and environment.
    mutating func lines(for way: LoginWay) throws -> [String] {
        let user = "user: \(LoginServer.role)"
        let password = LoginServer.password
        let entry = "127.0.0.1:\(server.cluster.port):*:\(LoginServer.role):\(password)\n"
        switch way {
        case .literal: return [user, "password: '\(password)'"]
        case .variable:
            environment["LOGIN_PASSWORD"] = password
            return [user, "password: \"${LOGIN_PASSWORD}\""]
        case .file:
            try writeSecret(password + "\n", to: "password")
            return [user, "passwordFile: password"]
        case .credential:
            try writeSecret(password, to: "orders")
            environment["CREDENTIALS_DIRECTORY"] = files.path
            return [user, "passwordFile: credential:orders"]
        case .environment:
            environment["PGPASSWORD"] = password
            return [user]
        case .home:
            try writeSecret(entry, to: ".pgpass")
            return [user]
        case .passfile:
            environment["PGPASSFILE"] = try writeSecret(entry, to: "passwords")
            return [user]
        case .certificate:
            let pki = try TestPKI.shared()
            let client = try pki.client(.good)
            return [
                "user: \(TestPKI.role)",
                "tls: { mode: verify-full, rootCertificate: '\(pki.serverAuthority.certificate)',"
                    + " certificate: '\(client.certificate)', key: '\(client.key)' }",
            ]
        }
    }

    /// Writes a file that only its owner may read.
    @discardableResult
    func writeSecret(_ text: String, to name: String) throws -> String {
        // A file that is replaced as a whole, as whoever rotates a password ought to.
        let path = try files.write(text, to: "\(name).new")
        chmod(path, 0o600)
        guard rename(path, files.file(name)) == 0 else { throw SupportError("rename \(name)") }
        return files.file(name)
    }

    /// Starts a command on the settings as they are now.
    func start(_ command: String = "run", _ options: [String] = []) throws -> DaemonProcess {
        func entries(_ database: String, _ more: [String]) -> String {
            let cluster = server.cluster
            return
                (["host: \(cluster.host)", "port: \(cluster.port)", "database: \(database)"] + more)
                .joined(separator: ", ")
        }
        let settings = try writeSecret(
            """
            task: \(name)
            source: { \(entries("shop", source)) }
            tables: { include: [public.t] }
            sink: { kind: postgresql, postgresql: { \(entries("copy", sink)) } }
            http: { listen: off }
            \(more)

            """,
            to: "login.yaml"
        )
        return try DaemonProcess(
            [command, "--config", settings] + options,
            environment: environment
        )
    }
}
