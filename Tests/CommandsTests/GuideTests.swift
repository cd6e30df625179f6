// SPDX-License-Identifier: Apache-2.0
//
// The operator's page against the program: every metric stands in it, and every option that it
// shows exists.

import Foundation
import Testing

@Suite struct GuideTests {
    private static func text(_ path: String) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    @Test func `every metric stands in the operator's page, and no other`() throws {
        let source = try Self.text("Sources/Operations/MetricNames.swift")
        let names = source.matches(of: #/"(walrelay_[a-z_]+)"/#).map { String($0.output.1) }
        let page = try Self.text("docs/operations.md")
        let shown = page.matches(of: #/walrelay_[a-z_]+/#).map { String($0.output) }
        #expect(names.count > 20)
        #expect(Set(shown) == Set(names))
    }

    @Test(arguments: ["docs/operations.md", "docs/batch-jobs.md", "README.md"])
    func `every option of every command shown exists`(path: String) throws {
        let command =
            #/walrelay (check|run|status|slots list|slots drop|teardown|verify|batch)\b([^\n|#`]*)/#
        let calls = try Self.text(path)
            .replacing(#/\\\n/#, with: " ")
            .matches(of: command)
        #expect(calls.count >= 3)
        for call in calls {
            let name = call.output.1.replacing(" ", with: "-")
            let help = try Self.text("Tests/CommandsTests/Snapshots/\(name).txt")
            for option in call.output.2.matches(of: #/--[a-z-]+/#) {
                #expect(help.contains("  \(option.output)"), "walrelay \(call.output.1)")
            }
        }
    }
}
