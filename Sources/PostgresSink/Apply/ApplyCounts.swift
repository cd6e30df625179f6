// SPDX-License-Identifier: Apache-2.0

/// What applying has done since the session began, and where the target was not as expected.
struct ApplyCounts: Sendable, Equatable {
    /// Rows that were inserted.
    var inserted: UInt64 = 0
    /// Rows that were overwritten.
    var updated: UInt64 = 0
    /// Rows that were deleted.
    var deleted: UInt64 = 0
    /// Inserts whose key was there already: the row was overwritten.
    var overwritten: UInt64 = 0
    /// Updates whose row was not there and was inserted.
    var restored: UInt64 = 0
    /// Deletes whose row was not there.
    var missed: UInt64 = 0
    /// Changes that were put into the dead-letter table.
    var deadLetters: UInt64 = 0
    /// Runs of changes that were not applied in one go, but in halves down to single changes.
    var splitRuns: UInt64 = 0
}
