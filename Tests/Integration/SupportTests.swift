// SPDX-License-Identifier: Apache-2.0
//
// The fixtures themselves, where a fault in them would make other tests lie.
import Foundation
import Glibc
import Support
import Testing

struct SupportTests {
    @Test(arguments: PostgresCluster.availableVersions)
    func `a cluster starts, answers, restarts and goes`(version: PostgresVersion) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        #expect(try cluster.psql("SHOW server_version").hasPrefix("\(version.rawValue)"))
        #expect(try cluster.psql("SHOW wal_level; SHOW fsync") == "logical\non")
        let first = try #require(cluster.pid)
        try cluster.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT 1")
        try await cluster.restart(.immediate, settings: ["work_mem": "8MB"])
        #expect(cluster.pid != first)
        #expect(try cluster.psql("SELECT a FROM t; SHOW work_mem") == "1\n8MB")
        let directory = cluster.socketDirectory
        try cluster.stop()
        #expect(throws: SupportError.self) { try cluster.psql("SELECT 1") }
        try await cluster.start()
        #expect(try cluster.psql("SELECT a FROM t") == "1")
        try cluster.stop()
        _ = consume cluster
        #expect(!FileManager.default.fileExists(atPath: directory))
    }

    @Test(arguments: [PostgresVersion.v11, .v15].filter(\.isAvailable))
    func `a standby follows its primary`(version: PostgresVersion) async throws {
        let primary = try await PostgresCluster.start(version: version)
        try primary.psql("CREATE TABLE t AS SELECT 1 AS a")
        let standby = try await primary.startStandby()
        #expect(try standby.psql("SELECT pg_is_in_recovery()") == "t")
        try primary.psql("INSERT INTO t VALUES (2)")
        try await eventually { try standby.psql("SELECT count(*) FROM t") == "2" }
    }

    @Test
    func `a server that crashed is started again`() async throws {
        let cluster = try await PostgresCluster.start()
        kill(try #require(cluster.pid), SIGQUIT)
        try await eventually { cluster.pid == nil }
        try await cluster.start()
        #expect(try cluster.psql("SELECT 1") == "1")
    }
}

struct EventReaderTests {
    private static func line(
        _ op: String,
        _ id: Int,
        commit: Int = 100,
        order: Int,
        before: String = "null",
        after: String? = nil
    ) -> String {
        let row = after ?? (op == "d" ? "null" : #"{"id":\#(id),"a":"x"}"#)
        let transaction =
            op == "r"
            ? "null"
            : #"{"id":"7:\#(commit)","total_order":\#(order),"data_collection_order":\#(order)}"#
        return #"{"before":\#(before),"after":\#(row),"source":{"schema":"public","table":"t","#
            + #""sequence":"[\"\#(commit)\",\"\#(op == "r" ? 0 : order)\"]"},"#
            + #""op":"\#(op)","ts_ms":5,"transaction":\#(transaction)}"#
    }

    private static func faults(_ lines: [String]) throws -> [String] {
        var tables = RebuiltTables()
        for line in lines { tables.apply(try ChangeEvent(line)) }
        return tables.faults
    }

    @Test
    func `a line is read with its escapes and its numbers as written`() throws {
        let event = try ChangeEvent(
            Self.line(
                "c",
                1,
                order: 3,
                after: #"{"id":12345678901234567890, "t":"a\"\\\n\u00e9\ud83d\ude00/", "#
                    + #""n":null,"l":[1,["}",null]],"f":1.50,"b":true}"#
            )
        )
        #expect(event.table == "public.t")
        #expect(event.commitLSN == 100)
        #expect(event.ordinal == 3)
        #expect(event.totalOrder == 3)
        #expect(
            event.after == [
                "id": .raw("12345678901234567890"), "t": .string("a\"\\\né😀/"), "n": .null,
                "l": .raw(#"[1,["}",null]]"#), "f": .raw("1.50"), "b": .raw("true"),
            ]
        )
    }

    @Test(arguments: [
        #"{"op":"c""#, #"{"op":"c"} x"#, #"{"op":"z"}"#, #"{"op":c}"#,
        #"{"op":"c","after":{"a":}}"#,
        #"{"op":"c","after":{"a":1,"a":2}}"#, #"{"op":"c","after":{"a":"\ud83d"}}"#, "", "[]",
    ])
    func `a malformed line is refused`(line: String) {
        #expect(throws: SupportError.self) { try ChangeEvent(line) }
    }

    @Test
    func `events in order rebuild the table`() throws {
        var tables = RebuiltTables()
        for line in [
            Self.line("r", 1, order: 0), Self.line("r", 2, order: 0),
            Self.line("c", 3, order: 1),
            Self.line(
                "u",
                1,
                order: 2,
                after: #"{"id":1,"a":"__debezium_unavailable_value","b":null}"#
            ),
            Self.line("u", 9, commit: 101, order: 1, before: #"{"id":2}"#, after: #"{"id":9}"#),
            Self.line("d", 3, commit: 102, order: 1, before: #"{"id":3}"#),
        ] { tables.apply(try ChangeEvent(line)) }
        #expect(tables.faults.isEmpty)
        #expect(tables.transactions == 3)
        let table = try #require(tables.tables["public.t"])
        #expect(
            table.rows == [
                "1": ["id": .raw("1"), "a": .string("x"), "b": .null],
                "9": ["id": .raw("9"), "a": .string("x")],
            ]
        )
        #expect(
            table.differences(from: [["id": "1", "a": "x", "b": nil], ["id": "9", "a": "x"]]) == []
        )
        #expect(
            table.differences(from: [["id": "1", "a": "y"], ["id": "8", "a": "x"]]).count == 2
        )
    }

