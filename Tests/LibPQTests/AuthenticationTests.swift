// SPDX-License-Identifier: Apache-2.0
//
// How a server asked who we are, as it is seen from the login alone, and what is said of it.

import ChangeModel
import LibPQ
import Support
import Testing

@Suite struct AuthenticationTests {
    /// A line of pg_hba.conf, the role's password as the server keeps it, and what is seen.
    private static let methods: [(method: String, kept: String, seen: Authentication)] = [
        ("trust", "scram-sha-256", .none), ("password", "scram-sha-256", .clearPassword),
        ("scram-sha-256", "scram-sha-256", .scram), ("md5", "md5", .md5),
        // A role whose password was set anew is asked for SCRAM by a line that says md5.
        ("md5", "scram-sha-256", .scram),
    ]

    private static func seen(_ parameters: ConnectionParameters) async throws -> Authentication? {
        try await onThread { try Connection.open(parameters).authentication }
    }

    @Test(arguments: PostgresVersion.available)
    func `the method is seen, with TLS and without`(version: PostgresVersion) async throws {
        let lines = Self.methods.enumerated().map { number, entry in
            "host all r\(number) 127.0.0.1/32 \(entry.method)"
        }
        let cluster = try await PostgresCluster.start(
            version: version,
            authentication: .hba(lines.joined(separator: "\n")),
            tls: version.hasTLS ? .shared() : nil
        )
        for (number, entry) in Self.methods.enumerated() {
            try cluster.psql(
                """
                SET password_encryption = '\(entry.kept)';
                CREATE ROLE r\(number) LOGIN PASSWORD 'right horse'
                """
            )
        }
        for mode in version.hasTLS ? ["disable", "require"] : ["disable"] {
            for (number, entry) in Self.methods.enumerated() {
                let parameters = cluster.parameters([
                    "user": "r\(number)", "password": "right horse", "sslmode": mode,
                ])
                let seen = try await Self.seen(parameters)
                #expect(seen == entry.seen, "\(entry.method) of \(entry.kept), \(mode)")
            }
        }
        // The socket asks nobody.
        let socket = ["host": cluster.socketDirectory]
        #expect(try await Self.seen(cluster.parameters(socket)) == Authentication.none)
    }

    @Test func `of several hosts the one that lets us in counts`() async throws {
        let primary = try await PostgresCluster.start()
        try primary.psql("ALTER ROLE postgres PASSWORD 'right horse'")
        let standby = try await primary.startStandby()
        try await standby.authenticate(.scram)
        let seen = try await Self.seen(
            primary.parameters([
                "host": "127.0.0.1,127.0.0.1", "port": "\(standby.port),\(primary.port)",
                "password": "right horse", "target_session_attrs": "read-write",
            ])
        )
        #expect(seen == Authentication.none)
    }

    @Test func `a method that is not ours is refused with what to change`() async throws {
        let cluster = try await PostgresCluster.start(
            authentication: .hba("host all all 127.0.0.1/32 gss")
        )
        let error = try #require(try await failure(cluster.parameters()))
        #expect(error.refusesLogin && !error.isTransient, "\(error)")
        #expect(error.advice(at: .target).contains("scram-sha-256 or cert"), "\(error)")
    }

    // MARK: What is said of it

    private static func finding(
        _ authentication: Authentication,
        _ channel: Encryption.Channel = .plain,
        isLocal: Bool = false,
        throughSocket: Bool = false
    ) -> Finding {
        authentication.finding(
            over: Encryption(channel: channel, mode: "prefer", isLocal: isLocal),
            throughSocket: throughSocket,
            role: "Cdc",
            at: .target,
            change: { "set \($0) = \($1);" }
        )
    }

    private static let tls = Encryption.Channel.tls(version: "TLSv1.3", cipher: "x")

    @Test func `what may be read or needs no proof is warned of`() {
        let warned = [
            Self.finding(.md5, Self.tls), Self.finding(.md5, isLocal: true),
            Self.finding(.clearPassword), Self.finding(.clearPassword, isLocal: true),
            Self.finding(.none), Self.finding(.none, Self.tls),
        ]
        for finding in warned {
            #expect(finding.level == .warning && !finding.mend.isEmpty, "\(finding)")
        }
        let well = [
            Self.finding(.scram), Self.finding(.scram, Self.tls),
            Self.finding(.clearPassword, Self.tls), Self.finding(.none, isLocal: true),
            Self.finding(.clearPassword, isLocal: true, throughSocket: true),
        ]
        for finding in well {
            #expect(finding.level == .ok && finding.mend.isEmpty, "\(finding)")
        }
        #expect(Set((warned + well).map(\.id)) == ["login.method"])
        let mend = Self.finding(.md5).mend
        #expect(
            mend.contains("set password_encryption = scram-sha-256;") && mend.contains("\"Cdc\"")
        )
        #expect(Self.finding(.clearPassword).mend.contains("sink.postgresql.tls.mode"))
    }
}
