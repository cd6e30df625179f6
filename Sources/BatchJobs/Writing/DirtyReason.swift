// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ

/// Why the target refused a record, in one line.
enum DirtyReason {
    /// The server's words without its SQLSTATE, bounded: a detail may quote a whole row.
    static func text(_ error: PostgresError) -> String {
        var text = error.message.cut(to: 500)
        if !error.column.isEmpty, !text.contains("\"\(error.column)\"") {
            text = "column \(error.column): \(text)"
        }
        if !error.detail.isEmpty { text += "; \(error.detail.cut(to: 500))" }
        return text.split { $0.isNewline }.joined(separator: " ")
    }
}
