// SPDX-License-Identifier: Apache-2.0

import Settings
import Testing

/// A settings text and the lines of its error.
struct FaultCase: Sendable, CustomTestStringConvertible {
    let draft: Draft
    let lines: [String]

    init(_ draft: Draft, _ lines: String...) {
        self.draft = draft
        self.lines = lines
    }

    var testDescription: String { lines.first ?? "no fault" }
}

@Suite struct Faults {
    @Test(arguments: shapes + scalars + tables + connections + sinks)
    func `each fault says where and what`(_ test: FaultCase) {
        #expect(test.draft.faults() == test.lines)
    }

    @Test func `all faults come at once, by line`() {
        let text = """
            tasks: orders
            sink:
              kind: ndjsn
              ndjson: { directory: [a], rotat: 1MiB }
            batch: { rows: 0, bytes: 1, delay: soon }
            source:
              hots: db
              database:
            source: {}
            log: loud
            """
        #expect(
            faultLines(of: text) == [
                "s:1:1: task is missing: a name of 1 to 55 of the characters a-z, 0-9 and _ is"
                    + " required",
                "s:1:1: tables is missing: a section of keys and values is required",
                "s:1:1: unknown key \"tasks\" (did you mean \"task\"?)",
                "s:3:9: sink.kind: \"ndjsn\" is not one of ndjson, stream, postgresql, kafka"
                    + " (did you mean \"ndjson\"?)",
                "s:4:24: sink.ndjson.directory must be a path, not a list",
                "s:4:29: unknown key \"rotat\" in sink.ndjson (did you mean \"rotate\"?)",
                "s:5:16: batch.rows: \"0\" is out of bounds: 1 to 1000000",
                "s:5:26: batch.bytes: \"1\" is out of bounds: 64KiB to 1GiB",
                "s:5:36: batch.delay: \"soon\" is not a time such as 100ms, 10s, 5m or 24h",
                "s:7:3: source.host is missing: a host, or conninfo in its place, is required",
                "s:7:3: unknown key \"hots\" in source (did you mean \"host\"?)",
                "s:8:12: source.database must be a text, it has no value",
                "s:9:1: the key \"source\" stands twice, first in line 6",
                "s:10:6: log must be a section of keys and values, not a text",
            ]
        )
    }

    @Test func `thousands of faults are counted, not listed`() {
        let keys = (0..<2000).map { "key\($0): 1\n" }.joined()
        let lines = Draft(more: keys).faults()
        #expect(lines.count == 101)
        #expect(lines.last == "s: and 1900 more faults")
    }

    @Test func `a fault behind an alias is told for each place that uses it`() {
        let more = "snapshot: &wrong { workers: x }\nbatch: { rows: 1 }\n"
        let lines = Draft(
            tables: "{ include: [{ table: &t a.b.c }, { table: *t }] }",
            more: more
        ).faults()
        #expect(
            lines == [
                "s:3:30: tables.include[0].table: \"a.b.c\" has more parts than schema and table",
                "s:3:30: tables.include[1].table: \"a.b.c\" has more parts than schema and table",
                "s:5:29: snapshot.workers: \"x\" is not a whole number",
            ]
        )
    }
}

private let shapes = [
    FaultCase(
        Draft(more: "snapshoot: {}"),
        "s:5:1: unknown key \"snapshoot\" (did you mean \"snapshot\"?)"
    ),
    FaultCase(
        Draft(more: "Batch: {}"),
        "s:5:1: unknown key \"Batch\" (did you mean \"batch\"?)"
    ),
    FaultCase(
        Draft(more: "http: { zzz: 1 }"),
        "s:5:9: unknown key \"zzz\" in http; known are listen, token, tokenFile,"
            + " behindProxy"
    ),
    FaultCase(
        Draft(more: "stream: { on_truncate: stop }"),
        "s:5:11: unknown key \"on_truncate\" in stream (did you mean \"onTruncate\"?)"
    ),
    FaultCase(
        Draft(more: "log:\n  level: info\n  'level': debug\n  format: text\n  level: error"),
        "s:7:3: the key \"level\" stands twice in log, first in line 6",
        "s:9:3: the key \"level\" stands twice in log, first in line 6"
    ),
    FaultCase(
        Draft(more: "? [a]\n: 1"),
        "s:5:3: a key must be a text, not a list"
    ),
    FaultCase(
        Draft(more: "batch: []"),
        "s:5:8: batch must be a section of keys and values, not a list"
    ),
    FaultCase(
        Draft(source: ""),
        "s:2:1: source has no value: a section of keys and values is required"
    ),
    FaultCase(
        Draft(more: "log: { level: }"),
        "s:5:15: log.level must be one of trace, debug, info, notice, warning, error, it has no"
            + " value"
    ),
    FaultCase(Draft(more: "log: { level: '' }"), "s:5:15: log.level: must not be empty"),
    FaultCase(
        Draft(source: "{ host: \"a\\0b\", database: d }"),
        "s:2:17: source.host: must not hold the character NUL"
    ),
]

