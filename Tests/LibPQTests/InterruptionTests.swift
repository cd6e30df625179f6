// SPDX-License-Identifier: Apache-2.0
//
// Whatever blocks can be ended: by a stop, by its time limit, by the server's end.

import Glibc
import LibPQ
import Support
import Testing

@Suite struct InterruptionTests {
    /// Far below what the statement or the server would take, far above a slow machine.
    private static let soon: Duration = .seconds(10)

    private func sleepers(_ cluster: PostgresCluster) throws -> Int {
        let count = try cluster.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(%' "
                + "AND state = 'active' AND pid <> pg_backend_pid()"
        )
        return Int(count) ?? -1
    }

    private func interrupted(
        _ cluster: PostgresCluster,
        after: @Sendable @escaping () throws -> Void = {}
    ) async throws -> (PostgresError?, Duration) {
        let stop = StopSignal()
        async let outcome: (PostgresError?, ContinuousClock.Instant) = onThread {
            let connection = try Connection.open(cluster.parameters(), stop: stop)
            do throws(PostgresError) {
                try connection.query("SELECT pg_sleep(600)", within: .seconds(600))
                return (nil, .now)
            } catch {
                return (error, .now)
            }
        }
        try await eventually { try sleepers(cluster) == 1 }
        try after()
        let asked = ContinuousClock.now
        stop.request()
        let (error, ended) = try await outcome
        return (error, ended - asked)
    }

    @Test func `a stop ends a blocked query, and the server's work on it`() async throws {
        let cluster = try await PostgresCluster.start()
        let (error, took) = try await interrupted(cluster)
        #expect(error?.kind == .interrupted)
        #expect(error?.isTransient == false)
        #expect(took < Self.soon)
        try await eventually("the server gives up") { try sleepers(cluster) == 0 }
        #expect(try cluster.openSockets() == 0)
    }

    @Test func `a stop does not wait for a server that has gone silent`() async throws {
        let cluster = try await PostgresCluster.start()
        let postmaster = try #require(cluster.pid)
        defer { kill(postmaster, SIGCONT) }
        // The backend works on; who takes connections, a request to cancel among them, does not.
        let (error, took) = try await interrupted(cluster) { kill(postmaster, SIGSTOP) }
        #expect(error?.kind == .interrupted)
        #expect(took < Self.soon)
    }

    @Test func `a query that runs out of time is cancelled on the server`() async throws {
        let cluster = try await PostgresCluster.start()
        let error = try await onThread { () -> PostgresError? in
            let connection = try Connection.open(cluster.parameters())
            do throws(PostgresError) {
                try connection.query("SELECT pg_sleep(600)", within: .milliseconds(50))
                return nil
            } catch {
                return error
            }
        }
        #expect(error?.kind == .timeout)
        #expect(error?.isTransient == true)
        try await eventually("the server gives up") { try sleepers(cluster) == 0 }
    }

    @Test func `a stop ends a blocked connect`() async throws {
        let server = try MuteServer()
        let stop = StopSignal()
        async let outcome = failure(server.parameters, stop: stop)
        stop.request()
        #expect(try await outcome?.kind == .interrupted)
    }

    @Test func `a connect has an end`() async throws {
        let server = try MuteServer()
        var parameters = server.parameters
        parameters.connectTimeout = .milliseconds(50)
        let error = try await failure(parameters)
        #expect(error?.kind == .timeout)
        #expect(error?.isTransient == true)
    }

    @Test func `a statement longer than the socket takes is sent whole`() async throws {
        let cluster = try await PostgresCluster.start()
        let text = String(repeating: "x", count: 20 << 20)
        let length = try await onThread {
            let connection = try Connection.open(cluster.parameters())
            return try connection.query("SELECT length('\(text)')").integer(0, 0)
        }
        #expect(length == 20 << 20)
    }

    @Test func `a backend that is killed is a lost connection`() async throws {
        let cluster = try await PostgresCluster.start()
        let error = try await onThread { () -> PostgresError? in
            let connection = try Connection.open(cluster.parameters())
            let pid = connection.backendPID
            try cluster.psql("SELECT pg_terminate_backend(\(pid))")
            do throws(PostgresError) {
                // The first may still carry the server's farewell.
                for _ in 0..<2 { try connection.query("SELECT 1") }
                return nil
            } catch {
                return error
            }
        }
        #expect(error?.isTransient == true)
        #expect(error?.sqlState == "57P01" || error?.kind == .connectionLost)
    }
}
