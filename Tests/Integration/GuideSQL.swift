// SPDX-License-Identifier: Apache-2.0
//
// The SQL that the operator's page gives its readers, run as it stands there: what a page grants is
// then what is tested.

import Foundation
import Support

/// SQL blocks of docs/operations.md.
enum GuideSQL {
    /// The whole page.
    static func page() throws -> String {
        let path = URL(filePath: Packages.repository).appending(path: "docs/operations.md")
        return try String(contentsOf: path, encoding: .utf8)
    }

    /// The text of the block that begins with "```sql NAME".
    static func block(_ name: String) throws -> String {
        let blocks = try GuidePage("docs/operations.md").blocks
        guard let block = blocks.first(where: { $0.language == "sql" && $0.name == name }) else {
            throw SupportError("docs/operations.md has no block \(name)")
        }
        return block.text
    }
}
