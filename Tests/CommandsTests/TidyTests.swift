// SPDX-License-Identifier: Apache-2.0
//
// What the documents promise exists: a promise that names no test is worth nothing.

import Foundation
import Testing

struct TidyTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    private static func files(in folder: String, suffix: String) -> [String] {
        let walk = FileManager.default.enumerator(atPath: root.appending(path: folder).path)
        return (walk?.compactMap { $0 as? String } ?? []).filter { $0.hasSuffix(suffix) }
    }

    @Test func `every test that docs/guarantees.md names exists`() throws {
        let page = try Self.text("docs/guarantees.md")
        let named = Set(page.matches(of: /`([A-Z][A-Za-z]*Tests)`/).map { String($0.output.1) })
        #expect(named.count >= 10)
        var suites: Set<String> = []
        for file in Self.files(in: "Tests", suffix: ".swift") {
            let source = try Self.text("Tests/\(file)")
            for match in source.matches(of: /(?:struct|class|actor|enum) ([A-Za-z]+Tests)\b/) {
                suites.insert(String(match.output.1))
            }
        }
        #expect(named.subtracting(suites).isEmpty)
    }

    @Test func `every file that a document links to exists`() throws {
        let pages =
            ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
            + Self.files(in: "docs", suffix: ".md").map { "docs/\($0)" }
        for page in pages {
            let folder = Self.root.appending(path: page).deletingLastPathComponent()
            for match in try Self.text(page).matches(of: /\]\(([^)#:]+)(?:#[^)]*)?\)/) {
                let target = folder.appending(path: String(match.output.1)).standardizedFileURL
                #expect(
                    FileManager.default.fileExists(atPath: target.path),
                    "\(page) links to \(match.output.1)"
                )
            }
        }
    }
}
