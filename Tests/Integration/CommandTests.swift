// SPDX-License-Identifier: Apache-2.0
//
// The commands beside check and run on real servers: what they drop, what they leave, and what
// they refuse. Each test has a cluster of its own where it drops slots: none sees the others'.

import Foundation
import Support
import Testing

/// A cluster with slots and publications of tasks, and the commands against it.
private struct Bench {
    let cluster: PostgresCluster
    let directory: TemporaryDirectory

    init(_ version: PostgresVersion = .v15) async throws {
        cluster = try await PostgresCluster.start(version: version)
        directory = try TemporaryDirectory()
        try cluster.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    }

    func makeSlots(_ names: String...) throws {
        for name in names {
            try cluster.psql("SELECT pg_create_logical_replication_slot('\(name)', 'pgoutput')")
        }
    }

    /// Fills WAL so that the slots hold back more than 1 MiB.
    func writeWAL() throws {
        try cluster.psql(
            "CREATE TABLE w AS SELECT repeat('x', 1000) FROM generate_series(1, 3000);"
                + "SELECT pg_switch_wal()"
        )
    }

    var slots: [String] {
        get throws {
            try cluster.psql("SELECT slot_name FROM pg_replication_slots ORDER BY 1")
                .split(separator: "\n").map(String.init)
        }
    }

    var publications: [String] {
        get throws {
            try cluster.psql("SELECT pubname FROM pg_publication ORDER BY 1")
                .split(separator: "\n").map(String.init)
        }
    }

    func walrelay(_ arguments: String...) async throws -> ProcessOutput {
        try await onThread {
            try runProcess(DaemonProcess.executable, arguments)
        }
    }

    func drop(_ arguments: String...) async throws -> ProcessOutput {
        let all = ["slots", "drop", "--conninfo", cluster.conninfo()] + arguments
        return try await onThread { try runProcess(DaemonProcess.executable, all) }
    }

    /// Writes settings of task orders; the sink's directory is `events`.
    func settings(port: Int) throws -> String {
        try directory.write(
            """
            task: orders
            source:
              host: \(cluster.host)
              port: \(cluster.port)
              database: postgres
              user: postgres
            tables: { include: [public.t] }
            sink: { kind: ndjson, ndjson: { directory: events } }
            http: { listen: "127.0.0.1:\(port)" }
            """,
            to: "orders.yaml"
        )
    }
}

@Suite struct SlotsCommandTests {
    @Test(arguments: PostgresCluster.availableVersions)
    func `list shows walrelay's slots, and all on request`(version: PostgresVersion) async throws {
        let bench = try await Bench(version)
        try bench.makeSlots("di_slot_orders", "di_slot_old", "debezium")
        try bench.cluster.psql(
            "SELECT pg_create_physical_replication_slot('di_slot_physical');"
                + "CREATE PUBLICATION di_pub_orders FOR TABLE t"
        )
        let conninfo = bench.cluster.conninfo()
        let text = try await bench.walrelay("slots", "list", "--conninfo", conninfo)
        #expect(text.status == .code(0))
        #expect(text.stderr == "")
        let lines = text.stdout.split(separator: "\n")
        #expect(
            lines.map { $0.prefix(while: { $0 != " " }) } == [
                "SLOT", "di_slot_orders", "di_slot_old", "2",
            ]
        )
        #expect(lines[1].hasSuffix("di_pub_orders"))
        #expect(lines[2].hasSuffix("none"))
        #expect(lines[1].contains("inactive for") == (version >= .v17))