private let scalars = [
    FaultCase(
        Draft(task: "Orders"),
        "s:1:7: task: \"Orders\" is not a name of 1 to 55 of the characters a-z, 0-9 and _"
    ),
    FaultCase(
        Draft(task: String(repeating: "a", count: 56)),
        "s:1:7: task: \"\(String(repeating: "a", count: 56))\" is not a name of 1 to 55 of the"
            + " characters a-z, 0-9 and _"
    ),
    FaultCase(
        Draft(task: "[a]"),
        "s:1:7: task must be a name of 1 to 55 of the characters a-z, 0-9 and _, not a list"
    ),
    FaultCase(
        Draft(more: "snapshot: { mode: initail }"),
        "s:5:19: snapshot.mode: \"initail\" is not one of initial, never, only"
            + " (did you mean \"initial\"?)"
    ),
    FaultCase(
        Draft(more: "stream: { onUnsupportedDDL: skip }"),
        "s:5:29: stream.onUnsupportedDDL: \"skip\" is not stop"
    ),
    FaultCase(
        Draft(more: "snapshot: { workers: 65 }"),
        "s:5:22: snapshot.workers: \"65\" is out of bounds: 1 to 64"
    ),
    FaultCase(
        Draft(more: "snapshot: { workers: -1 }"),
        "s:5:22: snapshot.workers: \"-1\" is not a whole number"
    ),
    FaultCase(
        Draft(more: "batch: { rows: 99999999999999999999 }"),
        "s:5:16: batch.rows: \"99999999999999999999\" is out of bounds: 1 to 1000000"
    ),
    FaultCase(
        Draft(more: "batch: { bytes: 8mib }"),
        "s:5:17: batch.bytes: \"8mib\" is not a size such as 8MiB (did you mean \"8MiB\"?)"
    ),
    FaultCase(
        Draft(more: "batch: { bytes: 8388608TiB }"),
        "s:5:17: batch.bytes: \"8388608TiB\" is out of bounds: 64KiB to 1GiB"
    ),
    FaultCase(
        Draft(more: "batch: { delay: 100 }"),
        "s:5:17: batch.delay: \"100\" lacks a unit: ms, s, m, h, d"
    ),
    FaultCase(
        Draft(more: "batch: { delay: 61s }"),
        "s:5:17: batch.delay: \"61s\" is out of bounds: 0 to 1m"
    ),
    FaultCase(
        Draft(more: "batch: { delay: forever }"),
        "s:5:17: batch.delay: \"forever\" is not a time such as 100ms, 10s, 5m or 24h"
    ),
    FaultCase(
        Draft(more: "retry: { for: ever }"),
        "s:5:15: retry.for: \"ever\" is not a time such as 100ms, 10s, 5m or 24h; forever is"
            + " allowed too"
    ),
    FaultCase(
        Draft(more: "http: { listen: '8085' }"),
        "s:5:17: http.listen: \"8085\" lacks a port: write host:port; off is allowed too"
    ),
    FaultCase(
        Draft(more: "http: { listen: '::1:8085' }"),
        "s:5:17: http.listen: \"::1:8085\" holds an IPv6 address without brackets: write"
            + " [::1]:8085; off is allowed too"
    ),
    FaultCase(
        Draft(more: "http: { listen: 'a:65536' }"),
        "s:5:17: http.listen: \"a:65536\" has no port from 0 to 65535; off is allowed too"
    ),
    FaultCase(
        Draft(more: "http: { listen: ':80' }"),
        "s:5:17: http.listen: \":80\" lacks a host: write 127.0.0.1, or 0.0.0.0 for every"
            + " address; off is allowed too"
    ),
    FaultCase(
        Draft(more: "stream: { acceptDDL: 16-B374 }"),
        "s:5:22: stream.acceptDDL: \"16-B374\" is not an LSN such as 16/B374D848"
    ),
    FaultCase(
        Draft(more: "stream: { acceptDDL: [0/1, 123456789/0, +1/0, 1/] }"),
        "s:5:28: stream.acceptDDL[1]: \"123456789/0\" is not an LSN such as 16/B374D848",
        "s:5:41: stream.acceptDDL[2]: \"+1/0\" is not an LSN such as 16/B374D848",
        "s:5:47: stream.acceptDDL[3]: \"1/\" is not an LSN such as 16/B374D848"
    ),
    FaultCase(
        Draft(task: "\"a\\nb\""),
        "s:1:7: task: \"a\\nb\" is not a name of 1 to 55 of the characters a-z, 0-9 and _"
    ),
]

