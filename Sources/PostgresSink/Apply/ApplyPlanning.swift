// SPDX-License-Identifier: Apache-2.0
//
// What the planner has to be told. It knows neither how many rows our arrays hold nor, before the
// first ANALYZE, how large a table is; a plan that it made for a small table would read all of it
// for every statement once the table is large. By key there is one right way, through the index.

/// The planner's settings of a session on the target.
enum ApplyPlanning {
    /// For the whole session, before anything is applied: every row by the index of its key.
    ///
    /// `serverVersion` is libpq's number. Without them everything is still applied rightly, perhaps
    /// slowly.
    static func sessionSettings(serverVersion: Int) -> [String] {
        // Before 12 a plan is made anew as long as that seems to pay; it comes out the same.
        (serverVersion >= 120_000 ? ["SET plan_cache_mode = force_generic_plan"] : []) + [
            "SET enable_seqscan = off",
            "SET enable_bitmapscan = off",
            "SET enable_hashjoin = off",
            "SET enable_mergejoin = off",
        ] + (serverVersion >= 110_000 ? ["SET jit = off"] : [])
    }

    /// For rows that no key finds: the table is read once for all of them, and not sorted.
    static let wholeTable = "SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = on"

    /// Back to the session's way after `wholeTable`.
    static let byKey = "SET LOCAL enable_nestloop = on; SET LOCAL enable_hashjoin = off"
}
