// SPDX-License-Identifier: Apache-2.0
//
// Logins that fail: the code that says why, whether a retry may help, and that nothing tells the
// password.

import ChangeModel
import Foundation
import LibPQ
import Support
import Testing

@Suite struct LoginTests {
    @Test(arguments: PostgresCluster.availableVersions)
    func `a refused login carries its SQLSTATE and is not retried`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(
            version: version,
            settings: ["password_encryption": "scram-sha-256"],
            authentication: .hba(
                """
                host all nobody 127.0.0.1/32 reject
                host all all 127.0.0.1/32 scram-sha-256
                """
            )
        )
        try cluster.psql("CREATE ROLE cdc LOGIN PASSWORD 'right horse'; CREATE ROLE nobody LOGIN")
        let right = ["user": "cdc", "password": "right horse"]
        #expect(try await failure(cluster.parameters(right)) == nil)

        let cases: [(String, [String: String])] = [
            ("28P01", ["user": "cdc", "password": "wrong horse"]),
            ("28P01", ["user": "absent", "password": "wrong horse"]),
            ("28P01", ["user": "cdc", "passfile": "/dev/null"]),
            ("28000", ["user": "nobody", "password": "wrong horse"]),
            ("3D000", right.merging(["dbname": "absent"]) { $1 }),
        ]
        for (code, keywords) in cases {
            let error = try #require(try await failure(cluster.parameters(keywords)))
            #expect(error.sqlState == code, "\(error)")
            #expect(error.kind == .connect)
            #expect(error.refusesLogin)
            #expect(!error.isTransient)
            #expect(!"\(error)".contains("horse"))
            #expect(!error.message.contains("\(code): "), "the code stands in its own place")
            #expect(!error.message.contains("LOCATION"))
            let told = WalrelayError(error, while: "connecting")
            #expect(told.exit == .prerequisite)
        }
        // Neither the logins that succeeded nor those that failed have left a socket open.
        #expect(try cluster.openSockets() == 0)
    }

    @Test func `a password that was rotated is taken up by the next connection`() async throws {
        let cluster = try await PostgresCluster.start(authentication: .scram)
        try cluster.psql("CREATE ROLE cdc LOGIN PASSWORD 'first horse'")
        let files = try TemporaryDirectory()
        let path = try files.write("first horse", to: "password")
        var parameters = cluster.parameters(["user": "cdc", "password": "first horse"])
        parameters.refresh = { () throws(WalrelayError) in
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                throw WalrelayError("settings.secret_file", exit: .settings, "no password file")
            }
            return ["password": text]
        }
        #expect(try await failure(parameters) == nil)
        try cluster.psql("ALTER ROLE cdc PASSWORD 'second horse'")
        #expect(try await failure(parameters)?.sqlState == "28P01")
        _ = try files.write("second horse", to: "password")
        #expect(try await failure(parameters) == nil)
        unlink(path)
        let missing = try #require(try await failure(parameters))
        #expect(missing.kind == .parameters && missing.message.contains("no password file"))
    }

    @Test func `a dead host is passed over, and the primary is found behind a standby`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        let standby = try await cluster.startStandby()
        let dead = try FreePort.find()
        let parameters = cluster.parameters([
            "host": "127.0.0.1,127.0.0.1,127.0.0.1",
            "port": "\(dead),\(standby.port),\(cluster.port)",
            "target_session_attrs": "read-write",
        ])
        let port = try await onThread {
            let connection = try Connection.open(parameters)
            return try connection.query("SELECT current_setting('port')").text(0, 0)
        }
        #expect(port == "\(cluster.port)")
    }

    @Test func `of several hosts' answers the refused login is what is told`() async throws {
        let cluster = try await PostgresCluster.start(authentication: .scram)
        let dead = try FreePort.find()
        let error = try #require(
            try await failure(
                cluster.parameters([
                    "host": "127.0.0.1,127.0.0.1", "port": "\(dead),\(cluster.port)",
                    "password": "wrong horse",
                ])
            )
        )
        #expect(error.sqlState == "28P01")
        #expect(error.message.contains("\(dead)"), "the dead host is told, too")
    }

    @Test func `nobody listening is worth a retry`() async throws {
        let error = try #require(
            try await failure(
                ConnectionParameters(keywords: [
                    "host": "127.0.0.1", "port": "\(try FreePort.find())", "dbname": "x",
                ])
            )
        )
        #expect(error.kind == .connect)
        #expect(error.isTransient)
        #expect(WalrelayError(error, while: "connecting").exit == .unreachable)
    }

    @Test func `too many clients is worth a retry`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
        let error = try #require(try await failure(cluster.parameters(["user": "few"])))
        #expect(error.sqlState == "53300")
        #expect(error.isTransient)
    }

    @Test(arguments: [
        ["sslmode": "bogus"], ["port": "99999"], ["port": "1,2"],
        ["target_session_attrs": "bogus"],
    ])
    func `a parameter that libpq does not take is a fault of the settings`(
        keywords: [String: String]
    ) async throws {
        var all = ["host": "127.0.0.1", "dbname": "x"]
        all.merge(keywords) { $1 }
        let error = try #require(try await failure(ConnectionParameters(keywords: all)))
        #expect(error.kind == .parameters, "\(error)")
        #expect(!error.isTransient)
        #expect(WalrelayError(error, while: "connecting").exit == .settings)
    }

    @Test(arguments: [
        "host=x password=right horse", "password='right horse", "password=horse bogus=1",
        "postgresql://u:horse%@h/d", "postgres://u:horse@[h/d",
        "postgres://u:p@h/d?horse",
    ])
    func `a malformed connection string is told without any part of it`(
        conninfo: String
    ) async throws {
        let error = try #require(
            try await failure(ConnectionParameters(keywords: ["dbname": conninfo]))
        )
        #expect(error.kind == .parameters)
        #expect(!"\(error)".contains("horse"))
        #expect(!"\(WalrelayError(error, while: "connecting"))".contains("horse"))
    }
}
