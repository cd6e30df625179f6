// SPDX-License-Identifier: Apache-2.0
//
// The page of a running task in a browser: it follows a workload and the snapshot of tables whose
// names attack, without being loaded anew.

import Foundation
import Support
import Testing

@Suite(.enabled(if: HeadlessBrowser.executable != nil, "\(HeadlessBrowser.absence)"))
struct StatusPageTaskTests {
    @Test func `it follows a workload`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("page_load")
        let port = try FreePort.find()
        task.httpPort = port
        let image = "<img src=x onerror=\"document.title=1\">"
        try cluster.psql(
            """
            CREATE TABLE "\(image.replacing("\"", with: "\"\""))" (id int PRIMARY KEY);
            CREATE TABLE "\u{202e}drawkcab" (id int PRIMARY KEY)
            """,
            database: "page_load"
        )
        task.tables = ["public.*"]
        let daemon = try await task.stream()
        let load = try Load(cluster, database: task.database, files: task.files)
        defer { load.end() }
        let url = "http://127.0.0.1:\(port)/"
        try await onThread {
            let browser = try HeadlessBrowser()
            let page = try BrowserPage(in: browser)
            try page.open(url)
            try page.evaluate("window.sameDocument = true")
            let changes = {
                let text = try page.text(of: "#facts-stream dd").replacing(",", with: "")
                return Int(text) ?? -1
            }
            for _ in 0..<2 {
                let before = try changes()
                try page.wait("more changes") { try changes() > before + 100 }
            }
            try page.wait("a rate") { try page.text(of: "#rate-now b") != "0 changes/s" }
            try page.wait("a lag") { try page.text(of: "#lag-now b").hasSuffix("ms") }
            try page.wait("the slot") { try page.text(of: "#kept-now").contains("reserved") }
            try page.wait("a line over time") {
                try page.evaluate("document.querySelectorAll('.line').length") as? Int ?? 0 >= 4
            }
            let names = try page.text(of: "#snapshot-tables")
            #expect(names.contains("public.\(image)") || names.contains(image), "\(names)")
            #expect(names.contains("\\u{202e}drawkcab"), "\(names)")
            #expect(try page.evaluate("document.images.length") as? Int == 0)
            #expect(try page.evaluate("window.sameDocument") as? Bool == true)
            #expect(page.complaints == [])
            #expect(Set(page.requests) == [url])
        }
        load.end()
        #expect(try await daemon.stop() == .code(0))
    }
}
