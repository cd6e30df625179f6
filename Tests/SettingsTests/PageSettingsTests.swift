// SPDX-License-Identifier: Apache-2.0
//
// The settings that the pages show their readers, read as settings: a key that they show exists,
// where they show it, and takes what stands there.

import Foundation
import Settings
import Testing

struct PageSettingsTests {
    /// Where a piece belongs that does not begin with a section.
    private static let places: [String: (section: String, indented: String)] = [
        "tls": ("source", "source:\n  host: h\n  database: d\n"),
        "properties": (
            "sink", "sink:\n  kind: kafka\n  kafka:\n    bootstrapServers: \"a:9092\"\n"
        ),
    ]

    /// Pieces of settings: each block, cut where a section comes for a second time.
    private static func pieces(of page: String) throws -> [String] {
        let path = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: page)
        let text = try String(contentsOf: path, encoding: .utf8)
        return text.components(separatedBy: "\n```yaml").dropFirst().flatMap { rest in
            let block = rest.components(separatedBy: "\n```")[0]
            var pieces: [String] = []
            var seen: Set<String> = []
            for line in block.split(separator: "\n").dropFirst(block.hasPrefix("\n") ? 0 : 1) {
                let key = line.prefix { $0.isLetter }
                let isNew = !key.isEmpty && !seen.insert(String(key)).inserted
                if pieces.isEmpty || isNew {
                    pieces.append("")
                    seen = [String(key)]
                }
                pieces[pieces.count - 1] += line + "\n"
            }
            return pieces
        }
    }

    /// A whole document with the piece in it.
    private static func document(with piece: String) -> String {
        var sections = [
            "task": "task: orders\n", "source": "source: { host: h, database: d }\n",
            "tables": "tables: { include: [a] }\n", "sink": "sink: { kind: stream }\n",
        ]
        let first = piece.split(separator: "\n").first { !$0.hasPrefix("#") }
        let key = String((first ?? "").prefix { $0.isLetter })
        if let place = places[key] {
            let depth = place.indented.contains("    ") ? "    " : "  "
            let inner = piece.split(separator: "\n").map { depth + $0 }.joined(separator: "\n")
            sections[place.section] = place.indented + inner + "\n"
            return sections.sorted { $0.key < $1.key }.map(\.value).joined()
        }
        for line in piece.split(separator: "\n") {
            sections[String(line.prefix { $0.isLetter })] = line.isEmpty ? nil : ""
        }
        return sections.sorted { $0.key < $1.key }.map(\.value).joined() + piece
    }

    @Test(arguments: ["docs/operations.md", "README.md"])
    func `every piece of settings that a page shows is taken`(page: String) throws {
        let pieces = try Self.pieces(of: page)
        #expect(pieces.count >= 3)
        for piece in pieces {
            let names = piece.matches(of: /\$\{([A-Z_]+)\}/).map { String($0.output.1) }
            let environment = Dictionary(names.map { ($0, "value") }) { $1 }
            let text = Self.document(with: piece)
            #expect(faultLines(of: text, environment) == [], "\(text)")
        }
    }
}
