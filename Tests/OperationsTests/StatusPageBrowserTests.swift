// SPDX-License-Identifier: Apache-2.0
//
// The page in a real browser: its script runs under its own policy, draws, and follows the board.

import ChangeModel
import Foundation
import Pipeline
import Testing

@testable import Operations

@Suite(.timeLimit(.minutes(2))) struct StatusPageBrowserTests {
    private static let browser = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }

    /// Loads the page, lets its clock run for some seconds, and returns the document and the log.
    private func load(port: UInt16) async throws -> (document: String, log: String) {
        let browser = try #require(Self.browser)
        return try await blocking {
            let profile = FileManager.default.temporaryDirectory
                .appending(path: "walrelay-browser-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: profile) }
            let log = profile.appending(path: "log")
            try FileManager.default.createDirectory(
                at: profile,
                withIntermediateDirectories: true
            )
            try Data().write(to: log)
            let process = Process()
            process.executableURL = URL(filePath: browser)
            process.arguments = [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                "--user-data-dir=\(profile.path)", "--virtual-time-budget=6000", "--dump-dom",
                "http://127.0.0.1:\(port)/",
            ]
            let pipe = Pipe()
            process.standardOutput = pipe
            process.standardError = try FileHandle(forWritingTo: log)
            try process.run()
            let document = pipe.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            let text = try String(contentsOf: log, encoding: .utf8)
            return (String(decoding: document, as: UTF8.self), text)
        }
    }

    @Test(
        .enabled(
            if: browser != nil,
            "no browser is installed (Debian: apt-get install chromium); the page is not tried"
        )
    )
    func `the script draws and sets attacking names as text`() async throws {
        let board = makeBoard()
        let name = "<img src=x onerror=\"document.title='broken'\">"
        board.update { status in
            status.snapshot.tables = [.init(table: name, state: .done, rowsCopied: 5)]
            status.sink.details = [name: .text(name)]
            status.source.serverVersion = name
        }
        board.record(WalrelayError("net.lost", exit: .unreachable, name, hint: name))
        let page = try await withHealthServer(board: board) { port in
            try await self.load(port: port)
        }
        #expect(page.document.components(separatedBy: "<polyline").count - 1 == 4)
        #expect(!page.document.contains("<img"))
        #expect(page.document.contains("<title>orders · walrelay</title>"))
        #expect(page.document.contains("<td>&lt;img src=x onerror="))
        #expect(page.document.contains("<dt>&lt;img src=x onerror="))
        let complaints = page.log.split(separator: "\n").filter { $0.contains("CONSOLE") }
        #expect(complaints == [])
    }
}
