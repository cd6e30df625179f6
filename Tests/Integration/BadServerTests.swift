// SPDX-License-Identifier: Apache-2.0
//
// Servers that cannot be reached, refuse the login, or are none that walrelay can read from. What
// may mend itself is tried again and ends with 75 when the time for it is up; what needs a person
// ends with 77 at once.
import Foundation
import Glibc
import Support
import Testing

struct BadServerTests {
    // MARK: Login

    /// A task of the role `cdc` on a cluster that asks for passwords.
    private func asking(_ name: String) async throws -> (task: OddTask, cluster: PostgresCluster) {
        var (task, cluster) = try await SharedCluster.asking.task(name)
        try cluster.psql(
            "ALTER TABLE orders OWNER TO cdc; GRANT CREATE ON DATABASE \(name) TO cdc",
            database: name
        )
        task.user = "cdc"
        task.password = OddTask.password
        return (task, cluster)
    }

    @Test
    func `the right password works, from wherever it comes, and is never shown`() async throws {
        var (task, cluster) = try await asking("pw_right")
        task.lines = ["log: { level: trace }"]
        try await task.catchUp()
        let daemon = try task.start(
            "check",
            environment: ["PGPASSWORD": OddTask.password]
        )
        #expect(try await task.outcome(of: daemon).status == .code(0))
        task.password = nil
        task.sourceLines = ["passwordFile: pw"]
        try task.files.write(OddTask.password + "\n", to: "pw")
        task.lines = ["log: { level: trace, format: json }"]
        try await task.catchUp()
        task.sourceLines = []
        let uri = "postgresql://cdc:\(OddTask.password)@127.0.0.1:\(cluster.port)/\(task.database)"
        task.spoil = { yaml in
            yaml.replacingOccurrences(of: "host: '127.0.0.1'", with: "conninfo: '\(uri)'")
                .components(separatedBy: "\n")
                .filter { !["port:", "database:", "user:"].contains(where: $0.contains) }
                .joined(separator: "\n")
        }
        try await task.catchUp()
    }

    @Test
    func `a wrong password is refused at once`() async throws {
        var (task, cluster) = try await asking("pw_wrong")
        task.password = OddTask.password + "-but-wrong"
        for command in ["run", "check"] {
            try await task.run(command).expectRefusal(
                77,
                "source.login_refused",
                "127.0.0.1:\(cluster.port)",
                "password authentication failed for user \"cdc\""
            )
        }
        task.password = nil
        try await task.run().expectRefusal(77, "source.login_refused", "no password supplied")
        try await task.expectNothingLeft(on: cluster)
    }

