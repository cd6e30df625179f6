// SPDX-License-Identifier: Apache-2.0
//
// Statements that mend, as `check` prints them: copied from its output as they stand and run by
// psql, they do what they say whatever a table is called.
import Foundation
import Support
import Testing

@Suite struct NamesMendingTests {
    private static let lesser = "lesser\"'; \n\u{1b}[1m\u{202e}\\%s é"

    @Test
    func `what check prints mends what it found, for every name`() async throws {
        let source = try await NamesSource.start()
        try await source.psql(
            """
            DO $do$ BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', \(NamesSource.text(Self.lesser)));
            END $do$;
            """
        )
        try await source.forEach(
            "ALTER TABLE %I.%I DROP CONSTRAINT %I",
            "schema, name, ours.name(i, 10)"
        )
        let files = try TemporaryDirectory()
        let settings = source.settings(task: "names", sink: "{ kind: stream }")
            .replacing(NamesSource.yaml(NamesSource.role), with: NamesSource.yaml(Self.lesser))
        let path = try files.write(settings, to: "names.yaml")
        func check() async throws -> (status: Support.ExitStatus, output: String) {
            let daemon = try DaemonProcess(["check", "--config", path])
            let status = try await daemon.wait(.seconds(120))
            NamesOutput.expectPlain(daemon.stdout)
            return (status, daemon.stdout + daemon.stderr)
        }
        // A statement may show only what another one has made readable.
        var statements = 0
        for _ in 0..<3 {
            let found = try await check()
            let mends = found.output.split(separator: "\n").compactMap { line -> String? in
                let mend = line.drop { $0 == " " }
                guard mend.hasPrefix("mend: "), mend.hasSuffix(";") else { return nil }
                let statement = String(mend.dropFirst(6))
                return ["GRANT", "ALTER", "CREATE"].contains { statement.hasPrefix($0) }
                    ? statement : nil
            }
            if mends.isEmpty { break }
            statements += mends.count
            try await source.psql(Array(Set(mends)).sorted().joined(separator: "\n"))
        }
        #expect(statements >= 2 * source.names.count)
        let mended = try await check()
        #expect(mended.status == .code(0), "\(mended.output.suffix(3_000))")
        let identities = try await source.psql(
            "SELECT count(*) FROM pg_class c JOIN ours.tables t ON c.oid = t.oid "
                + "WHERE relreplident = 'f'"
        )
        #expect(identities == "\(source.names.count)")
        try await othersStay(source, path)
    }

    /// Publications of other names, however near to ours, are not a task's to drop.
    private func othersStay(_ source: NamesSource, _ path: String) async throws {
        try await source.psql(
            "SELECT format('CREATE PUBLICATION %I', p || name) FROM ours.names, "
                + "(VALUES (''), ('di_pub_names')) v (p) WHERE i % 10 = 0 AND length(name) < 40 "
                + "AND p || name <> 'di_pub_names' \\gexec"
        )
        try await source.psql(
            """
            SELECT pg_create_logical_replication_slot('di_slot_names', 'pgoutput');
            SELECT pg_create_logical_replication_slot('di_slot_names2', 'pgoutput');
            """
        )
        let before = try await source.psql("SELECT count(*) - 1 FROM pg_publication")
        let conninfo = source.cluster.conninfo() + " " + NamesSource.conninfo
        let list = try DaemonProcess(["slots", "list", "--all", "--conninfo", conninfo])
        #expect(try await list.wait() == .code(0))
        #expect(list.stdout.contains("di_slot_names2"))
        NamesOutput.expectPlain(list.stdout + list.stderr)
        let drop = try DaemonProcess(
            ["slots", "drop", "names", "--publications", "--conninfo", conninfo, "--yes"]
        )
        #expect(try await drop.wait() == .code(0), "\(drop.stdout)\(drop.stderr)")
        #expect(try await source.psql("SELECT count(*) FROM pg_publication") == before)
        #expect(
            try await source.psql("SELECT string_agg(slot_name, ',') FROM pg_replication_slots")
                == "di_slot_names2"
        )
    }
}
