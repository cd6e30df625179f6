// SPDX-License-Identifier: Apache-2.0
//
// The operator's page and the README, walked through command by command, so that neither rots:
// every block of commands is run, on a system of its own and real servers, or a rule says why it is
// not.

import Foundation
import Support
import Testing

struct GuideWalkTests {
    private static let pages = ["docs/operations.md", "README.md"]

    private static func blocks(
        _ language: String,
        of pages: [String] = pages
    ) throws
        -> [GuideBlock]
    {
        try pages.flatMap { try GuidePage($0).blocks }.filter { $0.language == language }
    }

    @Test(
        .enabled(
            if: SystemdMachine.absence == nil,
            Comment(rawValue: SystemdMachine.absence ?? "")
        ),
        .timeLimit(.minutes(10)),
        arguments: pages
    )
    func `every command of the page does what it says`(page: String) async throws {
        let walk = try await GuideWalk()
        if page == "README.md" { try await walk.keepSettings() }
        let blocks = try Self.blocks("sh", of: [page])
        #expect(blocks.count >= 5)
        for block in blocks { try await walk.follow(block) }
    }

    @Test func `every statement of the pages is one that a server takes`() async throws {
        let tests = try Self.textOfTests()
        let cluster = try await PostgresCluster.start(settings: ["wal_level": "logical"])
        for block in try Self.blocks("sql") where block.name.isEmpty {
            _ = try await onThread { try cluster.psql(block.text) }
        }
        // What has a name is run by a test that takes it from the page.
        for block in try Self.blocks("sql") where !block.name.isEmpty {
            let run = tests.contains("\"\(block.name)\"")
            #expect(run, "\(block.place): no test runs the block \(block.name)")
        }
    }

    private static func textOfTests() throws -> String {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
            .filter { $0.hasSuffix(".swift") }
            .map { try String(contentsOf: folder.appending(path: $0), encoding: .utf8) }
            .joined()
    }

    @Test func `no command hides in a block of another kind`() throws {
        for block in try Self.pages.flatMap({ try GuidePage($0).blocks }) {
            #expect(
                ["", "sh", "sql", "yaml", "json"].contains(block.language),
                "\(block.place): \(block.language)"
            )
            guard block.language != "sh" else { continue }
            let command =
                #/^ *(sudo|walrelay|psql|systemctl|journalctl|curl|apt-get|scripts\/[a-z]+) /#
            for line in block.text.split(separator: "\n") {
                #expect(line.firstMatch(of: command) == nil, "\(block.place): \(line)")
            }
        }
    }

    @Test func `every rule of the walk still fits a command`() throws {
        let commands = try Self.blocks("sh").flatMap(\.commands)
        for rule in GuideRule.all {
            #expect(commands.contains { $0.hasPrefix(rule.command) }, "\(rule.command)")
        }
        let text = commands.joined(separator: "\n")
        for (name, _) in GuideRule.readings { #expect(text.contains(name), "\(name)") }
    }
}
