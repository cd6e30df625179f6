// SPDX-License-Identifier: Apache-2.0
//
// Several tables that come into a running task at once, of every form: with a key, partitioned,
// and without any key; copied once more into topics; and what flows while a copy takes its time.
import Foundation
import Glibc
import Support
import Testing

/// What these tests begin with, and what is written meanwhile.
enum AdditionForms {
    static let tables =
        AdditionLoad.tables + """
            CREATE TABLE p (id int, day int, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
            CREATE TABLE p_early PARTITION OF p FOR VALUES FROM (0) TO (50);
            CREATE TABLE p_late PARTITION OF p FOR VALUES FROM (50) TO (100);
            INSERT INTO p SELECT i, i % 100, 'p' FROM generate_series(1, 5000) i;
            CREATE TABLE q (n int, v text);
            ALTER TABLE q REPLICA IDENTITY FULL;
            INSERT INTO q SELECT i, 'q' FROM generate_series(1, 3000) i;
            """

    static let keys = AdditionLoad.keys.merging(["public.p": ["id", "day"], "public.q": []]) {
        $1
    }

    /// Rows go from one partition to the other; rows without a key change, come and go.
    static func change(_ number: Int) -> String {
        let new = 100_000 + number
        return AdditionLoad.change(number) + """
            BEGIN;
            UPDATE p SET v = 'u\(number)', day = (day + 37) % 100 WHERE id % 500 = \(number % 500);
            UPDATE q SET v = 'u\(number)' WHERE n % 300 = \(number % 300);
            INSERT INTO p VALUES (\(new), \(number % 100), 'new') ON CONFLICT DO NOTHING;
            COMMIT;
            DELETE FROM q WHERE n = \(number * 13 % 3000);
            INSERT INTO q SELECT \(new), 'new' WHERE NOT EXISTS (SELECT FROM q WHERE n = \(new));
            """
    }

    static let all = ["public.a", "public.b", "public.p", "public.q"]
    static let added = ["public.b", "public.p", "public.q"]
}

extension Changeover {
    @Suite(.serialized) struct AdditionFormsTests {
        private static func load(_ cluster: PostgresCluster, database: String) -> WritingClient {
            WritingClient(cluster, database: database, seconds: 90, perSecond: 40) {
                AdditionForms.change($0)
            }
        }

        private static func wait(
            for tables: [String] = AdditionForms.added,
            of daemon: DaemonProcess
        ) async throws {
            try await daemon.until(.seconds(90), "all tables are added") {
                let lines = daemon.stderr.split(separator: "\n").filter { $0.contains("added ") }
                return tables.allSatisfy { table in lines.contains { $0.contains(table) } }
            }
        }

        /// Has the tables come into a task of the first one under load, and all of it be written.
        private static func addAll(
            to task: RelayTask,
            database: String = "postgres"
        ) async throws {
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            let load = Self.load(task.cluster, database: database)
            try task.reload(daemon, include: AdditionForms.all)
            try await Self.wait(of: daemon)
            load.stop()
            try await load.wait(.seconds(90))
            #expect(load.errors == [:])
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
        }

        @Test(.timeLimit(.minutes(4)))
        func `tables of every form come into the files at once`() async throws {
            let cluster = try await PostgresCluster.start()
            try cluster.psql(AdditionForms.tables)
            let task = try RelayTask(cluster, tables: ["public.a"])
            try await Self.addAll(to: task)
            #expect(try await task.differences(AdditionForms.keys) == [])
            #expect(try task.copies(of: "public.b") == 1)
            #expect(try task.copies(of: "public.p") == 1)
        }

        @Test(.timeLimit(.minutes(4)))
        func `tables of every form come into a copy at once`() async throws {
            let shared = try await CopyTask.sharing("add_forms", sql: AdditionForms.tables)
            let task = try shared.with(tables: ["public.a"])
            try await Self.addAll(to: task.relay, database: task.database)
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(
            .timeLimit(.minutes(3)),
            .enabled(if: TestKnob.hasFailpoints, "it needs a slow copy")
        )
        func `other tables flow while a copy takes its time`() async throws {
            let cluster = try await PostgresCluster.start()
            try cluster.psql(AdditionForms.tables)
            let task = try RelayTask(
                cluster,
                tables: ["public.a"],
                more: "batch: { rows: 2000 }"
            )
            let daemon = try task.start(pause: "addition.before_write=1s")
            try await task.waitForPhase("streaming", of: daemon)
            try task.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("copying public.b")
            for id in 1_001...1_003 {
                try cluster.psql("INSERT INTO a VALUES (\(id), 'while')")
                try await daemon.until(.seconds(20), "\(id) is durable") {
                    try task.events.events().contains {
                        $0.table == "public.a" && $0.after?["id"]?.text == "\(id)"
                    }
                }
            }
            #expect(!daemon.stderr.contains("added public.b"), "the copy was too quick to tell")
            // What comes behind a change of the table itself waits for the copy.
            try cluster.psql("UPDATE b SET v = 'later' WHERE id = 1")
            try cluster.psql("INSERT INTO a VALUES (1004, 'behind')")
            try await daemon.waitForLog("added public.b")
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences(AdditionLoad.keys) == [])
        }

        @Test(
            .timeLimit(.minutes(5)),
            .enabled(if: KafkaBroker.isAvailable && TestKnob.hasFailpoints, "no broker here"),
            arguments: [nil, "addition.before_write:3", "addition.before_commit"] as [String?]
        )
        func `a table of topics is copied once more, also after a death`(
            point: String?
        ) async throws {
            let name = "again_topics_" + (point?.filter(\.isLetter).suffix(6) ?? "none")
            let task = try await KafkaTask.sharing(name.lowercased(), sql: AdditionForms.tables)
            try await task.runUntilNow()
            var daemon = try task.start(failpoint: point)
            try await task.relay.waitForPhase("streaming", of: daemon)
            let load = Self.load(task.relay.cluster, database: task.database)
            let asked = try await task.run("snapshot", ["public.b", "public.p"])
            #expect(asked.status == .code(0), "\(asked.stderr)")
            if point != nil {
                #expect(try await daemon.wait() == .signal(SIGKILL))
                daemon = try task.start()
            }
            try await Self.wait(for: ["public.b", "public.p"], of: daemon)
            load.stop()
            try await load.wait(.seconds(90))
            try await task.waitUntilDurable(daemon)
            #expect(try await daemon.stop() == .code(0))
            #expect(try await task.differences(AdditionForms.keys, isInterrupted: true) == [])
            try await task.end()
        }
    }
}