private let tables = [
    FaultCase(
        Draft(tables: "{ exclude: [a] }"),
        "s:3:9: tables.include is missing: a list of tables is required"
    ),
    FaultCase(
        Draft(tables: "{ include: [] }"),
        "s:3:11: tables.include: must name at least one table"
    ),
    FaultCase(
        Draft(tables: "{ include: a }"),
        "s:3:20: tables.include must be a list, each entry a table such as public.orders or"
            + " \"sales.*\" or a section, not a text"
    ),
    FaultCase(
        Draft(tables: "{ include: ['a b'] }"),
        "s:3:21: tables.include[0]: \"a b\" has a character that a name holds only between double"
            + " quotes"
    ),
    FaultCase(
        Draft(tables: "{ include: [a.b.c] }"),
        "s:3:21: tables.include[0]: \"a.b.c\" has more parts than schema and table"
    ),
    FaultCase(
        Draft(tables: "{ include: [a.] }"),
        "s:3:21: tables.include[0]: \"a.\" has an empty part"
    ),
    FaultCase(
        Draft(tables: "{ include: ['\"a'] }"),
        "s:3:21: tables.include[0]: \"\"a\" lacks a closing double quote"
    ),
    FaultCase(
        Draft(tables: "{ include: ['\"a\"*'] }"),
        "s:3:21: tables.include[0]: \"\"a\"*\" goes on after a closing quote where a dot is due"
    ),
    FaultCase(
        Draft(tables: "{ include: [a, public.A] }"),
        "s:3:11: tables.include: \"public.a\" stands twice"
    ),
    FaultCase(
        Draft(tables: "{ include: [{ table: 's.*', where: x, columns: [] }] }"),
        "s:3:37: tables.include[0].where: belongs to one table, not to a pattern",
        "s:3:47: tables.include[0].columns: belongs to one table, not to a pattern",
        "s:3:47: tables.include[0].columns: must name at least one column"
    ),
    FaultCase(
        Draft(tables: "{ include: [{ table: a, columns: [id, ID] }, { columns: ['a*'] }] }"),
        "s:3:33: tables.include[0].columns: names a column twice",
        "s:3:54: tables.include[1].table is missing: a table such as public.orders or \"sales.*\""
            + " is required",
        "s:3:66: tables.include[1].columns[0]: \"a*\" is a pattern where a name is due"
    ),
    FaultCase(
        Draft(tables: "{ include: [~, b], exclude: c }"),
        "s:3:21: tables.include[0] must be a table such as public.orders or \"sales.*\", it has no"
            + " value",
        "s:3:37: tables.exclude must be a list, each entry a table such as public.orders or"
            + " \"sales.*\", not a text"
    ),
]

