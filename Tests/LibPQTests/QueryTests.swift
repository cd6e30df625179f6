// SPDX-License-Identifier: Apache-2.0

import LibPQ
import Support
import Testing

@Suite struct QueryTests {
    @Test func `values come as text, NULL apart, and nothing is read outside the rows`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        try await onThread {
            let connection = try Connection.open(cluster.parameters())
            let result = try connection.query(
                "SELECT NULL, '', 't'::bool, 42, 'x' UNION ALL SELECT 'a', NULL, NULL, NULL, 'ü'"
            )
            #expect(result.count == 2)
            #expect(result.columnCount == 5)
            #expect(result.value(0, 0) == nil)
            #expect(result.value(0, 1) == "")
            #expect(result.flag(0, 2) && !result.flag(1, 2))
            #expect(result.integer(0, 3) == 42)
            #expect(result.integer(0, 4) == nil && result.integer(1, 3) == nil)
            #expect(result.text(1, 4) == "ü")
            for (row, column) in [(-1, 0), (0, -1), (2, 0), (0, 5)] {
                #expect(result.value(row, column) == nil)
            }
            let bound = try connection.query("SELECT $1, $2", parameters: ["it's", nil])
            #expect(bound.value(0, 0) == "it's" && bound.value(0, 1) == nil)
        }
    }

    @Test func `an error leaves the connection fit for the next statement`() async throws {
        let cluster = try await PostgresCluster.start()
        try await onThread {
            let connection = try Connection.open(cluster.parameters())
            do throws(PostgresError) {
                try connection.query("SELECT 1; SELECT 1/0; SELECT 3")
                Issue.record("a division by zero went unnoticed")
            } catch {
                #expect(error.kind == .server)
                #expect(error.sqlState == "22012")
                #expect(!error.isTransient)
            }
            #expect(try connection.query("SELECT 1; SELECT 2").integer(0, 0) == 2)
        }
    }

    @Test func `notices go nowhere`() async throws {
        let cluster = try await PostgresCluster.start()
        try await onThread {
            let connection = try Connection.open(cluster.parameters())
            try connection.query("SET client_min_messages = debug1")
            try connection.query("DO $$ BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w'; END $$")
            #expect(try connection.query("SELECT 1").integer(0, 0) == 1)
        }
    }

    @Test func `COPY lends each row and ends with the server's verdict`() async throws {
        let cluster = try await PostgresCluster.start()
        try await onThread {
            let connection = try Connection.open(cluster.parameters())
            try connection.query("COPY (SELECT generate_series(1, 50000)) TO STDOUT")
            var rows = 0
            try connection.copyOut { _ in rows += 1 }
            #expect(rows == 50_000)
            try connection.query("COPY (SELECT 1 / (3 - g) FROM generate_series(1, 5) g) TO STDOUT")
            var before = 0
            #expect(throws: PostgresError.self) { try connection.copyOut { _ in before += 1 } }
            #expect(before == 2)
            #expect(try connection.query("SELECT 1").integer(0, 0) == 1)
        }
    }

    @Test func `a backend that is killed during COPY is an error, never a short COPY`()
        async throws
    {
        let cluster = try await PostgresCluster.start()
        try await onThread {
            let connection = try Connection.open(cluster.parameters())
            let pid = connection.backendPID
            try connection.query(
                "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 10000000)) TO STDOUT"
            )
            var rows = 0
            #expect(throws: PostgresError.self) {
                try connection.copyOut(idleLimit: .seconds(60)) { _ in
                    rows += 1
                    if rows == 100 { try cluster.psql("SELECT pg_terminate_backend(\(pid))") }
                }
            }
            #expect(rows >= 100 && rows < 10_000_000)
        }
        #expect(try cluster.openSockets() == 0)
    }

    @Test func `what the closure throws comes out of COPY`() async throws {
        struct Enough: Error {}
        let cluster = try await PostgresCluster.start()
        try await onThread {
            let connection = try Connection.open(cluster.parameters())
            try connection.query("COPY (SELECT generate_series(1, 1000000)) TO STDOUT")
            #expect(throws: Enough.self) { try connection.copyOut { _ in throw Enough() } }
        }
        try await eventually("the server gives up") {
            try cluster.psql(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"
            ) == "0"
        }
    }
}
