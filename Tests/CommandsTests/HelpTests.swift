// SPDX-License-Identifier: Apache-2.0
//
// The help texts as an operator reads them at 80 columns, compared exactly with the files in
// Snapshots. After a change that is meant, run with UPDATE_SNAPSHOTS=1 and read the difference.

import ArgumentParser
import Foundation
import Testing

@testable import Commands

@Suite struct HelpTests {
    static let pages: [(name: String, command: any ParsableCommand.Type)] = [
        ("walrelay", Walrelay.self), ("check", CheckCommand.self), ("run", RunCommand.self),
        ("status", StatusCommand.self), ("slots", SlotsCommand.self),
        ("slots-list", SlotsListCommand.self), ("slots-drop", SlotsDropCommand.self),
        ("snapshot", SnapshotCommand.self), ("teardown", TeardownCommand.self),
        ("verify", VerifyCommand.self),
        ("batch", BatchCommand.self),
    ]

    @Test(arguments: pages.map(\.name))
    func `the help is as it was`(name: String) throws {
        let command = try #require(Self.pages.first { $0.name == name }?.command)
        let text = Walrelay.helpMessage(for: command, columns: 80) + "\n"
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Snapshots/\(name).txt")
        if ProcessInfo.processInfo.environment["UPDATE_SNAPSHOTS"] == "1" {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(text == (try String(contentsOf: file, encoding: .utf8)))
    }

    @Test(arguments: pages.map(\.name))
    func `prose and examples keep within 80 columns`(name: String) throws {
        let command = try #require(Self.pages.first { $0.name == name }?.command)
        let lines = Walrelay.helpMessage(for: command, columns: 80).split(separator: "\n")
        #expect(lines.filter { $0.count > 80 && !$0.hasPrefix("USAGE: ") } == [])
    }

    @Test func `every command has its page here`() {
        func commands(_ command: any ParsableCommand.Type) -> [any ParsableCommand.Type] {
            [command] + command.configuration.subcommands.flatMap(commands)
        }
        #expect(
            Set(commands(Walrelay.self).map { "\($0)" })
                == Set(Self.pages.map { "\($0.command)" })
        )
    }
}
