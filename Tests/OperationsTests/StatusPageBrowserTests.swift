// SPDX-License-Identifier: Apache-2.0
//
// The page in a real browser: its script runs under its own policy and follows the board, with no
// complaint and nothing asked of anyone else; every way of looking at it has room for it.
// WALRELAY_TEST_SHOW=DIRECTORY keeps the pictures.

import ChangeModel
import Foundation
import Pipeline
import Support
import Testing

@testable import Operations

@Suite(.enabled(if: HeadlessBrowser.executable != nil, "\(HeadlessBrowser.absence)"), .serialized)
struct StatusPageBrowserTests {
    /// Looks at a board's page with a browser of its own.
    private func look(
        at board: StatusBoard,
        _ body: @escaping @Sendable (HeadlessBrowser, String) throws -> Void
    ) async throws {
        try await withHealthServer(board: board) { port in
            try await onThread { try body(try HeadlessBrowser(), "http://127.0.0.1:\(port)/") }
        }
    }

    private static let shown = ProcessInfo.processInfo.environment["WALRELAY_TEST_SHOW"]

    private static func keep(_ picture: Data, as name: String) throws {
        guard let shown else { return }
        try picture.write(to: URL(filePath: shown).appending(path: name + ".png"))
    }

    /// Whether anything is wider than the window.
    private static let overflow = "document.documentElement.scrollWidth - window.innerWidth"

    struct Sight: Sendable, CustomTestStringConvertible {
        var name: String
        var board: @Sendable () -> StatusBoard
        var testDescription: String { name }
    }

    static let sights = [
        Sight(name: "streaming") { makeBoardWithPast() },
        Sight(name: "copying") { makeCopyingBoard(tables: 120) },
        Sight(name: "failed") {
            let board = makeBoardWithPast()
            board.warn(
                "slot.retention",
                "The slot keeps 5.2 GiB of WAL, and max_slot_wal_keep_size is 8 GiB: at the rate of "
                    + "the last ten minutes it is reached in 2 h 10 min. Look at why the sink is slow."
            )
            board.record(
                WalrelayError(
                    "slot.wal_lost",
                    exit: .checkpointMismatch,
                    "The slot di_slot_orders has lost its WAL from 16/B2000000 on (wal_status lost)",
                    hint: "walrelay run --config orders.yaml --resnapshot copies the tables anew"
                ),
                phase: .failed
            )
            return board
        },
        Sight(name: "hostile") { hostileBoard() },
    ]

    static func hostileBoard() -> StatusBoard {
        let board = makeBoard(task: "orders")
        let image = "<img src=x onerror=\"document.title='broken'\">"
        let names =
            attacks + [image, "\u{202e}gpj.exe", String(repeating: "wide", count: 60), "שלום"]
        board.update { status in
            status.snapshot.tables = names.map { .init(table: $0, state: .done, rowsCopied: 5) }
            status.sink.details = Dictionary(uniqueKeysWithValues: names.map { ($0, .text($0)) })
            status.source.serverVersion = image
            status.source.slot = String(repeating: "x", count: 400)
            status.certificates = [
                .init(server: .source, certificate: image, subject: image, notAfterSeconds: 5)
            ]
        }
        board.warn("a.b", image)
        board.record(
            WalrelayError("net.lost", exit: .unreachable, image, hint: image),
            phase: .reconnecting
        )
        _ = board.sample()
        return board
    }

    @Test(arguments: sights)
    func `it fits wide and narrow, light and dark, and nothing complains`(sight: Sight) async throws
    {
        try await look(at: sight.board()) { browser, url in
            var dark = BrowserView()
            dark.isDark = true
            for (name, view) in [("light", BrowserView()), ("dark", dark), ("phone", .phone)] {
                let page = try BrowserPage(in: browser, view)
                try page.open(url)
                #expect(try page.evaluate(Self.overflow) as? Int == 0, "\(name)")
                let picture = try page.screenshot(whole: Self.shown != nil)
                #expect(picture.count > 8000, "\(name) is blank")
                try Self.keep(picture, as: "\(sight.name)-\(name)")
                #expect(page.complaints == [], "\(name)")
                #expect(Set(page.requests) == [url], "\(name)")
            }
        }
    }