        let all = try await bench.walrelay(
            "slots",
            "list",
            "--all",
            "--json",
            "--conninfo",
            conninfo
        )
        let object = try JSONSerialization.jsonObject(with: Data(all.stdout.utf8))
        let slots = try #require(object as? [[String: Any]])
        // The one that was made first holds back most.
        #expect(
            slots.map { $0["slot"] as? String } == ["di_slot_orders", "di_slot_old", "debezium"]
        )
        #expect(slots.map { $0["task"] as? String } == ["orders", "old", nil])
        #expect(slots[0]["publication"] as? String == "di_pub_orders")
        let retained = slots.compactMap { $0["retainedBytes"] as? Int }
        #expect(retained.count == 3 && retained == retained.sorted(by: >))
        #expect((slots[0]["walStatus"] as? String) == (version < .v13 ? nil : "reserved"))
        for key in ["inactiveSince", "failover", "synced"] {
            #expect((slots[0][key] is NSNull) == (version < .v17), "\(key)")
        }
    }

    @Test(arguments: [.v11, .v15, .v17].filter(\PostgresVersion.isAvailable))
    func `drop takes the named slots, a dry run nothing`(version: PostgresVersion) async throws {
        let bench = try await Bench(version)
        try bench.makeSlots("di_slot_orders", "di_slot_old", "debezium")
        try bench.cluster.psql(
            "CREATE PUBLICATION di_pub_old FOR TABLE t; CREATE PUBLICATION di_pub_orders FOR TABLE t"
        )
        let before = try bench.slots
        let dry = try await bench.drop("old", "--publications", "--dry-run")
        #expect(dry.status == .code(0))
        #expect(dry.stdout.hasPrefix("drop  di_slot_old + di_pub_old  inactive"))
        #expect(try bench.slots == before)
        #expect(try bench.publications == ["di_pub_old", "di_pub_orders"])

        let done = try await bench.drop("old", "orders", "--yes")
        #expect(done.status == .code(0))
        #expect(done.stdout.contains("dropped slot di_slot_old\ndropped slot di_slot_orders\n"))
        #expect(try bench.slots == ["debezium"])
        #expect(try bench.publications == ["di_pub_old", "di_pub_orders"])

        let left = try await bench.drop("old", "--publications", "--yes")
        #expect(left.status == .code(0))
        #expect(try bench.publications == ["di_pub_orders"])
        #expect(try await bench.drop("old", "--yes").status == .code(64))
    }

    @Test func `where nobody can be asked nothing is dropped without --yes`() async throws {
        let bench = try await Bench()
        try bench.makeSlots("di_slot_old")
        let output = try await bench.drop("old")
        #expect(output.status == .code(64))
        #expect(output.stderr.contains("[confirmation.needed]"))
        #expect(try bench.slots == ["di_slot_old"])
    }

    @Test func `a slot in use is never dropped`() async throws {
        let bench = try await Bench()
        try bench.makeSlots("di_slot_busy", "di_slot_idle")
        try bench.cluster.psql("CREATE PUBLICATION di_pub_busy FOR TABLE t")
        let reader = try bench.cluster.spawn(
            "pg_recvlogical",
            [
                "-d", "postgres", "--slot", "di_slot_busy", "--start", "-f", "/dev/null",
                "-o", "proto_version=1", "-o", "publication_names=di_pub_busy",
            ]
        )
        defer { reader.signal(SIGKILL) }
        try await eventually("the slot is in use") {
            try bench.cluster.psql(
                "SELECT active FROM pg_replication_slots WHERE slot_name = 'di_slot_busy'"
            ) == "t"
        }
        try bench.writeWAL()
        let named = try await bench.drop("idle", "busy", "--yes")
        #expect(named.status == .code(77))
        #expect(named.stderr.contains("[slot.active]"))
        #expect(try bench.slots == ["di_slot_busy", "di_slot_idle"])

        let stale = try await bench.drop("--stale", "--retained-more-than", "1MiB", "--yes")
        #expect(stale.status == .code(0))
        #expect(stale.stdout.contains("keep  di_slot_busy  in use by pid "))
        #expect(try bench.slots == ["di_slot_busy"])
    }

    @Test(arguments: [.v11, .v15].filter(\PostgresVersion.isAvailable))
    func `below 17 the WAL decides what is stale`(version: PostgresVersion) async throws {
        let bench = try await Bench(version)
        try bench.makeSlots("di_slot_old", "debezium")
        try bench.writeWAL()
        try bench.makeSlots("di_slot_young")
        try bench.cluster.psql("CREATE PUBLICATION di_pub_old FOR TABLE t")
        let vague = try await bench.drop("--stale", "--yes")
        #expect(vague.status == .code(64))
        #expect(vague.stderr.contains("[slots.bound_needed]"))
        #expect(vague.stderr.contains("--retained-more-than"))

        let output = try await bench.drop(
            "--stale",
            "--retained-more-than",
            "1MiB",
            "--publications",
            "--yes"
        )
        #expect(output.status == .code(0))
        #expect(output.stdout.contains("keep  di_slot_young "))
        #expect(output.stdout.contains("not more than 1 MiB"))
        #expect(output.stdout.contains("keep  debezium                  not one of walrelay's"))
        #expect(try bench.slots == ["debezium", "di_slot_young"])
        #expect(try bench.publications == [])
    }

    @Test(.enabled(if: PostgresVersion.v17.isAvailable))
    func `from 17 on the age decides, a day unless it is given`() async throws {
        let bench = try await Bench(.v17)
        try bench.makeSlots("di_slot_old")
        let young = try await bench.drop("--stale", "--yes")
        #expect(young.status == .code(0))
        #expect(young.stdout.contains("less than 1 d\nNothing to drop.\n"))
        #expect(try bench.slots == ["di_slot_old"])
        try await eventually("a second has passed") {
            try await bench.drop("--stale", "--older-than", "1s", "--dry-run")
                .stdout.hasPrefix("drop")
        }
        let both = try await bench.drop(
            "--stale",
            "--older-than",
            "1s",
            "--retained-more-than",
            "1GiB",
            "--yes"
        )
        #expect(both.stdout.contains("not more than 1 GiB"))
        #expect(try bench.slots == ["di_slot_old"])
        #expect(try await bench.drop("--stale", "--older-than", "1s", "--yes").status == .code(0))
        #expect(try bench.slots == [])
    }

    @Test func `a slot of another database is dropped, its publication stays`() async throws {
        let bench = try await Bench()
        try bench.cluster.createDatabase("crm")
        try bench.cluster.psql(
            """
            CREATE PUBLICATION di_pub_old;
            SELECT pg_create_logical_replication_slot('di_slot_old', 'pgoutput')
            """,
            database: "crm"
        )
        try bench.cluster.psql("CREATE PUBLICATION di_pub_old")
        let output = try await bench.drop("old", "--publications", "--yes")
        #expect(output.status == .code(0))
        #expect(output.stdout.contains("its publication is in database crm and stays"))
        #expect(try bench.slots == [])
        #expect(try bench.publications == ["di_pub_old"])
    }

    @Test func `wrong usage is 64, an unreachable server 75`() async throws {
        let bench = try await Bench()
        #expect(try await bench.drop().status == .code(64))
        #expect(try await bench.drop("a", "--stale", "--yes").status == .code(64))
        #expect(try await bench.drop("a", "--older-than", "1h", "--yes").status == .code(64))
        #expect(try await bench.drop("--stale", "--older-than", "1x").status == .code(64))
        #expect(try await bench.walrelay("slots", "list").status == .code(64))
        let port = try FreePort.find()
        let gone = "host=127.0.0.1 port=\(port) user=postgres dbname=postgres"
        #expect(try await bench.walrelay("slots", "list", "--conninfo", gone).status == .code(75))
    }
}

