// SPDX-License-Identifier: Apache-2.0
//
// The page as it is rendered: the numbers and graphs stand in it, no name breaks out of it, and its
// size has a bound.

import ChangeModel
import Foundation
import Testing

@testable import Operations
@testable import Pipeline

@Suite struct StatusPageTests {
    private func page(_ board: StatusBoard) -> HTTPReply {
        HealthRoutes(board: board).reply(to: HTTPRequest(method: "GET", path: "/"))
    }

    @Test func `the numbers stand in the page without JavaScript`() {
        let html = page(makeBoard()).body
        for text in [
            "<h1>orders</h1>", ">streaming<", ">2 KiB<", ">16 MiB<", ">16/B374D848<",
            "<th scope=\"row\">public.orders</th><td>copying</td>", ">1,234<", ">4,000<",
            "000000000001.ndjson.open", "<noscript><meta http-equiv=\"refresh\" content=\"5\">",
            "value=\"30\"",
        ] {
            #expect(html.contains(text), "\(text)")
        }
    }

    @Test func `the graphs stand in the page, with their values in words`() {
        let html = page(makeBoardWithPast()).body
        #expect(html.components(separatedBy: "<path class=\"line\" d=\"M").count == 5)
        #expect(html.contains("aria-label=\"Throughput, the last 60 min. Now "))
        #expect(html.contains("aria-label=\"WAL kept for the slot, the last 60 min. Now "))
        #expect(html.contains("shaded: reconnecting"))
        #expect(html.contains("<rect class=\"out\""))
        let young = page(makeBoardWithPast(minutes: 3)).body
        #expect(young.contains("the last 5 min"))
        #expect(young.contains("<span>5 min ago</span><span>2.5 min ago</span>"))
        #expect(page(makeBoard()).body.contains("nothing known yet"))
    }

    @Test func `the pace of a snapshot does not flatten the changes after it`() {
        let clock = MovedClock(past: .seconds(120))
        let board = StatusBoard(task: "t", version: "1", sinkKind: "ndjson", clock: clock.board)
        func take(_ phase: TaskStatus.Phase, _ changes: Int) {
            board.update { $0.phase = phase }
            for _ in 0..<4 {
                clock.advance(seconds: 5)
                board.addChanges(changes * 5, transactions: 1)
                _ = board.sample()
            }
        }
        take(.snapshotting, 90_000)
        #expect(page(board).body.contains("lowest 90,000, highest 90,000"))
        take(.streaming, 40)
        #expect(page(board).body.contains("lowest 40, highest 40"))
    }