    @Test func `it follows the board by itself, without a complaint`() async throws {
        let clock = MovedClock(past: .seconds(600))
        let board = makeBoardWithPast(minutes: 10, clock: clock)
        try await look(at: board) { browser, url in
            let page = try BrowserPage(in: browser)
            try page.open(url)
            try page.evaluate("window.sameDocument = true")
            #expect(try page.text(of: ".phase") == "streaming")
            #expect(try page.evaluate("document.getElementById('notices').hidden") as? Bool == true)
            let curve = try page.evaluate("document.querySelector('.line').getAttribute('d')")
            board.update { status in
                status.source.retainedBytes = 7 << 30
                status.stream.durableLSN = "FF/12345678"
                // A part that was not there.
                status.certificates = [
                    .init(
                        server: .target,
                        certificate: "server",
                        subject: "CN=new",
                        notAfterSeconds: 5
                    )
                ]
            }
            board.addChanges(1_000_000, transactions: 1)
            clock.advance(seconds: 5)
            _ = board.sample()
            board.warn("slot.retention", "The slot keeps 7 GiB.")
            try page.wait("the warning") { try page.text(of: "#notices").contains("7 GiB") }
            #expect(try page.text(of: "#kept-now").contains("7 GiB"))
            #expect(try page.text(of: "#facts-stream").contains("FF/12345678"))
            #expect(try page.text(of: "#certificates").contains("expired"))
            let next = try page.evaluate("document.querySelector('.line').getAttribute('d')")
            #expect(curve as? String != next as? String)
            let error = WalrelayError("net.lost", exit: .unreachable, "gone", hint: "look there")
            board.record(error, phase: .reconnecting)
            try page.wait("the phase") { try page.text(of: ".phase") == "reconnecting" }
            #expect(try page.text(of: "#notices").contains("try: look there"))
            #expect(
                try page.evaluate("document.title") as? String == "orders · reconnecting · walrelay"
            )
            board.clearWarning("slot.retention")
            try page.wait("the warning's end") { try !page.text(of: "#notices").contains("7 GiB") }
            #expect(try page.evaluate("window.sameDocument") as? Bool == true, "it was loaded anew")
            #expect(page.complaints == [])
            #expect(Set(page.requests) == [url])
        }
    }

    @Test func `a reader's place is kept while the numbers change`() async throws {
        let board = makeBoardWithPast()
        try await look(at: board) { browser, url in
            let page = try BrowserPage(in: browser)
            try page.open(url)
            try page.evaluate("document.getElementById('snapshot').open = true")
            try page.evaluate("document.querySelector('.plot').focus()")
            board.update { $0.stream.durableLSN = "FF/1" }
            try page.wait("the number") { try page.text(of: "#facts-stream").contains("FF/1") }
            #expect(try page.evaluate("document.getElementById('snapshot').open") as? Bool == true)
            let focused = "document.activeElement === document.querySelector('.plot')"
            #expect(try page.evaluate(focused) as? Bool == true)
        }
    }

    @Test func `the graphs are read out under the pointer and by the keys`() async throws {
        let board = makeBoardWithPast()
        try await look(at: board) { browser, url in
            let page = try BrowserPage(in: browser)
            try page.open(url)
            let box = "document.querySelector('#kept-plot').getBoundingClientRect()"
            let x = try page.evaluate("\(box).left + \(box).width / 2") as? Double ?? 0
            let y = try page.evaluate("\(box).top + 20") as? Double ?? 0
            try page.point(x: x, y: y)
            let output = "[...document.querySelectorAll('.read')].find(node => !node.hidden)"
            let text = "(\(output) || {}).textContent || ''"
            try page.wait("a value") { try page.evaluate(text) as? String != "" }
            let value = try page.evaluate(text) as? String ?? ""
            #expect(value.firstMatch(of: /^\d\d:\d\d:\d\d · [\d.]+ MiB$/) != nil, "\(value)")
            try page.point(x: 2, y: 2)
            try page.wait("nothing") { try page.evaluate(text) as? String == "" }
            try page.evaluate("document.querySelector('.plot').focus()")
            try page.press("ArrowLeft")
            try page.wait("a rate") { (try page.evaluate(text) as? String ?? "").contains("/s") }
            let first = try page.evaluate(text) as? String
            try page.press("ArrowLeft")
            try page.wait("another") { try page.evaluate(text) as? String != first }
            #expect(page.complaints == [])
            #expect(Set(page.requests) == [url, url + "history"])
        }
    }

    @Test func `without JavaScript it says the same and loads itself anew`() async throws {
        let board = makeBoardWithPast()
        try await look(at: board) { browser, url in
            var view = BrowserView()
            view.hasJavaScript = false
            let page = try BrowserPage(in: browser, view)
            try page.open(url)
            // It may load itself anew between any two of these.
            try page.wait("the phase") { try page.text(of: ".phase") == "streaming" }
            try page.wait("the curves") {
                try page.evaluate("document.querySelectorAll('.line').length") as? Int == 4
            }
            board.update { $0.stream.durableLSN = "FF/1" }
            try page.wait("the number") { try page.text(of: "#facts-stream").contains("FF/1") }
            #expect(page.requests.count > 1)
            #expect(Set(page.requests) == [url])
        }
    }

    @Test func `it says since when there is no answer, and goes on when there is one`() async throws
    {
        let board = makeBoardWithPast()
        // One that nobody's outgoing connection takes while no server has it.
        let free = try UInt16(FreePort.find())
        let tab = try await withHealthServer(board: board, port: free) { port in
            try await onThread {
                let browser = try HeadlessBrowser()
                let page = try BrowserPage(in: browser)
                try page.open("http://127.0.0.1:\(port)/")
                return Tab(browser: browser, page: page, port: port)
            }
        }
        try await onThread {
            let hidden = "document.getElementById('offline').hidden"
            try tab.page.wait("the loss") { try tab.page.evaluate(hidden) as? Bool == false }
            let text = try tab.page.text(of: "#offline")
            #expect(text.firstMatch(of: #/^No answer since \d\d:\d\d:\d\d\. /#) != nil, "\(text)")
            #expect(
                (try tab.page.evaluate("document.title") as? String)?.hasPrefix("no answer") == true
            )
            #expect(try tab.page.text(of: "#facts-stream").contains("16/B374D848"))
            try Self.keep(try tab.page.screenshot(), as: "offline")
        }
        board.update { $0.stream.durableLSN = "FF/1" }
        try await withHealthServer(board: board, port: tab.port) { _ in
            try await onThread {
                let page = tab.page
                try page.wait("the answer") { try page.text(of: "#facts-stream").contains("FF/1") }
                let hidden = try page.evaluate("document.getElementById('offline').hidden")
                #expect(hidden as? Bool == true)
            }
        }
    }

    /// A page that goes from one thread to the next; never used by two.
    private struct Tab: @unchecked Sendable {
        let browser: HeadlessBrowser
        let page: BrowserPage
        let port: UInt16
    }

    @Test func `names that attack are text wherever they stand`() async throws {
        try await look(at: Self.hostileBoard()) { browser, url in
            let page = try BrowserPage(in: browser)
            try page.open(url)
            for round in 0..<2 {
                #expect(try page.evaluate("document.images.length") as? Int == 0)
                #expect(try page.evaluate("document.scripts.length") as? Int == 1)
                let title = try page.evaluate("document.title") as? String
                #expect(title == "orders · reconnecting · walrelay")
                let names =
                    try page.evaluate(
                        "[...document.querySelectorAll('tbody th')].map(n => n.textContent).join('\\n')"
                    ) as? String ?? ""
                #expect(names.contains("<script>alert(1)</script>"))
                #expect(names.contains("\\u{202e}gpj.exe"))
                guard round == 0 else { break }
                // And once more as the script has put them there.
                let before = page.requests.count
                try page.wait("two rounds") { page.requests.count > before + 1 }
            }
            #expect(page.complaints == [])
            #expect(Set(page.requests) == [url])
        }
    }

    @Test func `the colours can be told from their ground`() async throws {
        try await look(at: makeBoardWithPast()) { browser, url in
            for isDark in [false, true] {
                var view = BrowserView()
                view.isDark = isDark
                let page = try BrowserPage(in: browser, view)
                try page.open(url)
                for name in ["ink", "quiet", "a", "good", "warn", "bad"] {
                    let least = try page.evaluate(Self.contrast(of: name)) as? Double ?? 0
                    #expect(least >= 4.5, "--\(name), dark: \(isDark)")
                }
            }
        }
    }

    /// The least contrast, as WCAG counts it, of a colour with the grounds of the page.
    private static func contrast(of name: String) -> String {
        """
        (() => {
          const style = getComputedStyle(document.documentElement);
          const light = name => {
            const hex = style.getPropertyValue(name).trim().slice(1);
            const full = hex.length === 3 ? [...hex].map(c => c + c).join("") : hex;
            const [r, g, b] = [0, 2, 4].map(i => parseInt(full.slice(i, i + 2), 16) / 255)
              .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          return Math.min(...["--bg", "--card"].map(ground => {
            const [a, b] = [light("--\(name)"), light(ground)].sort((a, b) => b - a);
            return (a + 0.05) / (b + 0.05);
          }));
        })()
        """
    }
}
