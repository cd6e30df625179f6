// SPDX-License-Identifier: Apache-2.0
//
// Tables that come into a running task whose sink is another PostgreSQL or Kafka, under writes and
// killed at the edges; and `walrelay snapshot`, of a task that runs and of one that does not.
import Foundation
import Glibc
import Sink
import Support
import Testing

extension Changeover {
    @Suite(.serialized) struct AdditionSinkTests {
        // MARK: Another PostgreSQL

        @Test(
            .timeLimit(.minutes(4)),
            arguments: [[], ["onRowError: deadLetter"]] as [[String]]
        )
        func `a table is added to a copy under load`(target: [String]) async throws {
            let name = target.isEmpty ? "add_lanes" : "add_merged"
            var task = try await CopyTask.sharing(name, sql: AdditionLoad.tables)
            task = try task.with(target: target, tables: ["public.a"])
            let daemon = try task.start()
            try await task.relay.waitForPhase("streaming", of: daemon)
            let load = WritingClient(
                task.servers.source,
                database: task.database,
                seconds: 5,
                perSecond: 50
            ) { AdditionLoad.change($0) }
            try task.relay.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            try await load.wait(.seconds(90))
            #expect(load.errors == [:])
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            #expect(try await task.target("SELECT count(*) FROM walrelay.copied") == "0")
            try await task.end()
        }

