// SPDX-License-Identifier: Apache-2.0
//
// The jobs that docs/batch-jobs.md shows are jobs, and the page has every parameter and no other.

import ChangeModel
import Foundation
import Settings
import Testing

@Suite struct JobPageTests {
    private static func text(_ path: String) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// The documents of the page: its blocks of JSON, and those that its commands write.
    private static func documents() throws -> [String] {
        let page = try text("docs/batch-jobs.md")
        let blocks = page.matches(of: #/```json\n(?<text>(?s:.)*?)```/#).map { $0.output.text }
        let written = page.matches(of: #/\.json <<'END'\n(?<text>(?s:.)*?)\nEND\n/#)
            .map { $0.output.text }
        return (blocks + written).map(String.init)
    }

    @Test func `every job of the page is read without a fault or a warning`() throws {
        let documents = try Self.documents()
        #expect(documents.count >= 4)
        let values = ["bizdate": "20260105", "last": "7", "password": "secret"]
        for document in documents {
            let used = values.filter { document.contains("${\($0.key)}") }
            let job = try Job.parse(document, baseDirectory: "/", parameters: used)
            #expect(job.warnings == [], "\(document)")
        }
    }

    @Test func `every key of the example stands in the page`() throws {
        let page = try Self.text("docs/batch-jobs.md")
        let keys = try Self.text("config/job.json").matches(of: #/"([A-Za-z]+)":/#)
            .map { String($0.output.1) }
        let elsewhere: Set = ["type", "version", "order", "hops", "from", "to", "total"]
        #expect(keys.count > 30)
        for key in Set(keys).subtracting(elsewhere) {
            #expect(page.contains("`\(key)`") || page.contains("\"\(key)\""), "\(key)")
        }
    }
}
