// SPDX-License-Identifier: Apache-2.0
//
// Changes of a table's shape: followed where nothing can go wrong, otherwise refused before their
// transaction, by name; then the operator decides and the task goes on with nothing lost or
// doubled. Each case once while the daemon runs and once while it is stopped.
import Foundation
import Support
import Testing

@Suite(.serialized)
struct DDLTests {
    /// Small batches, so that the refused transaction has been written in part when it is refused.
    private static func settings(_ moment: Moment, stream: String = "") -> String {
        (moment == .running ? "batch: { rows: 20, delay: 0ms }\n" : "") + stream
    }

    /// Brings `change` between the snapshot and the end of a daemon, which it gives.
    private func meet(
        _ change: String,
        _ moment: Moment,
        _ task: DatabaseTask
    ) async throws -> DaemonProcess {
        switch moment {
        case .running:
            let daemon = try await task.startStreaming()
            try await task.sql(change)
            return daemon
        case .stopped:
            try await task.runToNow()
            try await task.sql(change)
            return try task.start()
        }
    }

    /// The position that the refusal names, after checking that it is one.
    private func refusal(
        of daemon: DaemonProcess,
        says: [String]
    ) async throws -> (text: String, lsn: UInt64) {
        #expect(try await daemon.wait() == .code(65), "\(daemon.stderr)")
        for part in says {
            #expect(daemon.stderr.contains(part), "\(part) is missing in:\n\(daemon.stderr)")
        }
        let found = daemon.stderr.firstMatch(of: #/(?:commits|noticed) at ([0-9A-F]+/[0-9A-F]+)/#)
        let text = String(try #require(found, "no position in:\n\(daemon.stderr)").1)
        let halves = text.split(separator: "/").compactMap { UInt64($0, radix: 16) }
        return (text, halves[0] << 32 | halves[1])
    }

    @Test(arguments: DDLCase.all, Moment.allCases)
    func `a change that cannot be followed stops before its transaction`(
        example: DDLCase,
        moment: Moment
    ) async throws {
        let name = "\(example.name)_\(moment)"
        let task = try await DatabaseTask(name, on: VersionClusters.all.cluster())
        try await task.sql(DDLCase.tables + example.setup)
        try task.write(more: Self.settings(moment))
        let change = DDLCase.before + DDLCase.transaction(example.change)
        let first = try await refusal(
            of: meet(change, moment, task),
            says: example.says + ["public.t", "acceptDDL"]
        )
        let events = try task.reader.events()
        #expect(events.allSatisfy { ($0.commitLSN ?? 0) < first.lsn })
        #expect(events.count(where: { $0.after?["id"]?.text == "100" }) == 2)

        let again = try await refusal(of: task.start(), says: example.says)
        #expect(again.lsn == first.lsn)
        #expect(try task.reader.count() == events.count)

        try task.write(
            more: Self.settings(moment, stream: "stream: { acceptDDL: \"\(first.text)\" }")
        )
        try await task.runToNow()
        #expect(try task.tables(keys: DDLCase.keys).tables["public.t"]?.rows.count == 121)
        // The position is behind: the task needs the decision no longer.
        try task.write(more: Self.settings(moment))
        try await task.sql("UPDATE t SET c = c || '!'; DELETE FROM other WHERE id = 1")
        try await task.runToNow()
        #expect(try await task.differences(keys: DDLCase.keys) == [])
        try await task.end()
    }

    @Test(
        arguments: [
            "plain": "ALTER TABLE t ADD COLUMN d int",
            "constant": "ALTER TABLE t ADD COLUMN d text DEFAULT 'x' NOT NULL",
            "volatile": "ALTER TABLE t ADD COLUMN d uuid DEFAULT gen_random_uuid()",
            "own_type": "CREATE DOMAIN whole AS int; ALTER TABLE t ADD COLUMN d whole DEFAULT 7",
            "under_full": "ALTER TABLE t ADD COLUMN d int DEFAULT 1",
        ].sorted { $0.key < $1.key },
        Moment.allCases
    )
    func `an added column is followed`(
        example: (key: String, value: String),
        moment: Moment
    ) async throws {
        let name = "add_\(example.key)_\(moment)"
        let task = try await DatabaseTask(name, on: VersionClusters.all.cluster())
        let isFull = example.key == "under_full"
        try await task.sql(
            DDLCase.tables + (isFull ? "ALTER TABLE t REPLICA IDENTITY FULL" : "")
        )
        try task.write(more: Self.settings(moment))
        let change = DDLCase.before + DDLCase.transaction(example.value)
        let daemon = try await meet(change, moment, task)
        try await daemon.waitForLog(#"public.t has new columns from"#)
        #expect(try await daemon.stop() == .code(0))
        try await task.runToNow()
        let events = try task.reader.events().filter { $0.table == "public.t" }
        for event in events where event.after?["c"] == .string("early") {
            #expect(event.after?["d"] == nil)
        }
        let late = try #require(events.first { $0.after?["c"] == .string("late") })
        #expect(late.after?["d"] != nil)
        try await task.sql("UPDATE t SET c = c || '!'; DELETE FROM t WHERE id = 3")
        #expect(!(try await task.runToNow()).contains("new columns"))
        #expect(try await task.differences(keys: DDLCase.keys) == [])
        try await task.end()
    }

    @Test(arguments: PostgresCluster.availableVersions.filter { $0 != .v15 })
    func `each server version says enough to refuse and to go on`(
        version: PostgresVersion
    ) async throws {
        let task = try await DatabaseTask("ddl_versions", on: VersionClusters.all.cluster(version))
        try await task.sql(DDLCase.tables)
        try task.write()
        try await task.runToNow()
        // Each in a transaction of its own, met one after another.
        let cases = ["retype_int", "retype_varchar", "other_primary_key", "drop_column"]
            .compactMap { name in DDLCase.all.first { $0.name == name } }
        for example in cases {
            try await task.sql("\(example.change); UPDATE t SET c = 'x' WHERE id < 5;")
        }
        var accepted: [String] = []
        for example in cases {
            let found = try await refusal(of: task.start(), says: example.says + ["acceptDDL"])
            accepted.append("\"\(found.text)\"")
            try task.write(more: "stream: { acceptDDL: [\(accepted.joined(separator: ", "))] }")
        }
        try await task.runToNow()
        try await task.sql("UPDATE t SET c = c || '!'; DELETE FROM other WHERE id = 1")
        try await task.runToNow()
        #expect(try await task.differences(keys: DDLCase.keys) == [])
        try await task.end()
    }

    @Test(arguments: Moment.allCases)
    func `a table that is not published any more is a gap`(moment: Moment) async throws {
        let name = "unpublished_\(moment)"
        let task = try await DatabaseTask(name, on: VersionClusters.all.cluster())
        try await task.sql(DDLCase.tables)
        try task.write()
        let change = """
            \(DDLCase.before)
            ALTER PUBLICATION di_pub_\(name) DROP TABLE t;
            INSERT INTO t (id, a) VALUES (500, 1); INSERT INTO other VALUES (500, 1);
            """
        let daemon = try await meet(change, moment, task)
        #expect(try await daemon.wait() == .code(74), "\(daemon.stderr)")
        #expect(daemon.stderr.contains("public.t"), "\(daemon.stderr)")
        #expect(daemon.stderr.contains("[publication.gap]"), "\(daemon.stderr)")
        #expect(try await task.start().wait() == .code(74))
        // Left out, the table does not keep the others from going on.
        try task.write(tables: "{ include: [public.other] }")
        try await task.runToNow()
        #expect(try await task.differences(keys: ["public.other": ["id"]]) == [])
        try await task.end()
    }

    @Test
    func `types that are gone still give the values of the rows before`() async throws {
        let task = try await DatabaseTask("types_gone", on: VersionClusters.all.cluster())
        try await task.sql(
            """
            CREATE DOMAIN whole AS int; CREATE TYPE mood AS ENUM ('low');
            CREATE TABLE t (id int PRIMARY KEY, d whole, m mood[]);
            INSERT INTO t VALUES (1, 7, '{low}');
            """
        )
        try task.write()
        try await task.runToNow()
        try await task.sql(
            """
            INSERT INTO t VALUES (2, 7, '{low}');
            ALTER TABLE t DROP COLUMN d, DROP COLUMN m; DROP DOMAIN whole; DROP TYPE mood;
            INSERT INTO t VALUES (3);
            """
        )
        _ = try await refusal(of: task.start(), says: [#""d""#, #""m""#])
        let rows = try task.reader.events().map(\.after)
        #expect(rows.count == 2)
        for row in rows {
            #expect(row?["d"] == .raw("7"))
            #expect(row?["m"] == .raw(#"["low"]"#))
        }
        try await task.end()
    }

    /// What is done to the table, how the settings name it, and what it is called afterwards.
    struct Renaming: Sendable, CustomTestStringConvertible {
        let name: String
        let change: String
        let now: String
        /// Whether the transaction changes a row under the new name, so that the stream says it.
        let isTouched: Bool

        var testDescription: String { name }

        static let all = [
            Renaming(
                name: "renamed_and_touched",
                change: "ALTER TABLE t RENAME TO t_new",
                now: "public.t_new",
                isTouched: true
            ),
            Renaming(
                name: "renamed",
                change: "ALTER TABLE t RENAME TO t_new",
                now: "public.t_new",
                isTouched: false
            ),
            Renaming(
                name: "moved",
                change: "CREATE SCHEMA sales; ALTER TABLE t SET SCHEMA sales",
                now: "sales.t",
                isTouched: true
            ),
        ]
    }

    @Test(arguments: Renaming.all, Moment.allCases)
    func `a renamed table goes on under its new name once the settings say so`(
        example: Renaming,
        moment: Moment
    ) async throws {
        let name = "\(example.name)_\(moment)"
        let task = try await DatabaseTask(name, on: VersionClusters.all.cluster())
        try await task.sql(DDLCase.tables)
        try task.write(
            tables: "{ include: [public.t, public.other] }",
            more: Self.settings(moment)
        )
        let touch = example.isTouched ? example.now : nil
        let change = DDLCase.before + DDLCase.transaction(example.change, touch: touch)
        let says = ["public.t", example.now, "renamed", "tables.include"]
        let first = try await refusal(of: meet(change, moment, task), says: says)
        let count = try task.reader.count()
        if example.isTouched {
            #expect(try task.reader.events().allSatisfy { ($0.commitLSN ?? 0) < first.lsn })
        }
        _ = try await refusal(of: task.start(), says: says)
        #expect(try task.reader.count() == count)

        try task.write(
            tables: "{ include: [\(example.now), public.other] }",
            more: Self.settings(moment)
        )
        try await task.runToNow()
        try await task.sql("UPDATE \(example.now) SET c = c || '!'; DELETE FROM other WHERE id = 2")
        try await task.runToNow()
        let differences = try await task.differences(
            keys: DDLCase.keys,
            renamed: [example.now: "public.t"]
        )
        #expect(differences == [])
        try await task.end()
    }

    @Test(
        arguments: [
            "dropped": "DROP TABLE t",
            "made_anew": """
            DROP TABLE t;
            CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b varchar(10), c text);
            INSERT INTO t VALUES (1, 1, 'x', 'y')
            """,
        ].sorted { $0.key < $1.key },
        Moment.allCases
    )
    func `a dropped table is refused until it is left out`(
        example: (key: String, value: String),
        moment: Moment
    ) async throws {
        let name = "\(example.key)_\(moment)"
        let task = try await DatabaseTask(name, on: VersionClusters.all.cluster())
        try await task.sql(DDLCase.tables)
        try task.write(more: Self.settings(moment))
        let change = DDLCase.before + DDLCase.transaction(example.value, touch: nil)
        let says = ["public.t", "was dropped", "tables"]
        _ = try await refusal(of: meet(change, moment, task), says: says)
        _ = try await refusal(of: task.start(), says: says)
        try task.write(
            tables: #"{ include: ["public.*"], exclude: [public.t] }"#,
            more: Self.settings(moment)
        )
        try await task.runToNow()
        try await task.sql("UPDATE other SET n = n + 1")
        try await task.runToNow()
        #expect(try await task.differences(keys: ["public.other": ["id"]]) == [])
        // Everything before the drop is there, and nothing of the table's namesake.
        let rows = try task.tables(keys: DDLCase.keys).tables["public.t"]?.rows
        #expect(rows?["100"]?["c"] == .string("before"))
        #expect(rows?.values.contains { $0["c"] == .string("y") } == false)
        try await task.end()
    }
}
