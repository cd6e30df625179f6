// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Settings
import Testing

@Suite struct Values {
    @Test(arguments: [
        ("65536", 65_536), ("64KiB", 65_536), ("66kB", 66_000), ("1MB", 1_000_000),
        ("8 MiB", 8 << 20), ("1GiB", 1 << 30), ("1GB", 1_000_000_000), ("70000B", 70_000),
    ])
    func `sizes are bytes or have a unit`(_ text: String, _ bytes: Int) throws {
        #expect(try Draft(more: "batch: { bytes: \(text) }").settings().batch.bytes == bytes)
    }

    @Test(arguments: [
        ("0", Duration.zero), ("0ms", .zero), ("100ms", .milliseconds(100)),
        ("10s", .seconds(10)), ("10m", .seconds(600)), ("24h", .seconds(86_400)),
        ("2d", .seconds(172_800)), ("1500 ms", .milliseconds(1500)), ("forever", nil),
    ])
    func `times have a unit, zero and forever have none`(
        _ text: String,
        _ limit: Duration?
    ) throws {
        #expect(try Draft(more: "retry: { for: \(text) }").settings().retry.limit == limit)
    }

    @Test(arguments: [
        ("127.0.0.1:8085", Endpoint(host: "127.0.0.1", port: 8085)),
        ("'[::1]:8085'", Endpoint(host: "::1", port: 8085)),
        ("localhost:0", Endpoint(host: "localhost", port: 0)), ("off", nil),
    ])
    func `the status server listens somewhere or not at all`(
        _ text: String,
        _ endpoint: Endpoint?
    ) throws {
        let settings = try Draft(more: "http: { listen: \(text) }").settings()
        #expect(settings.http.listen == endpoint)
    }

    @Test func `an endpoint prints as it is read`() throws {
        for text in ["[::1]:8085", "a.example:1"] {
            let listen = try Draft(more: "http: { listen: '\(text)' }").settings().http.listen
            #expect(listen?.description == text)
        }
    }

    @Test(arguments: [
        ("16/B374D848", ["16/B374D848"]), ("[0/1a, FFFFFFFF/00000010]", ["0/1A", "FFFFFFFF/10"]),
        ("[]", []),
    ])
    func `accepted DDL is one LSN or a list, spelled as the server does`(
        _ text: String,
        _ positions: [String]
    ) throws {
        let settings = try Draft(more: "stream: { acceptDDL: \(text) }").settings()
        #expect(settings.stream.acceptDDL.map(\.description) == positions)
    }

    @Test func `every section takes every value`() throws {
        let settings = try Draft(
            sink: "{ kind: ndjson, ndjson: { directory: out, rotate: 4KiB } }",
            more: """
                snapshot: { mode: only, workers: 64 }
                stream: { onUnsupportedDDL: stop, onTruncate: apply }
                batch: { rows: 1, delay: 60s }
                format: { decimals: precise, temporal: epoch, binary: hex }
                log: { level: trace, format: json }
                """
        ).settings()
        #expect(settings.snapshot.mode == .only)
        #expect(settings.snapshot.workers == 64)
        #expect(settings.stream.onTruncate == .apply)
        #expect(settings.batch.rows == 1)
        #expect(settings.batch.delay == .seconds(60))
        #expect(settings.format.decimals == .precise)
        #expect(settings.format.temporal == .epoch)
        #expect(settings.format.binary == .hex)
        #expect(settings.log.level == .trace)
        #expect(settings.log.format == .json)
        var sink = Settings.Sink.NDJSON(directory: "/etc/w/out")
        sink.rotate = 4096
        #expect(settings.sink == .ndjson(sink))
    }

    @Test func `a section without content has its defaults`() throws {
        let settings = try Draft(more: "batch:\nlog: ~\nhttp: {}\n").settings()
        #expect(try settings == Draft().settings())
    }

    @Test func `the postgresql sink knows a connection's keys and its own`() throws {
        let settings = try Draft(
            sink: """
                { kind: postgresql, postgresql: { conninfo: "service=w", createTables: false,
                  schema: '"Ware"', indexes: afterSnapshot, ifNotEmpty: merge,
                  onRowError: deadLetter } }
                """
        ).settings()
        var sink = Settings.Sink.PostgreSQL(connection: .init(.conninfo(Secret("service=w"))))
        sink.schema = .named("Ware")
        sink.createTables = false
        sink.indexes = .afterSnapshot
        sink.ifNotEmpty = .merge
        sink.onRowError = .deadLetter
        #expect(settings.sink == .postgresql(sink))
    }

    @Test func `a table may have a target of its own`() throws {
        let settings = try Draft(
            tables: "{ include: [{ table: s.a, target: 'Ware.\"B\"' }, { table: b, target: c }] }"
        ).settings()
        #expect(
            settings.tables.include.map(\.target) == [
                TableName(schema: "ware", name: "B"), TableName(schema: "public", name: "c"),
            ]
        )
    }
}

@Suite struct Environment {
    @Test func `variables come in anywhere in a scalar`() throws {
        let settings = try Draft(
            task: "${NAME}_${_N2}",
            source: "{ host: h, port: '${PORT}', database: 'x$$y$z$' }"
        ).settings(
            ["NAME": "orders", "_N2": "eu", "PORT": "1,2", "x": "no"].merging(["PORT": "7"]) { $1 }
        )
        #expect(settings.task == "orders_eu")
        #expect(
            settings.source.target
                == .server(hosts: ["h"], ports: [7], database: "x$y$z$", user: nil)
        )
    }

    @Test func `a variable's text never becomes structure`() throws {
        let evil = "d\nuser: root, port: 1 } # ${HOME} $$ *x"
        let settings = try Draft(source: "{ host: h, database: \"${D}\" }").settings(["D": evil])
        #expect(
            settings.source.target
                == .server(hosts: ["h"], ports: [], database: evil, user: nil)
        )
    }

    @Test(arguments: [
        ("${GONE}", "the environment variable GONE is not set"),
        ("${", "\"${\" lacks its \"}\"; a dollar itself is written $$"),
        (
            "${a-b}",
            "what stands in \"${}\" is not the name of an environment variable; a dollar itself is"
                + " written $$"
        ),
        (
            "${}",
            "what stands in \"${}\" is not the name of an environment variable; a dollar itself is"
                + " written $$"
        ),
        ("${EMPTY}", "must not be empty"),
    ])
    func `a variable that cannot be had is a fault`(_ text: String, _ reason: String) {
        let lines = Draft(source: "{ host: h, database: '\(text)' }").faults(["EMPTY": ""])
        #expect(lines == ["s:2:30: source.database: \(reason)"])
    }

    @Test func `keys are not substituted`() {
        #expect(
            Draft(more: "'${A}': {}").faults(["A": "log"]).first?.hasPrefix(
                "s:5:1: unknown key \"…\"; known are task"
            ) == true
        )
    }

    @Test func `a fault shows the variable's name, not its text`() {
        let lines = Draft(more: "batch: { rows: '${SECRET}' }").faults(["SECRET": "hunter2"])
        #expect(
            lines == [
                "s:5:16: batch.rows: \"${SECRET}\", taken from the environment, is not a whole"
                    + " number"
            ]
        )
    }
}
