// SPDX-License-Identifier: Apache-2.0
//
// A database in which everything is called by names that attack, taken through every sink by the
// running program. Names come out byte for byte, and nowhere as anything but a name.
import Foundation
import FoundationNetworking
import Support
import Testing

@Suite(.serialized) struct NamesTests {
    /// One server for the suite; each test has a task of its own on it.
    private static let shared = Task { try await NamesSource.start() }

    private func source() async throws -> NamesSource { try await Self.shared.value }

    /// What one event looks like, as `ForeignJSON.events` writes it.
    private func event(
        _ op: String,
        _ i: Int,
        _ source: NamesSource,
        before: [String]?,
        after: [String]?
    )
        -> String
    {
        func keys(_ names: [String]?) -> String {
            names.map { $0.map(NamesSource.hex).joined(separator: ",") } ?? "-"
        }
        let table = [source.schema(i), source.name(i)].map(NamesSource.hex).joined(separator: " ")
        return "\(op) \(table) \(keys(before)) \(keys(after))"
    }

    @Test
    func `the names are legal, hostile and many`() async throws {
        var generator = SeededGenerator(seed: 7)
        let names = HostileNames.list(300, using: &generator)
        #expect(Set(names.map(NamesSource.hex)).count == 300)
        #expect(names.allSatisfy { (1...63).contains($0.utf8.count) && !$0.utf8.contains(0) })
        #expect(names.count { $0.utf8.count == 63 } >= 5)
        #expect(Set(names).count < 300, "Swift tells all of them apart: no twins by normalisation")
        var again = SeededGenerator(seed: 7)
        #expect(
            HostileNames.list(300, using: &again).map(NamesSource.hex) == names.map(NamesSource.hex)
        )
    }

    // MARK: ndjson

    @Test
    func `events carry the names byte for byte, and all that is served and logged stays whole`()
        async throws
    {
        let source = try await source()
        let files = try TemporaryDirectory()
        let port = try FreePort.find()
        let path = try files.write(
            source.settings(
                task: "names",
                sink: "{ kind: ndjson, ndjson: { directory: events } }",
                more: "http: { listen: \"127.0.0.1:\(port)\" }\nlog: { level: trace }"
            ),
            to: "names.yaml"
        )
        let daemon = try DaemonProcess(["run", "--config", path])
        try await daemon.until(.seconds(120), "the snapshot") {
            daemon.stderr.contains("streaming")
        }
        try await source.changeAll()
        let reader = NDJSONReader(files.file("events"), extent: .everything)
        try await daemon.until(.seconds(120), "all changes") {
            try reader.count() >= 6 * source.names.count
        }
        try await expectWhole(port)
        #expect(try await daemon.stop() == .code(0))
        try await source.expectCanaries()

        let text = try reader.fileNames().map {
            try String(contentsOfFile: files.file("events/\($0)"), encoding: .utf8)
        }.joined()
        let events = try await onThread { try ForeignJSON.events(text) }
        var expected: [String] = []
        for i in source.names.indices {
            let columns = source.columns(i)
            let added = columns + [source.name(i, 5)]
            expected += [
                event("r", i, source, before: nil, after: columns),
                event("c", i, source, before: nil, after: columns),
                event("u", i, source, before: [columns[0]], after: columns),
                event("c", i, source, before: nil, after: added),
                event("d", i, source, before: [columns[0]], after: nil),
                event("d", i, source, before: [columns[0]], after: nil),
            ]
        }
        let surplus = Set(events).symmetricDifference(expected)
        #expect(events.sorted() == expected.sorted(), "\(surplus.prefix(3))")
        let known = ["checkpoint.json", ".lock", "lock"]
        let strays = try FileManager.default.contentsOfDirectory(atPath: files.file("events"))
            .filter { !known.contains($0) && $0.wholeMatch(of: #/\d{12}\.ndjson(\.open)?/#) == nil }
        #expect(strays == [])
        NamesOutput.expectLines(daemon.stderr)
    }

    /// Expects that what is served is JSON, Prometheus' text and HTML with names as text only.
    private func expectWhole(_ port: Int) async throws {
        func get(_ path: String) async throws -> String {
            let url = try #require(URL(string: "http://127.0.0.1:\(port)\(path)"))
            return String(decoding: try await URLSession.shared.data(from: url).0, as: UTF8.self)
        }
        let metrics = try await get("/metrics")
        let labels = try await onThread {
            try ForeignJSON.labels("state", of: "walrelay_snapshot_tables", in: metrics)
        }
        #expect(labels.count == 3)
        let status = try await get("/status")
        try await onThread { try ForeignJSON.checkDocument(status) }
        let page = try await get("/")
        #expect(!page.contains("<img") && page.components(separatedBy: "<script").count == 2)
        // The page lists the first hundred of them.
        #expect(page.contains("&gt;.&lt;"))
    }

    // MARK: stream

    @Test
    func `the stream on standard output is JSON with the same names`() async throws {
        let source = try await source()
        let files = try TemporaryDirectory()
        let path = try files.write(
            source.settings(
                task: "names_stream",
                sink: "{ kind: stream }",
                more: "http: { listen: off }\nsnapshot: { mode: only }\nlog: { format: json }"
            ),
            to: "stream.yaml"
        )
        let daemon = try DaemonProcess(["run", "--config", path])
        #expect(try await daemon.wait(.seconds(120)) == .code(0), "\(daemon.stderr.suffix(2_000))")
        let (out, log) = (daemon.stdout, daemon.stderr)
        let events = try await onThread { try ForeignJSON.events(out) }
        let tables = Set(events.map { $0.split(separator: " ")[1...2].joined(separator: " ") })
        let expected = source.names.indices.map {
            [source.schema($0), source.name($0)].map(NamesSource.hex).joined(separator: " ")
        }
        #expect(tables == Set(expected))
        try await onThread { try ForeignJSON.checkLines(log) }
        NamesOutput.expectPlain(log)
    }

    // MARK: What is refused

    @Test
    func `names that no task can have are refused at their line, and shown safely`() async throws {
        let names = [
            "a b", "A", "a\u{301}", "a\u{202e}b", "a\u{1b}[31m", "a\nwalrelay: ok", "../a", "a;b",
            "a\"b", "%s", String(repeating: "a", count: 56), "a\u{7f}", "a\u{85}b",
        ]
        let files = try TemporaryDirectory()
        for name in names {
            let text =
                "task: \(NamesSource.yaml(name))\nsource: { host: h, database: d }\n"
                + "tables: { include: [t] }\nsink: { kind: stream }\n"
            let path = try files.write(text, to: "t.yaml")
            let daemon = try DaemonProcess(["check", "--config", path])
            #expect(try await daemon.wait() == .code(78))
            #expect(daemon.stderr.contains("t.yaml:1:7: task: "), "\(daemon.stderr)")
            NamesOutput.expectPlain(daemon.stderr)
        }
    }

    @Test(arguments: ["host", "database", "user", "applicationName"])
    func `NUL is refused in every text of the settings`(key: String) async throws {
        var task = try OddTask("names_nul", port: 1)
        let old = [
            "host": "host: '127.0.0.1'", "database": "database: postgres",
            "user": "user: postgres", "applicationName": "applicationName: names_nul",
        ]
        let line = try #require(old[key])
        task.spoil = { $0.replacing(line, with: "\(key): \"a\\0b\"") }
        try await task.run("check").expectRefusal(
            78,
            "settings.invalid",
            "must not hold the character NUL"
        )
    }

    @Test(arguments: [
        ["check", "--config", "/x\u{1b}[2J\u{202e}\nwalrelay: ok.yaml"],
        ["run", "--config", "/x", "--until", "\u{1b}]0;t\u{7}\nwalrelay: ok"],
        ["batch", "/x\u{9b}31m\nwalrelay: ok.json"], ["a\u{1b}[31m\nwalrelay: ok"],
        ["status", "--url", "http://\u{1b}[31m\nwalrelay: ok"],
        ["slots", "list", "--conninfo", "host=/x\u{1b}[31m port=1 dbname='a\nwalrelay: ok'"],
        ["slots", "drop", "a\u{202e}\nwalrelay: ok", "--conninfo", "host=/x port=1", "--yes"],
        ["batch", "/x.json", "-p", "a\u{1b}\nwalrelay: ok"],
    ])
    func `words of the command line are shown safely`(arguments: [String]) async throws {
        let daemon = try DaemonProcess(arguments)
        #expect(try await daemon.wait() != .code(0))
        NamesOutput.expectPlain(daemon.stderr + daemon.stdout)
        let lines = daemon.stderr.split(separator: "\n")
        #expect(!lines.contains { $0.hasPrefix("walrelay: ok") }, "\(daemon.stderr)")
    }
}

/// What a text must be that people read.
enum NamesOutput {
    /// Expects that each line begins as an entry does, and that nothing steers a terminal.
    static func expectLines(_ log: String, at location: SourceLocation = #_sourceLocation) {
        let start =
            #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (trace|debug|info |note |warn |error|crit ) /#
            // A name that begins with a combining character takes the blank before it along.
            .matchingSemantics(.unicodeScalar)
        let odd = log.split(separator: "\n").filter { $0.prefixMatch(of: start) == nil }
        #expect(odd.isEmpty, "\(odd.prefix(3))", sourceLocation: location)
        expectPlain(log, at: location)
    }

    /// Expects that a text has no character that a terminal acts on or that shows nothing.
    static func expectPlain(_ text: String, at location: SourceLocation = #_sourceLocation) {
        let odd = text.unicodeScalars.filter { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: scalar != "\n"
            default: false
            }
        }
        #expect(odd.isEmpty, "\(Set(odd.map(\.value)))", sourceLocation: location)
    }
}

extension NamesSource {
    /// An insert, an update of the key, a new column with a value, and deletes, in every table.
    func changeAll() async throws {
        try await forEach(
            "INSERT INTO %I.%I VALUES (%L, %L, %L, %L)",
            "schema, name, 'new ' || name, name, key, name"
        )
        try await forEach(
            "UPDATE %I.%I SET %I = %L WHERE %3$I = %5$L",
            "schema, name, key, 'moved ' || name, 'new ' || name"
        )
        try await forEach("ALTER TABLE %I.%I ADD COLUMN %I text", "schema, name, ours.name(i, 5)")
        try await forEach(
            "INSERT INTO %I.%I VALUES (%L, %L, %L, %L, %L)",
            "schema, name, 'wide ' || name, name, value, name, name"
        )
        try await forEach("DELETE FROM %I.%I WHERE %I <> %L", "schema, name, key, 'old ' || name")
    }
}
