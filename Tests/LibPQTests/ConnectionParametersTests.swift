// SPDX-License-Identifier: Apache-2.0

import LibPQ
import Support
import Testing

@Suite struct ConnectionParametersTests {
    @Test(arguments: [
        ("shop", "shop"), ("", ""), ("host=h dbname=shop", "shop"), ("host=h", ""),
        ("dbname='my shop'", "my shop"), ("postgres://u@h:1/shop?sslmode=disable", "shop"),
        ("postgresql:///shop", "shop"), ("postgres://h", ""), ("a b", "a b"),
        ("postgres://h/%73hop", "shop"), ("dbname='open", ""), ("x://y", "x://y"),
    ])
    func `the database is what libpq would ask for`(dbname: String, database: String) {
        #expect(ConnectionParameters(keywords: ["dbname": dbname]).database == database)
    }

    @Test func `without a database there is none to tell`() {
        #expect(ConnectionParameters(keywords: [:]).database.isEmpty)
    }

    @Test func `the destination never holds a password`() {
        let conninfo = ConnectionParameters(keywords: ["dbname": "postgres://u:horse@h/d"])
        #expect(conninfo.destination == "h:5432/d")
        let misspelt = ConnectionParameters(keywords: ["dbname": "postgres://u:a@horse@h/d"])
        #expect(!misspelt.destination.contains("horse"))
        let other = ConnectionParameters(
            keywords: ["dbname": "hostaddr=10.0.0.7 port=6000 user=u password=horse dbname=d"]
        )
        #expect(other.destination == "10.0.0.7:6000/d")
        let keywords = ConnectionParameters(
            keywords: ["host": "h", "dbname": "d", "password": "horse"]
        )
        #expect(keywords.destination == "h:5432/d")
    }

    /// What ALTER ROLE, ALTER DATABASE and the connection's own options say otherwise.
    private static let pinned = [
        ("DateStyle", "German, DMY", "ISO, DMY"), ("IntervalStyle", "postgres", "iso_8601"),
        ("TimeZone", "Asia/Kolkata", "UTC"), ("extra_float_digits", "-5", "3"),
        ("bytea_output", "escape", "hex"), ("statement_timeout", "1h", "0"),
        ("lock_timeout", "1h", "0"), ("idle_in_transaction_session_timeout", "1h", "0"),
        ("search_path", "public", "pg_catalog"), ("xmlbinary", "hex", "base64"),
        ("client_encoding", "LATIN1", "UTF8"), ("lc_monetary", "C.UTF-8", "C"),
    ]

    @Test(arguments: [false, true])
    func `what is pinned wins over the role, the database and the connection`(
        replication: Bool
    ) async throws {
        let cluster = try await PostgresCluster.start()
        for (name, other, _) in Self.pinned {
            let value = other.split(separator: ", ").map { "'\($0)'" }.joined(separator: ", ")
            try cluster.psql("ALTER ROLE postgres SET \(name) = \(value)")
            try cluster.psql("ALTER DATABASE postgres SET \(name) = \(value)")
        }
        var parameters = cluster.parameters([
            "options": "-c TimeZone=Asia/Tokyo -c geqo_threshold=7", "client_encoding": "LATIN1",
        ])
        if replication { parameters = parameters.replication }
        let (found, kept) = try await onThread { [parameters] in
            let connection = try Connection.open(parameters)
            let found = try Self.pinned.map { name, _, _ in
                try connection.query("SHOW \(name)").text(0, 0)
            }
            return (found, try connection.query("SHOW geqo_threshold").text(0, 0))
        }
        for (value, (name, _, wanted)) in zip(found, Self.pinned) {
            let same = value == wanted || (name == "DateStyle" && value.hasPrefix("ISO"))
            #expect(same, "\(name) is \(value)")
        }
        #expect(kept == "7", "other options of the connection are kept")
    }

    @Test func `a connection string keeps what it says beside what is pinned`() async throws {
        let cluster = try await PostgresCluster.start()
        let conninfo =
            cluster.conninfo()
            + " options='-c geqo_threshold=7 -c DateStyle=German' application_name=mine"
            + " client_encoding=LATIN1 tcp_user_timeout=12345 keepalives_idle=77"
        let found = try await onThread {
            let connection = try Connection.open(
                ConnectionParameters(keywords: ["dbname": conninfo])
            )
            let names = ["geqo_threshold", "DateStyle", "application_name", "client_encoding"]
            return try names.map { try connection.query("SHOW \($0)").text(0, 0) }
        }
        #expect(found == ["7", "ISO, DMY", "mine", "UTF8"])
    }

    @Test func `a socket's bounds are defaults that a connection string can change`() async throws {
        // Out of range for libpq: that it complains shows whose value it was given.
        let conninfo = "host=127.0.0.1 port=1 keepalives_idle=99999999999"
        let error = try await failure(ConnectionParameters(keywords: ["dbname": conninfo]))
        #expect(error?.message.contains("99999999999") == true)
    }
}
