// SPDX-License-Identifier: Apache-2.0
//
// The pieces in which a source is read: every row of every table lies in exactly one. Neighbouring
// ranges share their bound (half-open), the first is open downwards and the last upwards, and NULL
// has a slice of its own: bounds that are badly chosen make slices uneven, but neither lose a row
// nor double one.

import LibPQ

/// A piece that one channel reads at once.
struct SourceSlice: Sendable, Equatable {
    /// For people: `public.orders`.
    var label: String
    /// What selects its rows.
    var statement: ComposedStatement
    /// A table and its columns as COPY takes them without a query, which is cheaper; nil otherwise.
    var plainTable: String?

    /// The COPY that reads it.
    func copy(_ isBinary: Bool) -> ComposedStatement {
        let options = isBinary ? " (FORMAT binary)" : ""
        if let plainTable { return ComposedStatement("COPY \(plainTable) TO STDOUT\(options)") }
        // The line feed ends a comment of the job.
        return statement.between("COPY (", "\n) TO STDOUT\(options)")
    }

    /// The cursor that reads it, and the statement that takes rows from it.
    func cursor(fetching rows: Int) -> (declare: ComposedStatement, fetch: String, close: String) {
        (
            statement.between("DECLARE walrelay NO SCROLL CURSOR FOR "),
            "FETCH FORWARD \(rows) FROM walrelay",
            "CLOSE walrelay"
        )
    }
}

/// The conditions that divide a table.
enum SliceRanges {
    /// Ranges of a key; `bounds` are ascending and all different.
    static func keys(_ key: SourceColumn, bounds: [String]) -> [String] {
        guard !bounds.isEmpty else { return [] }
        let name = SQL.identifier(key.name)
        let values = bounds.map { literal($0, of: key) }
        var ranges = conditions(name, values, less: key.comparison("<"), key.comparison(">="))
        if !key.isNeverNull { ranges.append("\(name) IS NULL") }
        return ranges
    }

    /// Ranges of pages, alike for each heap; `bounds` are ascending and all different.
    static func pages(bounds: [Int64]) -> [String] {
        guard !bounds.isEmpty else { return [] }
        let values = bounds.map { "'(\($0),0)'::pg_catalog.tid" }
        return conditions("ctid", values, less: "<", ">=")
    }

    /// A value of a key as SQL, of the key's own type and collation.
    static func literal(_ value: String, of key: SourceColumn) -> String {
        let collation = key.collation.map { " COLLATE \($0)" } ?? ""
        return "\(SQL.literal(value))::\(key.type)\(collation)"
    }

    private static func conditions(
        _ name: String,
        _ values: [String],
        less: String,
        _ notLess: String
    ) -> [String] {
        var ranges: [String] = []
        for (index, value) in values.enumerated() {
            let lower = index == 0 ? "" : "\(name) \(notLess) \(values[index - 1]) AND "
            ranges.append("\(lower)\(name) \(less) \(value)")
        }
        if let last = values.last { ranges.append("\(name) \(notLess) \(last)") }
        return ranges
    }

    /// Page numbers that cut heaps into `count` ranges of about as many pages, all heaps together.
    static func pageBounds(_ pages: [Int64], count: Int) -> [Int64] {
        let total = pages.reduce(0, +)
        let greatest = min(pages.max() ?? 0, Int64(UInt32.max) - 1)
        guard count > 1, total > 1, greatest > 1 else { return [] }
        var bounds: [Int64] = []
        for index in 1..<count {
            let wanted = total * Int64(index) / Int64(count)
            // The least page number below which there are as many pages as wanted.
            var (low, high) = (Int64(0), greatest)
            while low < high {
                let middle = (low + high) / 2
                if pages.reduce(0, { $0 + min($1, middle) }) < wanted {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            if low > bounds.last ?? 0, low < greatest { bounds.append(low) }
        }
        return bounds
    }
}
