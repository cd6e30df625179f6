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

    /// Every type that a test file declares.
    private static let suites = Result {
        var suites: Set<String> = []
        for file in files(in: "Tests", suffix: ".swift") {
            let source = try text("Tests/\(file)")
            for match in source.matches(of: /(?:struct|class|actor|enum) ([A-Za-z]+)\b/) {
                suites.insert(String(match.output.1))
            }
        }
        return suites
    }

    @Test func `every test that docs/guarantees.md names exists`() throws {
        let page = try Self.text("docs/guarantees.md")
        let named = Set(page.matches(of: /`([A-Z][A-Za-z]*Tests)`/).map { String($0.output.1) })
        #expect(named.count >= 10)
        #expect(try named.subtracting(Self.suites.get()).isEmpty)
    }

    @Test func `every row of docs/threat-model.md names a test or a script that exists`() throws {
        let suites = try Self.suites.get()
        let lines = try Self.text("docs/threat-model.md").split(separator: "\n")
        var rows = 0
        var isTable = false
        for line in lines {
            if line.hasPrefix("| what ") { isTable = true }
            if !line.hasPrefix("|") { isTable = false }
            guard isTable, !line.hasPrefix("| what "), !line.hasPrefix("|--") else { continue }
            rows += 1
            let last = line.split(separator: "|").last ?? ""
            let named = last.matches(of: /`([^`]+)`/).map { String($0.output.1) }
            #expect(!named.isEmpty, "\(line)")
            for name in named where !suites.contains(name) {
                let path = Self.root.appending(path: name).path
                #expect(
                    name.hasPrefix("scripts/") && FileManager.default.fileExists(atPath: path),
                    "\(name)"
                )
            }
        }
        #expect(rows >= 30)
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