@Suite struct TeardownCommandTests {
    @Test(arguments: [.v11, .v15, .v17].filter(\PostgresVersion.isAvailable))
    func `teardown takes all but the data, and a new run begins anew`(
        version: PostgresVersion
    ) async throws {
        let bench = try await Bench(version)
        let config = try bench.settings(port: try FreePort.find())
        let events = NDJSONReader(bench.directory.file("events"), extent: .everything)
        let daemon = try DaemonProcess(["run", "--config", config, "--until", "now"])
        #expect(try await daemon.wait() == .code(0))
        #expect(try events.count() == 1)
        try bench.cluster.psql("SELECT pg_create_logical_replication_slot('debezium', 'pgoutput')")

        let unasked = try await bench.walrelay("teardown", "--config", config)
        #expect(unasked.status == .code(64))
        #expect(try bench.slots == ["debezium", "di_slot_orders"])

        let output = try await bench.walrelay("teardown", "--config", config, "--yes")
        #expect(output.status == .code(0))
        #expect(
            output.stdout == """
                dropped slot di_slot_orders
                dropped checkpoint of the sink
                dropped publication di_pub_orders

                """
        )
        #expect(try bench.slots == ["debezium"])
        #expect(try bench.publications == [])
        let files = try FileManager.default.contentsOfDirectory(
            atPath: bench.directory.file("events")
        )
        #expect(!files.contains("checkpoint.json"))
        #expect(try events.count() == 1)

