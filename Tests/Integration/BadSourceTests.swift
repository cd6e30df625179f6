// SPDX-License-Identifier: Apache-2.0
//
// A source whose tables, slot or publication are not what the task needs. A refusal leaves the
// server as it was; a slot that somebody holds stays theirs; and what a publication left out is
// never passed over in silence.
import Foundation
import Glibc
import Support
import Testing

struct BadSourceTests {
    // MARK: Tables

    @Test
    func `a table that does not exist is told with those it may mean`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("t_missing")
        task.tables = ["public.oders", "sales.orders"]
        try await task.run().expectRefusal(
            77,
            "table.missing",
            "public.oders: does not exist; there is public.orders",
            "sales.orders: does not exist; there is public.orders"
        )
        try await task.expectNothingLeft(on: cluster)
        task.tables = ["sales.*"]
        try await task.run().expectRefusal(77, "tables.none")
        try await task.expectNothingLeft(on: cluster)
    }

    @Test
    func `tables that cannot be replicated are each told with what mends them`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("t_unfit")
        try cluster.psql(
            """
            CREATE VIEW seen AS SELECT * FROM orders;
            CREATE UNLOGGED TABLE fast (id int PRIMARY KEY);
            CREATE TABLE keyless (id int);
            """,
            database: task.database
        )
        task.tables = ["public.orders", "public.seen", "public.fast", "public.keyless"]
        try await task.run().expectRefusal(
            77,
            "table.view",
            "public.seen: is a view",
            "public.fast: is an unlogged table",
            "ALTER TABLE \"public\".\"fast\" SET LOGGED;",
            "public.keyless: has no primary key",
            "ALTER TABLE \"public\".\"keyless\" REPLICA IDENTITY FULL;"
        )
        try await task.expectNothingLeft(on: cluster)
        task.tables = ["public.keyless"]
        try await task.run().expectRefusal(
            77,
            "table.identity_missing",
            "public.keyless: has no primary key",
            "try: ALTER TABLE \"public\".\"keyless\" REPLICA IDENTITY FULL;"
        )
        try await task.expectNothingLeft(on: cluster)
    }

    // MARK: Slots

    @Test
    func `a slot of another plugin or database is left alone`() async throws {
        let (task, cluster) = try await SharedCluster.trusting.task("s_plugin")
        let create = "SELECT 1 FROM pg_create_logical_replication_slot('\(task.slot)', "
        let drop = "SELECT pg_drop_replication_slot('\(task.slot)')"
        try cluster.psql("\(create)'test_decoding')", database: task.database)
        try await task.run().expectRefusal(
            77,
            "slot.plugin",
            "slot \(task.slot): its output plugin is test_decoding, not pgoutput",
            "try: SELECT pg_drop_replication_slot('\(task.slot)');"
        )
        #expect(try task.objects(on: cluster) == "slot \(task.slot)")
        try cluster.psql("\(drop); \(create)'pgoutput')")
        try await task.run().expectRefusal(
            77,
            "slot.database",
            "slot \(task.slot): it belongs to database postgres, not s_plugin"
        )
        #expect(try task.objects(on: cluster) == "slot \(task.slot)")
        #expect(!FileManager.default.fileExists(atPath: "\(task.sinkDirectory)/checkpoint.json"))
    }

    @Test
    func `a second run waits for the task, gives up, and does not harm the first`() async throws {
        let (task, cluster) = try await SharedCluster.trusting.task("s_held")
        let first = try await task.stream()
        var second = try OddTask("s_held", on: cluster)
        second.database = task.database
        second.retry = "2s"
        // One that begins anew, and one whose checkpoint is a copy of the first's.
        let once = ["--until", "now"]
        try await second.run("run", once).expectRefusal(75, "task.in_use", "(pid ")
        #expect(!FileManager.default.fileExists(atPath: second.sinkDirectory))
        try FileManager.default.copyItem(
            atPath: task.sinkDirectory,
            toPath: second.files.file("copy")
        )
        second.sinkDirectory = second.files.file("copy")
        try await second.run("run", once).expectRefusal(75, "task.in_use", "tried for 2")
        try cluster.psql("INSERT INTO orders VALUES (3, 'three')", database: task.database)
        try await first.until(.seconds(60), "the new row") { try task.ids() == ["1", "2", "3"] }
        #expect(try await task.outcome(of: first.stopped()).status == .code(0))
        try await task.catchUp()
    }

    @Test
    func `a slot that was lost to the server's limit is told`() async throws {
        let cluster = try await PostgresCluster.start(
            settings: [
                "max_slot_wal_keep_size": "1MB", "wal_keep_size": "0",
            ]
        )
        try cluster.psql(SharedCluster.orders)
        let task = try OddTask("s_lost", on: cluster)
        try await task.catchUp()
        for _ in 0..<3 {
            try cluster.psql("CREATE TABLE w AS SELECT 1; DROP TABLE w; SELECT pg_switch_wal()")
        }
        try cluster.psql("CHECKPOINT")
        #expect(try task.slot("wal_status", on: cluster) == "lost")
        try await task.run().expectRefusal(74, "slot.wal_lost", task.slot, "new snapshot")
        #expect(try task.ids() == ["1", "2"])
    }

    // MARK: Publications

    @Test(arguments: [PostgresVersion.v15, .v18].filter(\.isAvailable))
    func `a publication that was dropped while the task was stopped is told`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql(SharedCluster.orders)
        let task = try OddTask("p_dropped", on: cluster)
        try await task.catchUp()
        try cluster.psql(
            "DROP PUBLICATION \(task.publication); INSERT INTO orders VALUES (3)",
            database: task.database
        )
        try await task.run().expectRefusal(74, "publication.missing", task.publication)
        // Making it again does not bring back what was written meanwhile.
        try cluster.psql(
            "CREATE PUBLICATION \(task.publication) FOR TABLE ONLY orders "
                + "WITH (publish_via_partition_root); INSERT INTO orders VALUES (4)",
            database: task.database
        )
        try await task.run().expectRefusal(74, "publication.remade", task.publication)
        #expect(try task.ids() == ["1", "2"])
    }

    @Test
    func `a publication that lost a table while the task was stopped is told`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("p_altered")
        try cluster.psql("CREATE TABLE more (id int PRIMARY KEY)", database: task.database)
        task.tables = ["public.orders", "public.more"]
        try await task.catchUp()
        try cluster.psql(
            "ALTER PUBLICATION \(task.publication) DROP TABLE more; INSERT INTO more VALUES (1)",
            database: task.database
        )
        let statement = "ALTER PUBLICATION \"\(task.publication)\" SET TABLE ONLY "
        for _ in 0..<2 {
            try await task.run().expectRefusal(
                74,
                "publication.gap",
                task.publication,
                "it lacks public.more",
                statement
            )
        }
        // The operator's decision, in the words of the message.
        try cluster.psql(
            "ALTER PUBLICATION \(task.publication) ADD TABLE ONLY more; "
                + "INSERT INTO more VALUES (2)",
            database: task.database
        )
        try await task.catchUp()
        #expect(try task.ids(of: "public.more") == ["2"])
    }

    @Test(arguments: [PostgresVersion.v15, .v18].filter(\.isAvailable))
    func `a publication that is altered under a running task is told`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        try cluster.psql("\(SharedCluster.orders) CREATE TABLE more (id int PRIMARY KEY)")
        var task = try OddTask("p_running", on: cluster)
        task.tables = ["public.orders", "public.more"]
        let first = try await task.stream()
        try cluster.psql("ALTER PUBLICATION \(task.publication) DROP TABLE more")
        try await task.outcome(of: first).expectRefusal(
            74,
            "publication.gap",
            "does not publish public.more any more",
            "between "
        )
        try cluster.psql("ALTER PUBLICATION \(task.publication) ADD TABLE ONLY more")
        let second = try await task.stream()
        try cluster.psql("DROP PUBLICATION \(task.publication); INSERT INTO orders VALUES (3)")
        try await task.outcome(of: second).expectRefusal(
            74,
            "publication.missing",
            task.publication
        )
    }
}

extension DaemonProcess {
    /// Itself, after SIGTERM.
    func stopped() -> DaemonProcess {
        kill(SIGTERM)
        return self
    }
}
