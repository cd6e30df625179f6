// SPDX-License-Identifier: Apache-2.0
//
// What the server refuses, loses or keeps silent about.

import ChangeModel
import LibPQ
import Logging
import Settings
import Support
import Synchronization
import Testing

@testable import BatchJobs

struct ReadingFaultTests {
    @Test func `an error in the job's SQL shows its place`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t (id int, name text); INSERT INTO t VALUES (0, 'x')")
        let cases: [(columns: [String], condition: String?, code: String, excerpt: String)] = [
            (["id", "lenght(name)"], nil, "job.sql", "column 2:\n  lenght(name)\n  ^"),
            (
                ["id", "upper(nam) x"], nil, "job.column_missing",
                "column 2:\n  upper(nam) x\n        ^"
            ),
            (
                ["id"], "id = 1 AND\n nmae = 'x'", "job.column_missing",
                "where:\n   nmae = 'x'\n   ^"
            ),
            (["id"], "id = '中' AND id ~ 1", "job.sql", "where:\n  id = '中' AND id ~ 1\n       ^"),
            (["id"], "id = 1 ORDER BY id", "job.sql", "where:\n  id = 1 ORDER BY id\n         ^"),
            (["id"], "id = 1 /*", "job.sql", "where:\n  id = 1 /*\n         ^"),
        ]
        for item in cases {
            let error = refusal {
                _ = try cluster.read(table: "t", columns: item.columns, where: item.condition)
            }
            #expect(error?.code == item.code, "\(item.columns) \(item.condition ?? "")")
            #expect(error?.exit == .settings, "\(error?.description ?? "")")
            #expect(
                error?.message.hasSuffix("in the reader's " + item.excerpt) == true,
                "\(error?.message ?? "")"
            )
        }
        for query in [
            "SELECT 1; SELECT 2", "SHOW search_path", "DELETE FROM t RETURNING id", "CHECKPOINT",
            "SELECT 1) TO STDOUT; --", "SELECT * INTO u FROM t", "SELECT id FROM t WHERE id = $1",
            "WITH d AS (DELETE FROM t RETURNING id) SELECT * FROM d", "SELECT", ";",
        ] {
            let error = refusal { _ = try cluster.read(.queries([query])) }
            #expect(error?.code == "job.sql", "\(query): \(error?.message ?? "")")
            #expect(error?.exit == .settings, "\(query)")
        }
        let division = refusal { _ = try cluster.read(table: "t", columns: ["1 / id"]) }
        #expect(division?.code == "job.sql")
        #expect(division?.exit == .refused)
        let writing = refusal { _ = try cluster.read(.queries(["SELECT setval('s', 1)"])) }
        #expect(writing?.exit == .settings)
    }

    @Test func `a missing privilege is no matter of the document`() async throws {
        let cluster = try await PostgresCluster.start(authentication: .scram)
        try cluster.psql("CREATE TABLE t (id int); CREATE ROLE reader LOGIN PASSWORD 'x'")
        let tables = Job.PostgreSQLReader.Content.tables(.init(["t"]))
        let server = cluster.readerParameters(user: "reader")
        func code(_ change: (inout ConnectionParameters) -> Void) -> (String?, ExitCode?) {
            var server = server
            server.keywords["host"] = cluster.host
            server.keywords["password"] = "x"
            change(&server)
            let error = refusal {
                let context = JobContext(
                    counters: JobCounters(),
                    report: { _ in },
                    stop: StopSignal(),
                    log: Logger(label: "test")
                )
                let step = Job.PostgreSQLReader(server: .datasource("a"), content: tables)
                _ = try PostgresSource(step, server: server, channels: 1, context: context)
            }
            return (error?.code, error?.exit)
        }
        #expect(code { _ in } == ("job.permission_denied", .prerequisite))
        #expect(code { $0.keywords["password"] = "y" } == ("job.login_refused", .prerequisite))
        #expect(code { $0.keywords["dbname"] = "no" } == ("job.login_refused", .prerequisite))
        #expect(code { $0.keywords["port"] = "1" } == ("job.unreachable", .unreachable))
        #expect(code { $0.keywords["sslmode"] = "require" } == ("job.tls", .prerequisite))
    }

    @Test func `what of the way to the server is not verified is a warning of the job`()
        async throws
    {
        let cluster = try await PostgresCluster.start(
            authentication: .hostssl("trust"),
            tls: .shared()
        )
        try cluster.psql("CREATE TABLE t (id int)")
        var server = cluster.readerParameters()
        server.keywords["host"] = cluster.host
        server.keywords["sslmode"] = "require"
        let context = JobContext(
            counters: JobCounters(),
            report: { _ in },
            stop: StopSignal(),
            log: Logger(label: "test")
        )
        let step = Job.PostgreSQLReader(
            server: .datasource("a"),
            content: .tables(.init(["t"]))
        )
        let source = try PostgresSource(step, server: server, channels: 1, context: context)
        defer { source.close() }
        #expect(
            source.warnings.map { $0.prefix(33) } == [
                "the reader's encryption: TLSv1.3,", "the reader's server certificate: ",
            ]
        )
    }

    @Test func `a locked table is told after a while`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t (id int)")
        let other = try Connection.open(cluster.readerParameters())
        try other.query("BEGIN; LOCK TABLE public.t")
        let error = refusal {
            _ = try cluster.source(.tables(.init(["t"])), lockLimit: .milliseconds(200))
        }
        #expect(error?.code == "job.table_locked")
        #expect(error?.exit == .unreachable)
    }

    @Test func `a server that goes away or falls silent ends the reading`() async throws {
        let cluster = try await PostgresCluster.start()
        let query =
            "SELECT i, pg_sleep(CASE WHEN i > 10 THEN 60 ELSE 0 END) FROM generate_series(1, 20) i"
        let source = try cluster.source(.queries([query]), patience: .milliseconds(500))
        let reader = try source.open(.text)
        let silent = refusal {
            try reader.read(0) { _ in
            } _: { _ in
            }
        }
        #expect(silent?.code == "job.unreachable")
        #expect(silent?.exit == .unreachable)
        source.close()
        for fetchSize in [nil, 1] {
            let again = try cluster.source(.queries([query]), fetchSize: fetchSize)
            let lost = try again.open(.text)
            let killer = WritingClient(cluster, seconds: 20, perSecond: 5) { _ in
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'reading' AND state = 'active';
                """
            }
            let gone = refusal {
                try lost.read(0) { _ in
                } _: { _ in
                }
            }
            killer.stop()
            // What it still has to say would end the next round's session before its time.
            try await killer.wait(.seconds(90))
            #expect(gone?.code == "job.unreachable")
            #expect(gone?.isTransient == true)
        }
        let left =
            "SELECT count(*) FROM pg_stat_activity "
            + "WHERE application_name = 'reading' AND state = 'active'"
        #expect(try cluster.psql(left) == "0")
    }

    @Test func `a request to stop ends every wait`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t AS SELECT generate_series(1, 10) i")
        let query = "SELECT pg_sleep(60)"
        for fetchSize in [nil, 1] {
            let stop = StopSignal()
            let source = try cluster.source(.queries([query]), fetchSize: fetchSize, stop: stop)
            let reader = try source.open(.text)
            startThread(named: "stop") {
                StopSignal().sleep(for: .milliseconds(200))
                stop.request()
            }
            #expect(
                refusal {
                    try reader.read(0) { _ in
                    } _: { _ in
                    }
                }?.code == "job.killed"
            )
        }
        let other = try Connection.open(cluster.readerParameters())
        try other.query("BEGIN; LOCK TABLE public.t")
        let stop = StopSignal()
        startThread(named: "stop") {
            StopSignal().sleep(for: .milliseconds(200))
            stop.request()
        }
        let error = refusal { _ = try cluster.source(.tables(.init(["t"])), stop: stop) }
        #expect(error?.code == "job.killed")
    }

    @Test func `what the writer throws comes back as it is`() async throws {
        struct Enough: Error {}
        let cluster = try await PostgresCluster.start()
        let query = "SELECT i FROM generate_series(1, 1000000) i"
        for (fetchSize, format) in [(nil, CopyFormat.text), (nil, .binary), (50, .text)] {
            let source = try cluster.source(.queries([query]), fetchSize: fetchSize)
            let reader = try source.open(format)
            var count = 0
            #expect(throws: Enough.self) {
                try reader.read(0) { _ in
                } _: { _ in
                    count += 1
                    if count == 100 { throw Enough() }
                }
            }
            #expect(count == 100)
        }
    }

    @Test func `a lost snapshot says so`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t (id int)")
        let source = try cluster.source(.tables(.init(["t"])))
        source.close()
        try await eventually("the end of the keeper") {
            refusal { _ = try source.open(.text) }?.code == "job.snapshot_lost"
        }
    }
}
