// SPDX-License-Identifier: Apache-2.0
//
// The vendor's own samples, as their page prints them, between real tables.
import Foundation
import Support
import Testing

@Suite struct BatchSampleTests {
    private static let sourceSQL = """
        CREATE TABLE wpw_test (id int PRIMARY KEY, col1 text, col2 numeric, "123Test" date);
        INSERT INTO wpw_test SELECT g, 'v' || g, g / 8.0, '2026-01-01'::date + g
        FROM generate_series(1, 1000) g;
        CREATE TABLE arrays (bigints text, doubles text, texts text, b text, j text);
        INSERT INTO arrays VALUES
            ('{1,-9223372036854775808}', '{1.5,NaN}', '{a,"b,c",NULL}', '{"a": 1}', '[1,2]'),
            (NULL, '{}', '{"{"}', 'null', '{"b" :  2}');
        """
    private static let targetSQL = """
        CREATE TABLE wpw_test (id serial, col1 text, col2 numeric);
        CREATE TABLE typed (bigint_arr bigint[], double_arr double precision[], text_arr text[],
            jsonb_obj jsonb, json_obj json);
        """

    /// Runs the sample of this name, with the names of datasources that it has.
    private func run(_ name: String, _ task: BatchTask) async throws -> Outcome {
        let sample = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "SettingsTests/Jobs/\(name).json")
        let source = task.source.conninfo(database: task.database)
        let target = task.target.conninfo(database: task.targetDatabase)
        let datasources = try task.files.write(
            """
            source: { conninfo: "\(source)" }
            abc: { conninfo: "\(source)" }
            target: { conninfo: "\(target)" }
            """,
            to: "sample.yaml"
        )
        let process = try DaemonProcess(["batch", sample.path, "--datasources", datasources])
        let status = try await process.wait(.seconds(60))
        return Outcome(status: status, stdout: process.stdout, stderr: process.stderr)
    }

    @Test func `they run as they are printed`() async throws {
        let task = try await BatchTask(
            "samples",
            sql: Self.sourceSQL,
            targetSQL: Self.targetSQL
        )
        let reader = try await run("reader", task)
        #expect(reader.status == .code(0), "\(reader.stderr)")
        #expect(
            reader.stdout.contains("total read     1000\ntotal written  1000\nfailed         0\n")
        )

        let writer = try await run("writer", task)
        #expect(writer.status == .code(0), "\(writer.stderr)")
        #expect(writer.stdout.contains("total read     0\n"))
        #expect(try await task.target("SELECT count(*) FROM wpw_test") == "0")

        let typed = try await run("pgtype", task)
        #expect(typed.status == .code(0), "\(typed.stderr)")
        #expect(
            try await task.target("SELECT * FROM typed ORDER BY bigint_arr") == """
                {1,-9223372036854775808}|{1.5,NaN}|{a,"b,c",NULL}|{"a": 1}|[1,2]
                |{}|{"{"}|null|{"b" :  2}
                """
        )

        let escaped = try await run("escape", task)
        #expect(escaped.status == .code(0), "\(escaped.stderr)")
        let lines = escaped.stdout.split(separator: "\n")
        #expect(lines.count == 1_000 && lines.contains("31\t2026-02-01"))
        try await task.end()
    }
}