    @Test
    func `each kind of fault is seen`() throws {
        let twice = Self.line("c", 1, order: 1)
        #expect(try Self.faults([twice, twice]).contains { $0.hasPrefix("ordinal 1 after 1") })
        let back = [Self.line("c", 1, order: 1), Self.line("c", 2, commit: 99, order: 1)]
        #expect(try Self.faults(back).contains { $0.hasPrefix("commit 99 after") })
        let hole = [Self.line("c", 1, order: 1), Self.line("c", 2, order: 3)]
        #expect(try Self.faults(hole).contains { $0.hasPrefix("total_order is not 2") })
        #expect(try Self.faults([Self.line("c", 1, order: 2)]).count == 2)
        #expect(try Self.faults([Self.line("u", 1, order: 1)]).count == 1)
        #expect(try Self.faults([Self.line("d", 1, order: 1, before: #"{"id":1}"#)]).count == 1)
        let doubled = [Self.line("r", 1, order: 0), Self.line("r", 1, order: 0)]
        #expect(try Self.faults(doubled).count == 1)
    }

    @Test
    func `files are read in order up to the checkpoint`() throws {
        let directory = try TemporaryDirectory()
        let lines = (1...4).map { Self.line("c", $0, order: $0) + "\n" }
        try directory.write(lines[0] + lines[1], to: "000000000001.ndjson")
        try directory.write(lines[2] + lines[3].dropLast(5), to: "000000000002.ndjson.open")
        let reader = NDJSONReader(directory.path)
        #expect(try reader.events().map(\.ordinal) == [1, 2, 3])
        let checkpoint = #"{"file":"000000000002.ndjson.open","length":"#
        try directory.write(checkpoint + "\(lines[2].utf8.count)}", to: "checkpoint.json")
        #expect(try reader.count() == 3)
        try directory.write(checkpoint + "0}", to: "checkpoint.json")
        #expect(try reader.count() == 2)
        #expect(try NDJSONReader(directory.path, extent: .everything).count() == 3)
        try directory.write(checkpoint + "99999}", to: "checkpoint.json")
        #expect(throws: SupportError.self) { try reader.count() }
    }

    @Test
    func `a table without key is compared as a bag`() async throws {
        var tables = RebuiltTables(keys: ["public.t": []])
        for id in [1, 1, 2] { tables.apply(try ChangeEvent(Self.line("r", id, order: 0))) }
        let gone = #"{"id":1,"a":"x"}"#
        tables.apply(try ChangeEvent(Self.line("d", 1, order: 1, before: gone)))
        #expect(tables.faults.isEmpty)
        let table = try #require(tables.tables["public.t"])
        #expect(table.differences(from: [["id": "2", "a": "x"], ["id": "1", "a": "x"]]) == [])
        #expect(
            table.differences(from: [["id": "1", "a": "x"], ["id": "1", "a": "x"]]).count == 1
        )
    }
}