private let connections = [
    FaultCase(
        Draft(source: "{ conninfo: x=y, host: h, port: 1, database: d, user: u, password: p }"),
        "s:2:26: source.host: cannot stand beside source.conninfo",
        "s:2:35: source.port: cannot stand beside source.conninfo",
        "s:2:44: source.database: cannot stand beside source.conninfo",
        "s:2:57: source.user: cannot stand beside source.conninfo",
        "s:2:66: source.password: cannot stand beside source.conninfo"
    ),
    FaultCase(
        Draft(source: "{ host: h, database: d, password: p, passwordFile: f }"),
        "s:2:46: source.passwordFile: cannot stand beside source.password"
    ),
    FaultCase(
        Draft(source: "{ host: 'a,b', port: '1,2,3', database: d }"),
        "s:2:24: source.port: has 3 ports for 2 hosts: give one, or one each"
    ),
    FaultCase(
        Draft(source: "{ host: 'a,,b', port: 0, database: d }"),
        "s:2:17: source.host: \"a,,b\" has an empty entry",
        "s:2:31: source.port: \"0\" is not a port from 1 to 65535"
    ),
    FaultCase(
        Draft(
            source: "{ host: h, database: d, tls: { mode: full, key: k, keyPasswordFile: ~/p } }"
        ),
        "s:2:46: source.tls.mode: \"full\" is not one of disable, allow, prefer, require,"
            + " verify-ca,"
            + " verify-full",
        "s:2:52: source.tls.key: needs source.tls.certificate beside it",
        "s:2:77: source.tls.keyPasswordFile: \"~/p\" begins with ~, which is not expanded: write"
            + " the"
            + " whole path"
    ),
    FaultCase(
        Draft(source: "{ host: h, database: d, tls: { mode: disable, channelBinding: require } }"),
        "s:2:55: source.tls.channelBinding: require cannot be held with mode disable: without TLS"
            + " there is no channel to bind to"
    ),
    FaultCase(
        Draft(
            source: "{ host: h, database: d, tls: { minimumVersion: TLSv1.4, channelBinding: on } }"
        ),
        "s:2:56: source.tls.minimumVersion: \"TLSv1.4\" is not one of TLSv1, TLSv1.1, TLSv1.2,"
            + " TLSv1.3 (did you mean \"TLSv1.1\"?)",
        "s:2:81: source.tls.channelBinding: \"on\" is not one of disable, prefer, require"
    ),
    FaultCase(
        Draft(source: "{ host: h, database: d, tls: { mode: require, rootCertificate: system } }"),
        "s:2:55: source.tls.rootCertificate: system needs mode verify-full: anybody can have a"
            + " certificate of its authorities"
    ),
    FaultCase(
        Draft(source: "{ host: h, database: d, passwordFile: 'credential:../x' }"),
        "s:2:47: source.passwordFile: \"credential:../x\" does not name a credential"
    ),
    FaultCase(
        Draft(source: "{ host: h, database: d, connectTimeout: 0 }"),
        "s:2:49: source.connectTimeout: \"0\" is out of bounds: 1s to 10m"
    ),
]

private let sinks = [
    FaultCase(
        Draft(sink: "{ ndjson: { directory: d } }"),
        "s:4:7: sink.kind is missing: one of ndjson, stream, postgresql, kafka is required"
    ),
    FaultCase(
        Draft(sink: "{ kind: ndjson }"),
        "s:4:7: sink.ndjson is missing: this kind's section is required"
    ),
    FaultCase(
        Draft(sink: "{ kind: stream, kafka: { bootstrapServers: 'a:1' } }"),
        "s:4:23: sink.kafka: does not belong here: sink.kind is stream"
    ),
    FaultCase(
        Draft(sink: "{ kind: ndjson, ndjson: { directory: d, rotate: 4095 } }"),
        "s:4:55: sink.ndjson.rotate: \"4095\" is out of bounds: 4KiB to 1TiB"
    ),
    FaultCase(
        Draft(
            sink: "{ kind: postgresql, postgresql: { host: h, database: d, createTables: yes } }"
        ),
        "s:4:77: sink.postgresql.createTables: \"yes\" is neither true nor false"
    ),
    FaultCase(
        Draft(
            sink: "{ kind: postgresql, postgresql: { host: h, database: d, ifNotEmpty: append } }"
        ),
        "s:4:75: sink.postgresql.ifNotEmpty: \"append\" is not one of refuse, truncate, merge"
    ),
    FaultCase(
        Draft(tables: "{ include: [{ table: 's.*', target: 't.x' }] }"),
        "s:3:37: tables.include[0].target: belongs to one table, not to a pattern"
    ),
    FaultCase(
        Draft(tables: "{ include: [{ table: s.a, target: 't.*' }] }"),
        "s:3:43: tables.include[0].target: \"t.*\" is a pattern where one table is due"
    ),
    FaultCase(
        Draft(sink: "{ kind: kafka, kafka: { topicPrefix: a b, properties: { x: [1] } } }"),
        "s:4:29: sink.kafka.bootstrapServers is missing: a host:port, or several between commas is"
            + " required",
        "s:4:44: sink.kafka.topicPrefix: \"a b\" is not a text of at most 100 of the characters"
            + " a-z,"
            + " A-Z, 0-9, ., _ and -",
        "s:4:66: sink.kafka.properties.x must be a text, not a list"
    ),
]
