// SPDX-License-Identifier: Apache-2.0

extension ApplyCounts {
    /// For the status: what was done, and what was unexpected where there was any.
    var details: [String: String] {
        let done = [("rowsInserted", inserted), ("rowsUpdated", updated), ("rowsDeleted", deleted)]
        let odd = [
            ("rowsOverwritten", overwritten), ("rowsRestored", restored),
            ("rowsMissingOnDelete", missed), ("deadLetters", deadLetters),
            ("splitRuns", splitRuns),
        ]
        let shown = done + odd.filter { $0.1 > 0 }
        return Dictionary(uniqueKeysWithValues: shown.map { ($0.0, String($0.1)) })
    }
}
