// SPDX-License-Identifier: Apache-2.0
//
// The page as it is rendered on the server: the numbers stand in it, and no name breaks out of it.

import ChangeModel
import Foundation
import Pipeline
import Testing

@testable import Operations

@Suite struct StatusPageTests {
    private func page(_ board: StatusBoard) -> HTTPReply {
        HealthRoutes(board: board).reply(to: HTTPRequest(method: "GET", path: "/"))
    }

    @Test func `the numbers stand in the page without JavaScript`() {
        let html = page(makeBoard()).body
        for text in [
            ">orders<", ">streaming<", ">2.1 KiB<", ">16.0 MiB<", ">16/B374D848<",
            "<td>public.orders</td><td>copying</td>", "1\u{202f}234", "000000000001.ndjson.open",
        ] {
            #expect(html.contains(text), "\(text)")
        }
    }

    @Test func `the page loads nothing from elsewhere`() throws {
        let reply = page(makeBoard())
        let outside = try Regex("(src|href|action)\\s*=\\s*[\"'](?!/[a-z]|data:,)")
        #expect(reply.body.firstMatch(of: outside) == nil)
        #expect(!reply.body.contains("@import"))
        #expect(!reply.body.contains("url("))
        #expect(!reply.body.contains("innerHTML"))
        let policy = try #require(
            reply.headers.first { $0.name == "Content-Security-Policy" }?.value
        )
        #expect(policy.hasPrefix("default-src 'none'"))
        let nonce = try #require(policy.firstMatch(of: /script-src 'nonce-([0-9a-f]+)'/)?.1)
        #expect(reply.body.contains("<script nonce=\"\(nonce)\">"))
        #expect(page(makeBoard()).headers[0].value != policy, "a nonce serves once")
    }

    @Test(arguments: attacks) func `a name that attacks stays text`(name: String) {
        let clean = page(makeBoard()).body
        let board = makeBoard(task: name)
        board.update { status in
            status.version = name
            status.source.serverVersion = name
            status.source.slot = name
            status.snapshot.tables[0].table = name
            status.sink = .init(kind: name, details: [name: .text(name)])
        }
        board.record(WalrelayError(name, exit: .refused, name, hint: name), phase: .failed)
        let html = page(board).body
        // The same tags and quotes as in the page of a harmless board, and no other.
        for character in ["<", ">", "\"", "'"] as [Unicode.Scalar] {
            func count(_ text: String) -> Int { text.unicodeScalars.count { $0 == character } }
            // A kind and one detail here stand against a kind and three details there; the alarm
            // and the error lose their hidden attribute, which has no quotes.
            let lost = ["<": 8, ">": 8, "\"": 0, "'": 0][character] ?? 0
            #expect(count(html) == count(clean) - lost, "\(character)")
        }
        #expect(!html.contains("<script>"))
        #expect(!html.contains("<img"))
        #expect(!html.contains("\0"))
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
            "<dt>rtt</dt><dd>1.2 ms</dd>", "<dt>delivery</dt><dd>61 s</dd>",
            "<dt>queueBytes</dt><dd>1.5 KiB</dd>", "<dt>bytesWritten</dt><dd>99 B</dd>",
            "<dt>recordsWritten</dt><dd>12\u{202f}345</dd>", "<dt>Microseconds</dt><dd>7</dd>",
            "<dt>other</dt><dd>31 µs</dd>",
        ] {
            #expect(html.contains(row), "\(row)")
        }
    }

    @Test func `illness and the last error are shown`() {
        let board = makeBoard()
        #expect(page(board).body.contains("<p id=\"alarm\" class=\"alarm\" role=\"alert\" hidden>"))
        board.record(
            WalrelayError("slot.wal_lost", exit: .checkpointMismatch, "lost", hint: "teardown"),
            phase: .failed
        )
        let html = page(board).body
        #expect(html.contains("role=\"alert\">failed: lost [slot.wal_lost]</p>"))
        #expect(html.contains(">slot.wal_lost</code>"))
        #expect(html.contains(">teardown</p>"))
        #expect(html.contains("class=\"phase failed\""))
    }

    @Test func `numbers are written for people`() {
        #expect(PageNumber.count(0) == "0")
        #expect(PageNumber.count(999) == "999")
        #expect(PageNumber.count(1_234_567) == "1\u{202f}234\u{202f}567")
        #expect(PageNumber.count(-1000) == "-1\u{202f}000")
        #expect(PageNumber.count(Int.min).hasPrefix("-9"))
        #expect(PageNumber.count(nil) == "–")
        #expect(PageNumber.bytes(1023) == "1023 B")
        #expect(PageNumber.bytes(1536) == "1.5 KiB")
        #expect(PageNumber.bytes(1 << 50) == "1024.0 TiB")
        #expect(PageNumber.milliseconds(9999) == "9\u{202f}999 ms")
        #expect(PageNumber.milliseconds(61_000) == "61 s")
        #expect(PageNumber.rate(3.25) == "3.3 changes/s")
        #expect(PageNumber.rate(12_345) == "12\u{202f}345 changes/s")
    }
}

@Suite struct StatusJSONTests {
    @Test(arguments: attacks) func `a name that attacks survives JSON`(name: String) throws {
        let board = makeBoard(task: name)
        board.update { status in
            status.snapshot.tables = [.init(table: name)]
            status.sink = .init(kind: name, details: [name: .text(name)])
        }
        let body = HealthRoutes(board: board).reply(to: HTTPRequest(method: "GET", path: "/status"))
            .body
        let status = try JSONDecoder().decode(TaskStatus.self, from: Data(body.utf8))
        #expect(status.task == name)
        #expect(status.snapshot.tables[0].table == name)
        #expect(status.sink.details[name] == .text(name))
        for scalar in body.unicodeScalars where scalar != "\n" {
            #expect(scalar.value >= 0x20)
        }
    }
}
