// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Testing

@testable import Settings

@Suite struct SettingsReloadTests {
    private func settings(_ more: String, tables: String = "[public.a]") throws -> Settings {
        try Settings.parse(
            """
            task: t
            source: { host: h, database: d, user: u, password: one }
            tables: { include: \(tables) }
            sink: { kind: postgresql, postgresql: { host: h, database: e, user: u, password: two } }
            \(more)
            """,
            baseDirectory: "/",
            environment: [:]
        )
    }

    @Test func `what is the same is neither applied nor waited for`() throws {
        let former = try settings("")
        let reload = SettingsReload(from: former, to: try settings("batch: { rows: 10000 }"))
        #expect(reload == SettingsReload(from: former, to: former))
        #expect(reload.applied == [] && reload.waiting == [])
    }

    @Test func `live settings are taken over, in the order of the file's sections`() throws {
        let new = try settings(
            """
            log: { level: debug }
            batch: { rows: 7 }
            stream: { onTruncate: apply }
            retry: { for: 1m }
            """
        )
        let reload = SettingsReload(from: try settings(""), to: new)
        #expect(reload.applied == ["stream.onTruncate", "batch.rows", "log.level", "retry.for"])
        #expect(reload.waiting == [])
        #expect(reload.settings == new)
    }

    @Test func `passwords of a Kafka cluster are taken over, and no other property`() throws {
        func settings(_ section: String) throws -> Settings {
            try Settings.parse(
                """
                task: t
                source: { host: h, database: d }
                tables: { include: [public.a] }
                sink: { kind: kafka, kafka: { bootstrapServers: a, \(section) } }
                """,
                baseDirectory: "/",
                environment: [:]
            )
        }
        let former = try settings(
            "keyPasswordFile: k, properties: { linger.ms: 5, sasl.password: one }"
        )
        let new = try settings("passwordFile: p, keyPasswordFile: l, properties: { linger.ms: 6 }")
        let reload = SettingsReload(from: former, to: new)
        #expect(
            reload.applied == [
                "sink.kafka.passwordFile", "sink.kafka.keyPasswordFile",
                "sink.kafka.properties (passwords)",
            ]
        )
        #expect(reload.waiting == ["sink"])
        guard case .kafka(let kept) = reload.settings.sink else { throw Rejection("none") }
        #expect(kept.password == .file("/p") && kept.keyPassword == .file("/l"))
        #expect(kept.properties == ["linger.ms": Secret("5")])
    }

    @Test func `a password of another login, or of another kind of sink, waits with that`() throws {
        let former = try settings("")
        var new = former
        new.source.target = .server(hosts: ["h"], ports: [], database: "d", user: "other")
        new.source.password = .literal(Secret("other"))
        var kafka = Settings.Sink.Kafka(bootstrapServers: ["a"], topicPrefix: "t")
        kafka.password = .file("/p")
        new.sink = .kafka(kafka)
        for (one, other) in [(former, new), (new, former)] {
            let reload = SettingsReload(from: one, to: other)
            #expect(reload.applied == [] && reload.waiting == ["source", "sink"])
            #expect(reload.settings == one)
        }
    }

    @Test func `passwords are taken over, and nothing else of a connection`() throws {
        let former = try settings("")
        var new = former
        new.source.password = .literal(Secret("other"))
        guard case .postgresql(var section) = new.sink else { throw Rejection("no section") }
        section.connection.password = .literal(Secret("another"))
        section.connection.connectTimeout = .seconds(3)
        new.sink = .postgresql(section)
        let reload = SettingsReload(from: former, to: new)
        #expect(reload.applied == ["source.password", "sink.postgresql.password"])
        #expect(reload.waiting == ["sink"])
        guard case .postgresql(let kept) = reload.settings.sink else { throw Rejection("none") }
        #expect(kept.connection.password == .literal(Secret("another")))
        #expect(kept.connection.connectTimeout == .seconds(10))
    }

    @Test func `tables come and go, and keep the form in which they were copied`() throws {
        let former = try settings("", tables: "[public.a, { table: public.b, columns: [x] }]")
        let added = SettingsReload(
            from: former,
            to: try settings("", tables: "[public.c, public.b, public.a]")
        )
        #expect(added.applied == ["tables.include"])
        #expect(added.waiting == ["tables.include (columns, where or target of a table)"])
        let rules = added.settings.tables.include
        #expect(rules.map(\.pattern.description).sorted() == ["public.a", "public.b", "public.c"])
        #expect(rules.first { $0.pattern.description == "public.b" }?.columns == ["x"])
        let gone = SettingsReload(from: former, to: try settings("", tables: "[public.a]"))
        #expect(gone.applied == ["tables.include"] && gone.waiting == [])
    }

    @Test func `what waits is named, whatever it is`() throws {
        let former = try settings("")
        var new = former
        new.task = "other"
        new.format.binary = .hex
        new.snapshot.mode = .never
        new.slot.failover.toggle()
        let reload = SettingsReload(from: former, to: new)
        #expect(reload.applied == [])
        #expect(reload.waiting == ["task", "snapshot.mode", "format", "slot"])
        #expect(reload.settings.task == "t")
    }
}