    @Test
    func `an unknown role is refused at once`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("role_unknown")
        task.user = "nobody_here"
        try await task.run().expectRefusal(
            77,
            "source.login_refused",
            "role \"nobody_here\" does not exist"
        )
        try await task.expectNothingLeft(on: cluster)
    }

    @Test
    func `a database that does not exist is refused at once`() async throws {
        let cluster = try await SharedCluster.trusting.cluster
        var task = try OddTask("db_unknown", on: cluster)
        task.database = "shopp"
        try await task.run().expectRefusal(
            77,
            "source.login_refused",
            "127.0.0.1:\(cluster.port)",
            "database \"shopp\" does not exist"
        )
    }

    @Test
    func `a rejection by pg_hba is told`() async throws {
        let cluster = try await PostgresCluster.start(
            authentication: .hba("host all all 127.0.0.1/32 reject")
        )
        try await OddTask("hba", on: cluster).run().expectRefusal(
            77,
            "source.login_refused",
            "pg_hba.conf rejects connection for host \"127.0.0.1\""
        )
    }

    @Test
    func `a server without TLS is refused where TLS is asked for`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("no_tls")
        task.sourceLines = ["tls: { mode: require }"]
        try await task.run().expectRefusal(
            77,
            "source.tls",
            "server does not support SSL, but SSL was required",
            "source.tls.mode"
        )
        task.sourceLines = ["tls: { mode: verify-full, rootCertificate: none.pem }"]
        try await task.expectNothingLeft(on: cluster)
    }

    // MARK: Reach

    @Test
    func `a closed port is tried again, then given up`() async throws {
        var task = try OddTask("port_closed", port: FreePort.find())
        task.retry = "1s"
        try await task.run().expectRefusal(
            75,
            "source.unreachable",
            "127.0.0.1:\(task.port)",
            "Connection refused",
            "tried for 1"
        )
        try await task.run("check").expectRefusal(
            75,
            "source.unreachable",
            "127.0.0.1:\(task.port)"
        )
    }

    @Test
    func `a host without an address is tried again, then given up`() async throws {
        var task = try OddTask("host_unknown", port: 5432)
        task.host = "db.invalid"
        task.retry = "300ms"
        try await task.run().expectRefusal(75, "source.unreachable", "db.invalid:5432", "translate")
    }

    @Test
    func `a server that never answers is given up after the time for it`() async throws {
        let server = try FakeServer(.silent)
        var task = try OddTask("silent", port: server.port)
        task.sourceLines = ["connectTimeout: 1s"]
        task.retry = "0s"
        let began = ContinuousClock.now
        try await task.run().expectRefusal(
            75,
            "source.unreachable",
            "127.0.0.1:\(server.port)",
            "no answer within"
        )
        // What it would have waited for without the setting.
        #expect(ContinuousClock.now - began < .seconds(10))
    }

    @Test
    func `SIGTERM ends the waiting for a server`() async throws {
        let server = try FakeServer(.silent)
        var task = try OddTask("term_connecting", port: server.port)
        task.sourceLines = ["connectTimeout: 10m"]
        task.retry = "forever"
        for signal in [SIGTERM, SIGINT] {
            let daemon = try task.start()
            try await daemon.waitForLog("checking")
            daemon.kill(signal)
            #expect(try await task.outcome(of: daemon).status == .code(0))
        }
        task.port = try FreePort.find()
        let retrying = try task.start()
        try await retrying.waitForLog("trying again")
        retrying.kill(SIGTERM)
        #expect(try await task.outcome(of: retrying).status == .code(0))
    }

    @Test
    func `a server that comes late is found`() async throws {
        let cluster = try await PostgresCluster.start()
        let task = try OddTask("late", on: cluster)
        try cluster.psql(SharedCluster.orders)
        try cluster.stop()
        let daemon = try task.start()
        try await daemon.waitForLog("trying again")
        try await cluster.start()
        try await daemon.waitForLog("streaming")
        #expect(try await daemon.stop() == .code(0))
    }

    // MARK: Kind

    @Test
    func `a server of version 9_6 is refused`() async throws {
        let server = try FakeServer(.version("9.6.24"))
        let task = try OddTask("old", port: server.port)
        for command in ["run", "check"] {
            let outcome = try await task.run(command)
            #expect(outcome.status == .code(77))
            #expect((outcome.stdout + outcome.stderr).contains("9.6.24"))
            #expect((outcome.stdout + outcome.stderr).contains("PostgreSQL 10 or later"))
            if command == "run" { outcome.expectRefusal(77, "server.version") }
        }
    }

    @Test
    func `a standby and a server that does not decode are refused`() async throws {
        let primary = try await PostgresCluster.start(settings: ["wal_level": "replica"])
        try primary.psql(SharedCluster.orders)
        var task = try OddTask("replica", on: primary)
        try await task.run().expectRefusal(
            77,
            "server.wal_level",
            "wal_level: replica",
            "ALTER SYSTEM SET wal_level"
        )
        try await task.expectNothingLeft(on: primary)
        let standby = try await primary.startStandby()
        task.port = standby.port
        try await task.run().expectRefusal(77, "server.standby", "the server is a standby")
        try await task.expectNothingLeft(on: primary)
    }

    @Test
    func `a role that may not replicate is refused`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("role_plain")
        try cluster.psql(
            """
            CREATE ROLE plain LOGIN; GRANT CREATE ON DATABASE role_plain TO plain;
            ALTER TABLE orders OWNER TO plain
            """,
            database: task.database
        )
        task.user = "plain"
        try await task.run().expectRefusal(
            77,
            "role.replication",
            "role plain: may not replicate",
            "ALTER ROLE"
        )
        try await task.expectNothingLeft(on: cluster)
    }
}
