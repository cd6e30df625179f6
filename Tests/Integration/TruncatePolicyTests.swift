// SPDX-License-Identifier: Apache-2.0
//
// TRUNCATE under each of its three settings, of several tables and by CASCADE, and what happens to
// the leaves of a table that is published by its root, of which the server says nothing.
import Support
import Testing

@Suite(.serialized)
struct TruncatePolicyTests {
    /// A TRUNCATE amid other changes, and what must be named when it is refused.
    struct Example: Sendable, CustomTestStringConvertible {
        let name: String
        let statement: String
        let says: [String]
        /// Whether `other` loses its rows too.
        let isOfBoth: Bool

        var testDescription: String { name }

        static let all = [
            Example(name: "one", statement: "TRUNCATE t", says: ["public.t"], isOfBoth: false),
            Example(
                name: "several",
                statement: "TRUNCATE t, other RESTART IDENTITY",
                says: ["truncated"],
                isOfBoth: true
            ),
            Example(
                name: "cascade",
                statement: """
                    SAVEPOINT s; TRUNCATE t; ROLLBACK TO s; TRUNCATE other CASCADE
                    """,
                says: ["truncated"],
                isOfBoth: true
            ),
        ]
    }

    private static let keys = ["public.t": ["id"], "public.other": ["id"]]

    private static func load(_ example: Example) -> String {
        """
        INSERT INTO t VALUES (100, 'before');
        BEGIN;
        INSERT INTO other VALUES (200, 0);
        INSERT INTO t SELECT i, 'early' FROM generate_series(200, 299) i;
        \(example.statement);
        INSERT INTO t VALUES (400, 'late');
        COMMIT;
        INSERT INTO other VALUES (300, 0);
        """
    }

    private func makeTask(_ name: String, more: String) async throws -> DatabaseTask {
        let task = try await DatabaseTask(name, on: VersionClusters.all.cluster())
        try await task.sql(
            """
            CREATE TABLE other (id int PRIMARY KEY, n int);
            CREATE TABLE t (id int PRIMARY KEY, c text, o int REFERENCES other);
            INSERT INTO other SELECT i, i FROM generate_series(1, 5) i;
            INSERT INTO t SELECT i, 'c' FROM generate_series(1, 20) i;
            """
        )
        try task.write(more: more)
        return task
    }

    @Test(arguments: Example.all, Moment.allCases)
    func `truncate stops before its transaction until the settings decide`(
        example: Example,
        moment: Moment
    ) async throws {
        for decision in ["ignore", "apply"] {
            let batch = "batch: { rows: 20, delay: 0ms }\n"
            let name = "truncate_\(example.name)_\(moment)_\(decision)"
            let task = try await makeTask(name, more: batch)
            let daemon: DaemonProcess
            if moment == .running {
                daemon = try await task.startStreaming()
                try await task.sql(Self.load(example))
            } else {
                try await task.runToNow()
                try await task.sql(Self.load(example))
                daemon = try task.start()
            }
            #expect(try await daemon.wait() == .code(65))
            for part in example.says + ["commits at", "stream.onTruncate"] {
                #expect(daemon.stderr.contains(part), "\(part) is missing in \(daemon.stderr)")
            }
            let rows = try task.tables(keys: Self.keys)
            #expect(rows.tables["public.t"]?.rows.count == 21)
            #expect(rows.tables["public.other"]?.rows.count == 5)

            try task.write(more: batch + "stream: { onTruncate: \(decision) }")
            try await task.runToNow()
            try await check(task, example, isApplied: decision == "apply")
            try await task.end()
        }
    }

    @Test(arguments: ["ignore", "apply"], Moment.allCases)
    func `truncate does as the settings say`(decision: String, moment: Moment) async throws {
        for example in Example.all {
            let task = try await makeTask(
                "truncate_\(decision)_\(moment)_\(example.name)",
                more: "stream: { onTruncate: \(decision) }"
            )
            if moment == .running {
                let daemon = try await task.startStreaming()
                try await task.sql(Self.load(example))
                try await daemon.until {
                    try task.reader.events().contains { $0.after?["id"]?.text == "300" }
                }
                #expect(try await daemon.stop() == .code(0))
            } else {
                try await task.runToNow()
                try await task.sql(Self.load(example))
                try await task.runToNow()
            }
            try await check(task, example, isApplied: decision == "apply")
            try await task.end()
        }
    }

    private func check(_ task: DatabaseTask, _ example: Example, isApplied: Bool) async throws {
        let truncates = try task.reader.events().filter { $0.op == "t" }.map(\.table).sorted()
        guard isApplied else {
            #expect(truncates == [])
            let rows = try task.tables(keys: Self.keys)
            #expect(rows.tables["public.t"]?.rows.count == 122)
            #expect(rows.tables["public.other"]?.rows.count == 7)
            return
        }
        #expect(truncates == (example.isOfBoth ? ["public.other", "public.t"] : ["public.t"]))
        #expect(try await task.differences(keys: Self.keys) == [])
        #expect(try task.tables(keys: Self.keys).tables["public.t"]?.rows.count == 1)
    }
}
