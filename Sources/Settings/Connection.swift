// SPDX-License-Identifier: Apache-2.0
//
// How a PostgreSQL server is reached, for the source and the postgresql sink alike. Gives libpq's
// keywords; what is not said here is left to libpq, its PG* variables and ~/.pgpass included.

public import ChangeModel

extension Settings {
    /// A PostgreSQL server, and how to log in there.
    public struct Connection: Sendable, Equatable {
        /// Which server and database.
        public enum Target: Sendable, Equatable {
            /// A connection string or URI of libpq, which may hold a password.
            case conninfo(Secret)
            /// Hosts that are tried in turn, one port or as many as hosts (none for the default),
            /// the database, and the role unless libpq's default is meant.
            case server(hosts: [String], ports: [UInt16], database: String, user: String?)
        }

        /// Which server and database.
        public var target: Target
        /// Where the password comes from; nil leaves it to libpq.
        public var password: SecretSource?
        /// Encryption; nil leaves it to libpq.
        public var tls: TLS?
        /// How long an attempt to connect may take, all hosts together, 1 s to 10 min.
        public var connectTimeout = Duration.seconds(10)
        /// The name by which the server's views show all connections; nil for names that tell task
        /// and purpose.
        public var applicationName: String?
        /// Keywords of libpq that no other property has, such as `options`; they win.
        public var furtherKeywords: [String: String] = [:]

        /// Creates a connection with defaults for all but its target.
        public init(_ target: Target) {
            self.target = target
        }
    }

    /// `tls`: how a connection is encrypted, in libpq's terms.
    public struct TLS: Sendable, Equatable {
        /// Whether TLS is used, and what is verified.
        public enum Mode: String, Sendable, CaseIterable {
            /// Never TLS.
            case disable
            /// TLS if the server insists.
            case allow
            /// TLS if the server offers it.
            case prefer
            /// Always TLS, whoever the server is.
            case require
            /// Always TLS, and a certificate of a known authority.
            case verifyCA = "verify-ca"
            /// Always TLS, and a certificate of a known authority for this very host.
            case verifyFull = "verify-full"
        }

        /// The least version of the protocol.
        public enum Version: String, Sendable, CaseIterable {
            /// Of 1999; most servers refuse it.
            case v10 = "TLSv1"
            /// Of 2006; most servers refuse it.
            case v11 = "TLSv1.1"
            /// libpq's default.
            case v12 = "TLSv1.2"
            /// Of 2018.
            case v13 = "TLSv1.3"
        }

        /// Whether a login by SCRAM is bound to the TLS channel, so that nobody can sit between.
        public enum ChannelBinding: String, Sendable, CaseIterable {
            /// Never.
            case disable
            /// Where the server offers it.
            case prefer
            /// Always; any other login is refused.
            case require
        }

        /// Whether TLS is used, and what is verified.
        public var mode = Mode.prefer
        /// The file of the authorities that are trusted, or `system`.
        public var rootCertificate: String?
        /// The client's certificate.
        public var certificate: String?
        /// The key of the client's certificate.
        public var key: String?
        /// Where the passphrase of the key comes from.
        public var keyPassword: SecretSource?
        /// The file of the certificates that the authorities have taken back.
        public var revocationList: String?
        /// The least version of the protocol; nil leaves it to libpq.
        public var minimumVersion: Version?
        /// Whether the login is bound to the channel; nil leaves it to libpq.
        public var channelBinding: ChannelBinding?

        /// Creates the default section.
        public init() {}
    }
}

extension Settings.Connection {
    /// The password as it is now, or nil when it is left to libpq.
    ///
    /// Blocks on the file system; reads a password file each time, so that a rotated password is
    /// taken up. Throws `settings.secret_file`, exit 78.
    public func resolvePassword(environment: [String: String]) throws(WalrelayError) -> String? {
        try password?.read(environment: environment)
    }

    /// libpq's keywords of the secrets that may change while a task runs: the password, and that of
    /// the client's key.
    ///
    /// Blocks and throws as `resolvePassword` does.
    public func secrets(
        environment: [String: String]
    ) throws(WalrelayError) -> [String: String] {
        var secrets: [String: String] = [:]
        secrets["password"] = try resolvePassword(environment: environment)
        secrets["sslpassword"] = try tls?.keyPassword?.read(environment: environment)
        return secrets
    }

    /// A warning for each password file that somebody else may read; blocks on the file system.
    func passwordFileWarnings() -> [String] {
        [password, tls?.keyPassword].compactMap { $0?.fileWarning(noun: "password") }
    }

    /// libpq's keywords and their values, but for `connect_timeout`.
    ///
    /// Holds passwords in clear: for libpq only. `dbname` may be a connection string, so libpq has
    /// to expand it, before the other keywords. Of several hosts the primary is taken. Blocks and
    /// throws as `resolvePassword` does.
    public func keywords(
        environment: [String: String]
    ) throws(WalrelayError) -> [String: String] {
        var result: [String: String] = [:]
        switch target {
        case .conninfo(let conninfo):
            result["dbname"] = conninfo.reveal()
            // What the connection string says about it goes first.
            result["fallback_application_name"] = applicationName
        case .server(let hosts, let ports, let database, let user):
            result["dbname"] = Self.unexpanded(database)
            result["host"] = hosts.joined(separator: ",")
            if !ports.isEmpty { result["port"] = ports.map(String.init).joined(separator: ",") }
            result["user"] = user
            if hosts.count > 1 { result["target_session_attrs"] = "primary" }
            result["application_name"] = applicationName
        }
        result.merge(try secrets(environment: environment)) { _, secret in secret }
        if let tls {
            result["sslmode"] = tls.mode.rawValue
            result["sslrootcert"] = tls.rootCertificate
            result["sslcert"] = tls.certificate
            result["sslkey"] = tls.key
            result["sslcrl"] = tls.revocationList
            result["ssl_min_protocol_version"] = tls.minimumVersion?.rawValue
            result["channel_binding"] = tls.channelBinding?.rawValue
        }
        return result.merging(furtherKeywords) { _, further in further }
    }

    /// A database's name that libpq does not take for a connection string.
    private static func unexpanded(_ database: String) -> String {
        let prefixes = ["postgresql://", "postgres://"]
        guard database.contains("=") || prefixes.contains(where: database.hasPrefix) else {
            return database
        }
        let escaped = database.unicodeScalars.flatMap { scalar -> [Unicode.Scalar] in
            scalar == "'" || scalar == "\\" ? ["\\", scalar] : [scalar]
        }
        return "dbname='\(String(String.UnicodeScalarView(escaped)))'"
    }
}
