// SPDX-License-Identifier: Apache-2.0

extension ApplyCounts {
    /// For the status and the metrics, since the sink was made.
    var details: [String: String] {
        let counts = [
            "rowsInserted": inserted, "rowsUpdated": updated, "rowsDeleted": deleted,
            "rowsOverwritten": overwritten, "rowsRestored": restored,
            "rowsMissingOnDelete": missed, "deadLetters": deadLetters, "splitRuns": splitRuns,
        ]
        return counts.mapValues(String.init)
    }
}
