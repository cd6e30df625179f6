// SPDX-License-Identifier: Apache-2.0
//
// A page of the documents as the blocks and commands that it shows its readers. What begins with
// "```sh" is a block of commands, "```sql" of statements; a word behind that is its name, which no
// reader sees.

import Foundation
import Support

/// What stands between two fences.
struct GuideBlock: Sendable {
    /// `docs/operations.md:471`, the line of its fence.
    let place: String
    /// `sh`, `sql`, `yaml`, `json`; empty where it is only shown.
    let language: String
    /// The word behind the language; empty where there is none.
    let name: String
    let text: String

    /// Its commands, each with the comment that stands behind it; a backslash at the end of a line
    /// joins it with the next.
    var commands: [String] {
        var commands: [String] = []
        var open = ""
        for line in text.split(separator: "\n") {
            open += open.isEmpty ? String(line) : "\n\(line)"
            if line.hasSuffix("\\") { continue }
            if !open.hasPrefix("#") { commands.append(open) }
            open = ""
        }
        return open.isEmpty ? commands : commands + [open]
    }
}

/// A page.
struct GuidePage: Sendable {
    let blocks: [GuideBlock]

    /// Reads a page of the repository; throws where a fence is not closed.
    init(_ path: String) throws {
        let file = URL(filePath: Packages.repository).appending(path: path)
        let lines = try String(contentsOf: file, encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
        var blocks: [GuideBlock] = []
        var fence: Int?
        for (index, line) in lines.enumerated() where line.hasPrefix("```") {
            guard let start = fence else {
                fence = index
                continue
            }
            let words = lines[start].dropFirst(3).split(separator: " ").map(String.init)
            blocks.append(
                GuideBlock(
                    place: "\(path):\(start + 1)",
                    language: words.first ?? "",
                    name: words.dropFirst().first ?? "",
                    text: lines[(start + 1)..<index].joined(separator: "\n")
                )
            )
            fence = nil
        }
        if let fence { throw SupportError("\(path):\(fence + 1): this block is not closed") }
        self.blocks = blocks
    }
}
