// SPDX-License-Identifier: Apache-2.0
//
// How the rows of a table fall into buckets, alike on both sides: by ranges of a whole-number
// key, so that what differs is found again by an index, or by the row's own hash, which needs no
// order at all. Counts and sums of hashes add up over whatever pieces the sides are read in.

import LibPQ

/// The buckets of one table.
enum Division: Sendable, Equatable {
    /// Bucket i holds the keys from `lower + i * width` on; the first is open downwards and the
    /// last upwards.
    case ranges(lower: Int64, width: Int64, count: Int)
    /// The lowest bits of the hash; `count` is a power of two.
    case hashes(count: Int)

    /// About so many rows make a bucket.
    static let rowsPerBucket = 1_000.0
    /// The most buckets of a table: what both sides add up stays below a megabyte.
    static let bucketLimit = 16_384

    /// Buckets for a table of about so many rows; with bounds, by the ranges of its key.
    init(estimatedRows: Double, bounds: ClosedRange<Int64>?) {
        let wanted = max(1, min(estimatedRows / Self.rowsPerBucket, Double(Self.bucketLimit)))
        let count = Int(wanted.rounded(.up))
        if let bounds {
            let (span, isTooWide) = bounds.upperBound.subtractingReportingOverflow(
                bounds.lowerBound
            )
            if !isTooWide, span < Int64.max {
                let width = span / Int64(count) + 1
                self = .ranges(
                    lower: bounds.lowerBound,
                    width: width,
                    count: Int(span / width) + 1
                )
                return
            }
        }
        var power = 1
        while power < count { power *= 2 }
        self = .hashes(count: power)
    }

    /// How many buckets there are.
    var count: Int {
        switch self {
        case .ranges(_, _, let count), .hashes(let count): count
        }
    }

    /// The bucket of a row.
    func bucket(firstKey: Int64?, hash: Int64) -> Int {
        switch self {
        case .hashes(let count): return Int(hash & Int64(count - 1))
        case .ranges(let lower, let width, let count):
            guard let firstKey, firstKey > lower else { return 0 }
            // No overflow is lost: what lies further away than Int64 can say is in the last one.
            let (distance, isFar) = firstKey.subtractingReportingOverflow(lower)
            return isFar ? count - 1 : Int(min(distance / width, Int64(count - 1)))
        }
    }

    /// The statement that sums up a piece of a table's storage into (bucket, rows, sum).
    func statement(
        _ table: ComparedTable,
        _ side: Side,
        from storage: String,
        where piece: [String]
    )
        -> String
    {
        let conditions = table.conditions(side, and: piece)
        switch self {
        case .hashes(let count):
            // The fence has the hash computed once a row.
            return """
                SELECT h & \(count - 1), count(*), sum(h) FROM (SELECT \(table.hash(side)) AS h \
                FROM ONLY \(storage)\(conditions) OFFSET 0) r GROUP BY 1
                """
        case .ranges(let lower, let width, _):
            let key = table.key.first.map { SQL.identifier(table.columns[$0].name) } ?? "0"
            return """
                SELECT (\(key)::bigint - '\(lower)'::bigint) / '\(width)'::bigint, count(*), \
                sum(\(table.hash(side))) FROM ONLY \(storage)\(conditions) GROUP BY 1
                """
        }
    }

    /// The most buckets of a part, so that several connections share a long run.
    static let partLimit = 256

    /// What is to be compared row by row where the marked buckets differ: runs of neighbours in
    /// their order, or one part for all.
    func parts(_ marked: [Bool]) -> [RowPart] {
        guard marked.contains(true) else { return [] }
        guard case .ranges(let lower, let width, let count) = self else {
            return marked.count == 1
                ? [.whole] : [.buckets(marked: marked, mask: Int64(marked.count - 1))]
        }
        var parts: [RowPart] = []
        var index = 0
        while index < count {
            guard marked[index] else {
                index += 1
                continue
            }
            let first = index
            while index < count, marked[index], index - first < Self.partLimit { index += 1 }
            parts.append(
                .keys(
                    lower: first == 0 ? nil : lower + Int64(first) * width,
                    upper: index == count ? nil : lower + Int64(index) * width
                )
            )
        }
        return parts
    }
}

/// How many rows a bucket holds, and the sum of their hashes modulo 2^64.
struct BucketSum: Sendable, Equatable {
    var rows: Int64 = 0
    var hashes: UInt64 = 0

    /// Adds rows, or takes them away again where `count` is negative.
    mutating func add(_ hash: Int64, count: Int64 = 1) {
        rows &+= count
        hashes &+= UInt64(bitPattern: hash) &* UInt64(bitPattern: count)
    }

    /// A decimal number of any length modulo 2^64; 0 for what is none.
    static func modulo(_ decimal: String) -> UInt64 {
        var value: UInt64 = 0
        for byte in decimal.utf8 where (48...57).contains(byte) {
            value = value &* 10 &+ UInt64(byte - 48)
        }
        return decimal.hasPrefix("-") ? 0 &- value : value
    }
}