        let again = try await bench.walrelay("teardown", "--config", config, "--yes")
        #expect(again.status == .code(0))
        #expect(again.stdout.hasPrefix("there was no slot di_slot_orders\n"))

        let anew = try DaemonProcess(["run", "--config", config, "--until", "now"])
        #expect(try await anew.wait() == .code(0))
        #expect(try events.count() == 2)
    }

    @Test func `a running task is not torn down, and its status is shown`() async throws {
        let bench = try await Bench()
        let port = try FreePort.find()
        let config = try bench.settings(port: port)
        let before = try await bench.walrelay("status", "--config", config)
        #expect(before.status == .code(75))
        #expect(before.stderr.contains("Task orders is not running"))

        let daemon = try DaemonProcess(["run", "--config", config])
        try await daemon.until {
            try await bench.walrelay("status", "--config", config)
                .stdout.hasPrefix("task         orders, streaming\n")
        }
        let json = try await bench.walrelay("status", "--json", "--url", "http://127.0.0.1:\(port)")
        let object = try JSONSerialization.jsonObject(with: Data(json.stdout.utf8))
        #expect((object as? [String: Any])?["task"] as? String == "orders")
        #expect(json.stdout.hasSuffix("}\n"))

        let proxied = try DaemonProcess(
            ["status", "--config", config],
            environment: ["http_proxy": "http://127.0.0.1:9"]
        )
        #expect(try await proxied.wait() == .code(0))

        let output = try await bench.walrelay("teardown", "--config", config, "--yes")
        #expect(output.status == .code(77))
        #expect(output.stderr.contains("[slot.active]"))
        #expect(try bench.slots == ["di_slot_orders"])
        #expect(try bench.publications == ["di_pub_orders"])

        let other = try String(contentsOfFile: config, encoding: .utf8)
            .replacingOccurrences(of: "task: orders", with: "task: billing")
        let stranger = try bench.directory.write(other, to: "billing.yaml")
        let mistaken = try await bench.walrelay("status", "--config", stranger)
        #expect(mistaken.status == .code(75))
        #expect(mistaken.stderr.contains("task orders answers"))
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `another task's checkpoint stops a teardown before anything is dropped`()
        async throws
    {
        let bench = try await Bench()
        let config = try bench.settings(port: try FreePort.find())
        let daemon = try DaemonProcess(["run", "--config", config, "--until", "now"])
        #expect(try await daemon.wait() == .code(0))
        try bench.makeSlots("di_slot_billing")
        let other = try String(contentsOfFile: config, encoding: .utf8)
            .replacingOccurrences(of: "task: orders", with: "task: billing")
        let stranger = try bench.directory.write(other, to: "billing.yaml")
        let output = try await bench.walrelay("teardown", "--config", stranger, "--yes")
        #expect(output.status == .code(74))
        #expect(try bench.slots == ["di_slot_billing", "di_slot_orders"])
        let files = try FileManager.default.contentsOfDirectory(
            atPath: bench.directory.file("events")
        )
        #expect(files.contains("checkpoint.json"))
    }
}
