// SPDX-License-Identifier: Apache-2.0
//
// What the planner has to be told. It knows neither how many rows our arrays hold nor, before the
// first ANALYZE, how large a table is; a plan that it made for a small table would read all of it
// for every statement once the table is large. By key there is one right way, through the index.
//
// For a transaction only: what else the session does (a foreign key that is checked for the first
// time) is to be planned as ever.

/// The planner's settings while changes are applied.
struct ApplyPlanning {
    /// Every row by the index of its key, until the transaction ends.
    let byKey: String

    /// For rows that no key finds: the table is read once for all of them, and not sorted.
    static let wholeTable = "SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = on"

    /// Back to `byKey` after `wholeTable`.
    static let byKeyAgain = "SET LOCAL enable_nestloop = on; SET LOCAL enable_hashjoin = off"

    /// `serverVersion` is libpq's number.
    init(serverVersion: Int) {
        var settings = [
            "enable_seqscan = off", "enable_bitmapscan = off", "enable_hashjoin = off",
            "enable_mergejoin = off",
        ]
        if serverVersion >= 110_000 { settings.append("jit = off") }
        // Before 12 a plan is made anew as long as that seems to pay; it comes out the same.
        if serverVersion >= 120_000 { settings.append("plan_cache_mode = force_generic_plan") }
        byKey = settings.map { "SET LOCAL \($0)" }.joined(separator: "; ")
    }
}
