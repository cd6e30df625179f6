// SPDX-License-Identifier: Apache-2.0
//
// Where a table is cut by its key, found out by a look at some of its pages:
//
//   page 0 ······ page n ······ page 2n ······ page 3n ······
//             key 41 802     key 83 977     key 310 002
//
// Keys of pages at equal distances cut the heap into parts of one size, however the keys are
// spread; and whether they ascend says whether a range of keys is a run of pages at all. If not, to
// read the ranges one by one would read most of the heap each time. Statistics would say the same,
// but may be old or missing.

import ChangeModel
import LibPQ
import Replication

/// What one page holds of a key.
struct SampledPage: Equatable {
    /// The key below which a twentieth of the page's rows lie.
    var low: Int64
    /// The key in the middle.
    var median: Int64
    /// The key above which a twentieth lie.
    var high: Int64
}

enum KeySampling {
    /// At least so many pages are looked at: fewer would not tell order from chance.
    static let leastPages = 16
    /// So many pages are asked for in one statement.
    private static let pagesPerStatement = 256

    /// The pages to be looked at, so that their keys cut a table into `parts`.
    static func pages(of count: Int64, parts: Int) -> [Int64] {
        let samples = Int64(parts) * Int64((leastPages + parts - 1) / parts)
        guard count >= samples, samples > 1 else { return [] }
        return (1..<samples).map { $0 * count / samples }
    }

    /// The keys between `parts` parts, none for one; `nil` where the keys do not follow the pages.
    static func boundaries(from sampled: [SampledPage], parts: Int) -> [Int64]? {
        guard !sampled.isEmpty, sampled.count + 1 >= parts, isOrdered(sampled) else { return nil }
        var boundaries: [Int64] = []
        for part in 1..<max(1, parts) {
            let key = sampled[part * (sampled.count + 1) / parts - 1].median
            if boundaries.last.map({ $0 < key }) ?? true { boundaries.append(key) }
        }
        return boundaries
    }

    /// Whether nearly all rows of nearly all pages lie between the keys of the pages around.
    private static func isOrdered(_ sampled: [SampledPage]) -> Bool {
        let strays = sampled.indices.count { index in
            let page = sampled[index]
            let isBelow = index > 0 && page.low < sampled[index - 1].median
            let isAbove = index + 1 < sampled.count && page.high > sampled[index + 1].median
            return isBelow || isAbove
        }
        return strays * 20 <= sampled.count
    }

    /// Looks at pages of a storage under the connection's snapshot; blocks.
    ///
    /// Reads these pages and no others, on every version. Pages without rows are left out.
    static func sample(
        _ pages: [Int64],
        of storage: SourceTable.Storage,
        column: String,
        pageSize: Int,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> [SampledPage] {
        let key = "\(SQL.identifier(column))::bigint"
        func part(_ fraction: String) -> String {
            "percentile_disc(\(fraction)) WITHIN GROUP (ORDER BY \(key))"
        }
        var sampled: [SampledPage] = []
        var rest = pages[...]
        while !rest.isEmpty {
            let some = rest.prefix(pagesPerStatement)
            rest = rest.dropFirst(pagesPerStatement)
            // A row takes 28 bytes of a page at the least.
            let rows = try connection.query(
                """
                SELECT (ctid::text::point)[0] AS page, \(part("0.05")), \(part("0.5")), \
                \(part("0.95")) \
                FROM ONLY \(SQL.identifier(storage.schema, storage.name)) \
                WHERE ctid = ANY (ARRAY(SELECT concat('(', p, ',', n, ')')::tid \
                FROM unnest('{\(some.map(String.init).joined(separator: ","))}'::bigint[]) p, \
                generate_series(1, \(pageSize / 28)) n)) GROUP BY 1 ORDER BY 1
                """,
                while: .copying("\(storage.schema).\(storage.name)"),
                within: .seconds(600)
            )
            for row in 0..<rows.count {
                guard let low = rows.integer(row, 1), let median = rows.integer(row, 2),
                    let high = rows.integer(row, 3)
                else { continue }
                sampled.append(SampledPage(low: low, median: median, high: high))
            }
        }
        return sampled
    }
}
