// SPDX-License-Identifier: Apache-2.0
//
// The SQL that the operator's page gives its readers, run as it stands there: what a page grants is
// then what is tested. A block has its name behind the word sql, which no reader sees.
import Foundation
import Support

/// SQL blocks of docs/operations.md.
enum GuideSQL {
    /// The whole page.
    static func page() throws -> String {
        let path = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "docs/operations.md")
        return try String(contentsOf: path, encoding: .utf8)
    }

    /// The text of the block that begins with "```sql NAME".
    static func block(_ name: String) throws -> String {
        let lines = try page().split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(of: "```sql \(name)"),
            let end = lines[start...].dropFirst().firstIndex(of: "```")
        else { throw SupportError("docs/operations.md has no block \(name)") }
        return lines[(start + 1)..<end].joined(separator: "\n")
    }
}