    @Test func `the page loads nothing from elsewhere`() throws {
        let reply = page(makeBoard())
        let outside = try Regex("(src|href|action)\\s*=\\s*[\"'](?![a-z]+[\"']|data:,)")
        #expect(reply.body.firstMatch(of: outside) == nil)
        for word in ["@import", "url(", "innerHTML", " style=", "://"] {
            #expect(!reply.body.contains(word), "\(word)")
        }
        let policy = try #require(
            reply.headers.first { $0.name == "Content-Security-Policy" }?.value
        )
        #expect(policy.hasPrefix("default-src 'none'"))
        #expect(!policy.contains("unsafe"))
        let nonce = try #require(policy.firstMatch(of: /script-src 'nonce-([0-9a-f]+)'/)?.1)
        #expect(reply.body.contains("<script nonce=\"\(nonce)\">"))
        #expect(page(makeBoard()).headers[0].value != policy, "a nonce serves once")
    }

    @Test(arguments: attacks) func `a name that attacks stays text`(name: String) {
        func board(_ name: String) -> StatusBoard {
            let board = makeBoard(task: name)
            board.update { status in
                status.version = name
                status.source.serverVersion = name
                status.source.slot = name
                status.source.walStatus = name
                status.snapshot.tables[0].table = name
                status.sink = .init(kind: name, details: [name: .text(name)])
                status.certificates = [
                    .init(server: .source, certificate: name, subject: name, notAfterSeconds: 0)
                ]
            }
            board.warn(name, name)
            board.record(WalrelayError(name, exit: .refused, name, hint: name), phase: .failed)
            return board
        }
        let clean = page(board("harmless")).body
        let html = page(board(name)).body
        // The same tags and quotes as in the page of a harmless board, and no other.
        for character in ["<", ">", "\"", "'"] as [Unicode.Scalar] {
            func count(_ text: String) -> Int { text.unicodeScalars.count { $0 == character } }
            #expect(count(html) == count(clean), "\(character)")
        }
        for scalar in html.unicodeScalars where scalar.value < 0x20 { #expect(scalar == "\n") }
        #expect(html.unicodeScalars.allSatisfy { !["\u{202e}", "\u{2028}"].contains($0) })
    }

    @Test func `a sink's numbers have the units that their names say`() {
        let board = makeBoard()
        board.update { status in
            status.sink.details = [
                "rttMicroseconds": 1240, "deliveryMicroseconds": 61_000_000, "queueBytes": 1536,
                "bytesWritten": 99, "recordsWritten": 12_345, "Microseconds": 7,
                "otherMicroseconds": 31,
            ]
        }
        let html = page(board).body
        for row in [
            "<dt>rtt</dt><dd>1.2 ms</dd>", "<dt>delivery</dt><dd>1 min 1 s</dd>",
            "<dt>queueBytes</dt><dd>1.5 KiB</dd>", "<dt>bytesWritten</dt><dd>99 bytes</dd>",
            "<dt>recordsWritten</dt><dd>12,345</dd>", "<dt>Microseconds</dt><dd>7</dd>",
            "<dt>other</dt><dd>31 µs</dd>",
        ] {
            #expect(html.contains(row), "\(row)")
        }
    }

    @Test func `illness, warnings and errors are shown with what helps`() {
        let board = makeBoard()
        #expect(page(board).body.contains("data-live hidden></section>"))
        board.warn("slot.retention", "The slot keeps 5 GiB.")
        #expect(page(board).body.contains("The slot keeps 5 GiB. <code>slot.retention</code>"))
        let error = WalrelayError(
            "slot.wal_lost",
            exit: .checkpointMismatch,
            "lost",
            hint: "teardown"
        )
        board.record(error)
        #expect(!page(board).body.contains("<div class=\"notice"), "it is past while it streams")
        board.record(error, phase: .failed)
        let html = page(board).body
        #expect(html.contains("<div class=\"notice bad\" role=\"alert\"><p>lost"))
        #expect(html.contains("<code>slot.wal_lost</code>"))
        #expect(html.contains(">try: teardown</p>"))
        #expect(html.contains("2 times since"))
        #expect(html.contains("<header id=\"head\" class=\"failed\""))
        board.update { status in
            status.lastError = nil
            status.recentErrors = []
        }
        #expect(page(board).body.contains("failed: no reason was recorded"))
    }

    @Test func `certificates say how long they are valid`() {
        let board = makeBoard()
        let now = UTCTimestamp.now.unixMilliseconds / 1000
        let lefts: [(Int64, String)] = [(-5, "old"), (778_200, "soon"), (8_553_600, "late")]
        board.update { status in
            status.certificates = lefts.map { left, name in
                TaskStatus.Certificate(
                    server: .source,
                    certificate: name,
                    subject: "CN=\(name)",
                    notAfterSeconds: now + left
                )
            }
        }
        let html = page(board).body
        #expect(html.contains("<td class=\"n bad\">expired</td>"))
        #expect(html.contains("<td class=\"n warn\">9 days</td>"))
        #expect(html.contains("<td class=\"n good\">9"))
    }

    @Test func `its size has a bound whatever the task`() {
        let board = makeCopyingBoard(tables: 5000)
        let long = String(repeating: "\"x", count: 100_000)
        for index in 0..<100 {
            board.warn("code\(index)", long)
            board.record(WalrelayError("a", exit: .refused, "\(index)\(long)", hint: long))
        }
        let html = page(board).body
        #expect(html.contains("and 4,900 more; "))
        #expect(html.components(separatedBy: "<th scope=\"row\">").count - 1 == 100)
        #expect(html.utf8.count < 512 << 10)
        let usual = page(makeBoardWithPast()).body.utf8.count
        #expect(usual < 64 << 10, "\(usual) bytes")
    }
}