        @Test(
            .timeLimit(.minutes(4)),
            .enabled(if: TestKnob.hasFailpoints, "a release build has no failpoints"),
            arguments: [
                "sink.chunk_before_commit", "addition.before_commit", "addition.after_commit",
            ]
        )
        func `death while a copy gets a table loses and doubles nothing`(
            point: String
        ) async throws {
            let name = "add_" + (point.split(separator: ".").last ?? "")
            var task = try await CopyTask.sharing(name, sql: AdditionLoad.tables)
            task = try task.with(tables: ["public.a"], more: "batch: { delay: 5ms }")
            try await task.runUntilNow()
            let daemon = try task.start(failpoint: point)
            try await task.relay.waitForPhase("streaming", of: daemon)
            let load = WritingClient(
                task.servers.source,
                database: task.database,
                seconds: 60,
                perSecond: 30
            ) { AdditionLoad.change($0) }
            try task.relay.reload(daemon, include: ["public.a", "public.b"])
            #expect(try await daemon.wait() == .signal(SIGKILL))
            let next = try task.start()
            if point != "addition.after_commit" {
                try await next.waitForLog("added public.b", timeout: .seconds(90))
            }
            load.stop()
            try await load.wait(.seconds(90))
            try await task.relay.waitForPhase("streaming", of: next)
            #expect(try await next.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(3)))
        func `a table of a copy is copied once more`() async throws {
            let task = try await CopyTask.sharing("again_copy", sql: AdditionLoad.tables)
            try await task.runUntilNow()
            // What nobody but a new copy mends.
            try await task.target("DELETE FROM b WHERE id % 3 = 0; UPDATE b SET v = 'spoilt'")
            #expect(try await task.differences() != [])
            // Nobody runs it: the wish waits in the checkpoint.
            let noted = try await Self.snapshot(task.relay, ["public.b"])
            #expect(noted.status == .code(0), "\(noted.stderr)")
            #expect(noted.stdout.contains("Noted"))
            let daemon = try task.start()
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }

        @Test(.timeLimit(.minutes(3)))
        func `a row that the target refuses keeps out its table and no other`() async throws {
            var task = try await CopyTask.sharing("add_refused", sql: AdditionLoad.tables)
            task = try task.with(target: ["ifNotEmpty: merge"], tables: ["public.a"])
            try await task.target(
                "CREATE TABLE b (id int PRIMARY KEY, v text, w text, CHECK (id <> 19000))"
            )
            let daemon = try task.start()
            try await task.relay.waitForPhase("streaming", of: daemon)
            try task.relay.reload(daemon, include: ["public.a", "public.b"])
            try await daemon.waitForLog("tables are not added")
            // What mends it is no reason to stop either.
            try await task.target(
                "ALTER TABLE b DROP CONSTRAINT b_id_check; ALTER TABLE b DROP w"
            )
            try await task.source("ALTER TABLE b DROP w; UPDATE b SET v = 'on' WHERE id = 1")
            try await task.source("INSERT INTO a VALUES (500, 'on')")
            try await daemon.until(.seconds(30), "the other table goes on") {
                try await task.target("SELECT v FROM a WHERE id = 500") == "on"
            }
            try task.relay.reload(daemon, include: ["public.b", "public.a"])
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            #expect(try await task.differences() == [])
            try await task.end()
        }

        // MARK: Files

        @Test(.timeLimit(.minutes(3)))
        func `a running task copies a table once more`() async throws {
            let cluster = try await PostgresCluster.start()
            try cluster.psql(AdditionLoad.tables)
            let task = try RelayTask(cluster)
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            let load = WritingClient(cluster, seconds: 60, perSecond: 50) {
                AdditionLoad.change($0)
            }
            let asked = try await Self.snapshot(task, ["public.b"])
            #expect(asked.status == .code(0), "\(asked.stderr)")
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            load.stop()
            try await load.wait(.seconds(90))
            let unknown = try await Self.snapshot(task, ["public.nothing"])
            #expect(unknown.status == .code(64))
            #expect(try await daemon.stop() == .code(0))
            try await task.runUntilNow()
            // Events by key, in order: the second copy takes the place of what was there.
            var rows: [String: String] = [:]
            var copies: [String: Int] = [:]
            for event in try task.events.events() where event.table == "public.b" {
                let id = (event.after ?? event.before)?["id"]?.text ?? "?"
                if event.op == "r" { copies[id, default: 0] += 1 }
                if let former = event.before?["id"]?.text { rows[former] = nil }
                rows[id] = event.op == "d" ? nil : event.after?["v"]?.text
            }
            #expect(copies.values.max() == 2)
            let source = try cluster.psql("SELECT id || ' ' || v FROM b").split(separator: "\n")
            #expect(Set(rows.map { "\($0) \($1)" }) == Set(source.map(String.init)))
        }

        @Test(.timeLimit(.minutes(3)))
        func `nobody asks over http without the header or the token`() async throws {
            let cluster = try await PostgresCluster.start()
            try cluster.psql(AdditionLoad.tables)
            let task = try RelayTask(cluster, tables: ["public.a"])
            let token = "abcdefghijklmnop0123456789"
            let text = try String(contentsOfFile: task.settingsPath, encoding: .utf8)
            try text.replacing("\(task.port)\" }", with: "\(task.port)\", token: \(token) }")
                .write(toFile: task.settingsPath, atomically: true, encoding: .utf8)
            let daemon = try task.start()
            try await daemon.waitForLog("streaming")
            let wire = HTTPWire(port: task.port)
            func post(_ lines: String...) throws -> Int? {
                let head = ["POST /snapshot HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
                return try wire.exchange(
                    Array(((head + lines).joined(separator: "\r\n") + "\r\n\r\n").utf8)
                ).code
            }
            let login = "Authorization: Bearer \(token)"
            #expect(try post("Walrelay-Tables: public.a") == 401)
            #expect(try post(login) == 400)
            #expect(try post(login, "Walrelay-Tables: public") == 400)
            #expect(try post(login, "Walrelay-Tables: a.b", "Content-Length: 3") == 413)
            #expect(try wire.get("/snapshot", login).code == 405)
            // The task says what it does not know, and runs on.
            #expect(try post(login, "Walrelay-Tables: public.unknown") == 202)
            try await daemon.waitForLog("code=snapshot.unknown_table")
            #expect(try post(login, "Walrelay-Tables: public.%61") == 202)
            try await daemon.waitForLog("added public.a", timeout: .seconds(90))
            #expect(try await daemon.stop() == .code(0))
        }

        // MARK: Kafka

        @Test(
            .timeLimit(.minutes(5)),
            .enabled(if: KafkaBroker.isAvailable && TestKnob.hasFailpoints, "no broker here"),
            arguments: [nil, "addition.before_write:3", "addition.before_commit"] as [String?]
        )
        func `a table comes into topics, also after a death`(point: String?) async throws {
            let name = "add_topics_" + (point?.filter(\.isLetter).suffix(6) ?? "none")
            let task = try await KafkaTask.sharing(
                name.lowercased(),
                sql: AdditionLoad.tables,
                tables: ["public.a"]
            )
            var daemon = try task.start(failpoint: point)
            try await task.relay.waitForPhase("streaming", of: daemon)
            let load = WritingClient(
                task.relay.cluster,
                database: task.database,
                seconds: 60,
                perSecond: 30
            ) { AdditionLoad.change($0) }
            try task.relay.reload(daemon, include: ["public.a", "public.b"])
            if point != nil {
                #expect(try await daemon.wait() == .signal(SIGKILL))
                daemon = try task.start()
            }
            try await daemon.waitForLog("added public.b", timeout: .seconds(90))
            load.stop()
            try await load.wait(.seconds(90))
            try await task.waitUntilDurable(daemon)
            #expect(try await daemon.stop() == .code(0))
            let differences = try await task.differences(
                AdditionLoad.keys,
                isInterrupted: point != nil
            )
            #expect(differences == [])
            try await task.end()
        }

        private static func snapshot(_ task: RelayTask, _ tables: [String]) async throws -> Outcome
        {
            let process = try DaemonProcess(["snapshot", "--config", task.settingsPath] + tables)
            let status = try await process.wait()
            return Outcome(status: status, stdout: process.stdout, stderr: process.stderr)
        }
    }
}
