// SPDX-License-Identifier: Apache-2.0
//
// The documents against the program: every metric stands in the operator's page, and every call of
// walrelay that a document shows, wherever, is one that the parser takes.

import ArgumentParser
import Foundation
import Testing

@testable import Commands

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

    /// Calls in blocks of commands and within backquotes, each as its words.
    private static func calls(in page: String) throws -> [[String]] {
        let text = try text(page).replacing(#/\\\n/#, with: " ")
        let blocks = text.components(separatedBy: "```sh").dropFirst().flatMap {
            $0.components(separatedBy: "\n```")[0].split(separator: "\n").map(String.init)
        }
        let inline = text.matches(of: #/`(walrelay [^`]*)`/#).map {
            String($0.output.1).replacing("\n", with: " ")
        }
        return (blocks + inline).flatMap { line in
            line.matches(of: #/(?:^|[ (;])walrelay +(.*)/#).map { words(String($0.output.1)) }
        }
    }

    /// The words of a command as a shell takes it, up to where it ends.
    private static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in line {
            if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + "\(character)" }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character == " " {
                if let whole = word { words.append(whole) }
                word = nil
            } else if "|;&>)".contains(character) || (character == "#" && word == nil) {
                break
            } else {
                word = (word ?? "") + "\(character)"
            }
        }
        return words + (word.map { [$0] } ?? [])
    }

    /// What the parser says against it; nil where it takes it.
    ///
    /// Prose may leave out which server or task is meant, and name a command alone.
    private static func refusal(of words: [String]) -> String? {
        let completions = [
            [], ["--config", "orders.yaml"], ["--config", "orders.yaml", "--stale"], ["job.json"],
        ]
        var first: String?
        for completion in completions {
            do {
                let command = try Walrelay.parseAsRoot(words + completion)
                // An option that the root would take as a word of its own is none.
                if type(of: command) != Walrelay.self { return nil }
            } catch {
                let isHelp = Walrelay.exitCode(for: error).isSuccess
                if isHelp { return nil }
                first = first ?? Walrelay.message(for: error)
            }
        }
        return first ?? "no command"
    }

    @Test(
        arguments: [
            "README.md", "CHANGELOG.md", "SECURITY.md", "docs/operations.md", "docs/batch-jobs.md",
            "docs/guarantees.md", "docs/threat-model.md",
        ]
    )
    func `every call of walrelay shown is one that the parser takes`(page: String) throws {
        let calls = try Self.calls(in: page)
        #expect(!calls.isEmpty || page == "docs/threat-model.md")
        // Names of sessions.
        for call in calls where !["reader", "writer"].contains(call.first ?? "") {
            let refusal = Self.refusal(of: call)
            #expect(refusal == nil, "walrelay \(call.joined(separator: " "))")
        }
    }

    @Test func `a call that the parser refuses is found`() {
        #expect(Self.refusal(of: ["runn"]) != nil)
        #expect(Self.refusal(of: ["check", "--config", "a", "--jsn"]) != nil)
        #expect(Self.refusal(of: ["slots", "drop", "a", "--older-than", "7d"]) != nil)
        #expect(Self.words("run --config 'a b' # c") == ["run", "--config", "a b"])
    }
}