@Suite struct HistoryDocumentTests {
    @Test func `it is the last hour as JSON, a list a value`() throws {
        let board = makeBoardWithPast()
        let reply = HealthRoutes(board: board)
            .reply(to: HTTPRequest(method: "GET", path: "/history"))
        #expect(reply.contentType == "application/json")
        let document = try #require(
            JSONSerialization.jsonObject(with: Data(reply.body.utf8)) as? [String: Any]
        )
        #expect(document["intervalSeconds"] as? Int == 5)
        #expect((document["newestAt"] as? String)?.hasSuffix("Z") == true)
        let names = [
            "changesPerSecond", "rowsPerSecond", "bytesPerSecond", "lagMilliseconds", "lagBytes",
            "retainedBytes",
        ]
        #expect(Set(document.keys) == Set(names + ["intervalSeconds", "newestAt", "phases"]))
        for name in names {
            let list = try #require(document[name] as? [Any], "\(name)")
            #expect(list.count == 720)
        }
        let phases = try #require(document["phases"] as? [[Any]])
        #expect(
            phases.compactMap { $0[0] as? String } == ["streaming", "reconnecting", "streaming"]
        )
        #expect(phases.compactMap { $0[1] as? Int }.reduce(0, +) == 720)
        let rates = try #require(document["changesPerSecond"] as? [Any])
        #expect(rates[0] is NSNull)
        #expect(rates[1] as? Double ?? 0 > 1000)
    }

    @Test func `a history of nothing is a document, too`() throws {
        let reply = HealthRoutes(board: makeBoard())
            .reply(to: HTTPRequest(method: "GET", path: "/history"))
        let document = try #require(
            JSONSerialization.jsonObject(with: Data(reply.body.utf8)) as? [String: Any]
        )
        #expect(document["newestAt"] is NSNull)
        #expect((document["lagBytes"] as? [Any])?.isEmpty == true)
    }

    @Test func `the recorder takes points until it is stopped`() async throws {
        let board = makeBoard()
        let recorder = Task { await HistoryRecorder(board: board).run() }
        while board.history.points.isEmpty { await Task.yield() }
        recorder.cancel()
        await recorder.value
        #expect(board.history.points.count == 1)
    }
}

@Suite struct PageGraphTests {
    @Test func `an axis ends at a number that halves well`() {
        let rates = [0, 10, 11, 501, 20_000, 20_001].map { GraphUnit.rate.axisEnd(for: $0) }
        #expect(rates == [10, 10, 20, 1000, 20_000, 50_000])
        let sizes = [0, 65_536, 65_537, 3_221_225_472].map { GraphUnit.bytes.axisEnd(for: $0) }
        #expect(sizes == [65_536, 65_536, 131_072, 4_294_967_296])
        let times = [3, 10_000, 10_001, 61_000, 3_600_001, 1e12]
            .map { GraphUnit.milliseconds.axisEnd(for: $0) }
        #expect(times == [100, 10_000, 20_000, 120_000, 7_200_000, 1_769_472_000_000])
        for value in [Double.greatestFiniteMagnitude, 1e18] {
            for unit in [GraphUnit.rate, .bytes, .milliseconds] {
                #expect(unit.axisEnd(for: value) > 0)
            }
        }
    }

    @Test func `a gap parts the line, and a peak is not lost`() {
        var values = [Double?](repeating: 1, count: 720)
        values[301] = 1000
        for index in 400..<500 { values[index] = nil }
        let graph = PageGraph(
            id: "t",
            title: "T",
            now: "1",
            unit: .rate,
            key: "k",
            values: values,
            outages: values.map { $0 == nil }
        )
        let html = graph.figure.html
        #expect(html.contains(" 149 99.9 150 0 151 99.9"))
        #expect(html.contains("199 99.9M250 99.9"))
        #expect(
            html.contains("<rect class=\"out\" x=\"200\" y=\"0\" width=\"50\" height=\"100\"/>")
        )
        #expect(html.contains("lowest 1, highest 1,000; shaded: reconnecting"))
    }
}
