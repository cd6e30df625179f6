// SPDX-License-Identifier: Apache-2.0
//
// Who copies what: every row of every table that is not copied yet lies in exactly one chunk. Pure:
// sizes and keys come in as numbers. Neighbouring chunks share their boundary (half-open ranges),
// the first is open downwards and the last upwards, so an estimate that is wrong makes chunks
// uneven but neither loses a row nor doubles one.
//
//   a key of whole numbers       ranges of the key, cut where the keys of pages lie that are at
//   in the order of the heap     equal distances: each counts by itself once it is copied
//   otherwise, server ≥ 14       page ranges of the heap (a TID Range Scan reads just them)
//   10 … 13, or no               ranges of a single whole-number key between its least and greatest
//   SELECT on ctid               value
//   otherwise, or with           the whole table: the plain COPY is the server's cheapest
//   one worker
//
// All but the first count only once the whole table is copied: the stream cannot tell on which page
// a row lies, and ranges of a key that is spread over the heap would each read most of it.

public import ChangeModel
public import Replication

/// A part of a table that one COPY reads.
public struct SnapshotChunk: Sendable, Equatable {
    /// Which rows.
    public enum Range: Sendable, Equatable {
        /// All of them.
        case whole
        /// Those on the pages from `lower` up to, not including, `upper`; `nil` is open.
        case pages(lower: UInt32?, upper: UInt32?)
        /// Those with a key from `lower` up to, not including, `upper`; `nil` is open.
        case keys(column: String, lower: Int64?, upper: Int64?)
    }

    /// Index of the table in the plan's input.
    public var table: Int
    /// Index of the storage in the table.
    public var storage: Int
    /// Which rows of the storage.
    public var range: Range
    /// The size that was estimated, in bytes of the heap.
    public var bytes: Int64
    /// Whether its rows count before the rest of the table is copied, and come in the key's order.
    public var isResumable = false
}

/// The chunks of a snapshot in the order in which they are to be taken.
public struct SnapshotPlan: Sendable, Equatable {
    /// The least and the greatest value of a storage's key under the snapshot.
    public struct KeyBounds: Sendable, Equatable {
        /// The key's column.
        public var column: String
        /// Least and greatest value.
        public var values: ClosedRange<Int64>

        /// Creates bounds.
        public init(column: String, values: ClosedRange<Int64>) {
            self.column = column
            self.values = values
        }
    }

    /// Where a storage is cut by its key into parts that count by themselves.
    public struct KeyCuts: Sendable, Equatable {
        /// The key's column.
        public var column: String
        /// Between the parts, ascending.
        public var boundaries: [Int64]
        /// The keys that are copied already.
        public var copied: KeyRanges

        /// Creates cuts.
        public init(column: String, boundaries: [Int64], copied: KeyRanges = KeyRanges()) {
            self.column = column
            self.boundaries = boundaries
            self.copied = copied
        }
    }

    /// What bounds the size and the number of chunks.
    public struct Limits: Sendable, Equatable {
        /// No chunk is planned smaller than this, in bytes of the heap.
        public var leastBytes: Int64 = 8 << 20
        /// No chunk is planned larger than this, unless there would be too many.
        public var greatestBytes: Int64 = 128 << 20
        /// A table that is smaller, in bytes of the heap, counts only as a whole.
        public var leastResumableBytes: Int64 = 1 << 20
        /// The most chunks that one storage table is split into.
        public var chunksPerTable = 10_000
        /// How many chunks a worker would have if all were equal: the last ones end together.
        public var chunksPerWorker = 4

        /// The usual limits.
        public init() {}
    }

    /// The chunks that count by themselves first, so that as soon and as often as possible there
    /// is something to come back to; then table after table, the largest first.
    public let chunks: [SnapshotChunk]

    /// Plans the copying of tables.
    ///
    /// `serverVersion` is libpq's number (150018); `cuts` and `keyBounds` are by the OID of the
    /// storage, the latter asked for only below 14 and where `byKey` has it.
    public init(
        tables: [SourceTable],
        workers: Int,
        serverVersion: Int,
        pageSize: Int = 8192,
        byKey: Set<UInt32> = [],
        keyBounds: [UInt32: KeyBounds] = [:],
        cuts: [UInt32: KeyCuts] = [:],
        limits: Limits = Limits()
    ) {
        let target = Self.chunkBytes(tables, workers: workers, limits)
        var chunks: [(chunk: SnapshotChunk, tableBytes: Int64)] = []
        for (tableIndex, table) in tables.enumerated() {
            for (storageIndex, storage) in table.storage.enumerated() {
                let cuts = cuts[storage.oid]
                let ranges: [SnapshotChunk.Range]
                if let cuts {
                    ranges = Self.keyRanges(cuts)
                } else {
                    // Ranges gain a lone worker nothing, and the server reads a whole table for
                    // less.
                    let count = workers > 1 ? Self.parts(of: storage.bytes, target, limits) : 1
                    ranges =
                        serverVersion >= 140_000 && !byKey.contains(storage.oid)
                        ? Self.pageRanges(storage.bytes / Int64(max(1, pageSize)), count: count)
                        : Self.keyRanges(keyBounds[storage.oid], count: count)
                }
                for range in ranges {
                    let chunk = SnapshotChunk(
                        table: tableIndex,
                        storage: storageIndex,
                        range: range,
                        bytes: max(0, storage.bytes) / Int64(ranges.count),
                        isResumable: cuts != nil
                    )
                    chunks.append((chunk, Self.sum(table.storage)))
                }
            }
        }
        // Stable: tables of one size stay in their order, and chunks in that of pages and keys.
        self.chunks = chunks.enumerated().sorted { left, right in
            let (former, latter) = (left.element, right.element)
            if former.chunk.isResumable != latter.chunk.isResumable {
                return former.chunk.isResumable
            }
            return (latter.tableBytes, former.chunk.table, left.offset)
                < (former.tableBytes, latter.chunk.table, right.offset)
        }.map(\.element.chunk)
    }

    /// Into how many parts by its key a storage of so many bytes is to be cut.
    static func keyParts(
        of bytes: Int64,
        tables: [SourceTable],
        workers: Int,
        limits: Limits = Limits()
    ) -> Int {
        Int(parts(of: bytes, chunkBytes(tables, workers: workers, limits), limits))
    }

    private static func parts(of bytes: Int64, _ target: Int64, _ limits: Limits) -> Int64 {
        min(max(1, (bytes - 1) / target + 1), Int64(max(1, limits.chunksPerTable)))
    }

    private static func sum(_ storage: [SourceTable.Storage]) -> Int64 {
        storage.reduce(into: 0) { total, storage in
            total = total.addingReportingOverflow(max(0, storage.bytes)).partialValue
        }
    }

    private static func chunkBytes(_ tables: [SourceTable], workers: Int, _ limits: Limits) -> Int64
    {
        // A lone worker has nobody to share with; what it is given is what it may have to repeat.
        guard workers > 1 else { return max(1, limits.greatestBytes / 2) }
        let total = sum(tables.flatMap(\.storage))
        let share = max(0, total) / Int64(workers) / Int64(max(1, limits.chunksPerWorker))
        return max(1, limits.leastBytes, min(limits.greatestBytes, share))
    }

    private static func keyRanges(_ cuts: KeyCuts) -> [SnapshotChunk.Range] {
        ranges(between: cuts.boundaries).flatMap { lower, upper in
            cuts.copied.missing(of: KeyRange(lower, upper)).map {
                .keys(column: cuts.column, lower: $0.lower, upper: $0.upper)
            }
        }
    }

    private static func pageRanges(_ pages: Int64, count: Int64) -> [SnapshotChunk.Range] {
        // A ctid's page number has 32 bits, the greatest of which means no page.
        let pages = min(max(1, pages), Int64(UInt32.max) - 1)
        let count = min(count, pages)
        guard count > 1 else { return [.whole] }
        let boundaries = (1..<count).map { UInt32($0 * pages / count) }
        return ranges(between: boundaries).map { .pages(lower: $0, upper: $1) }
    }

    private static func keyRanges(_ bounds: KeyBounds?, count: Int64) -> [SnapshotChunk.Range] {
        guard let bounds else { return [.whole] }
        let boundaries = Self.boundaries(of: bounds, count: count)
        guard !boundaries.isEmpty else { return [.whole] }
        return ranges(between: boundaries).map {
            .keys(column: bounds.column, lower: $0, upper: $1)
        }
    }

    /// What cuts all keys between bounds into so many parts of one width, or fewer.
    static func boundaries(of bounds: KeyBounds, count: Int64) -> [Int64] {
        let least = bounds.values.lowerBound
        // Two's complement: right even where the difference does not fit into Int64.
        let width = UInt64(bitPattern: bounds.values.upperBound &- least)
        let count = width >= UInt64(count) ? UInt64(count) : width + 1
        guard count > 1 else { return [] }
        return (1..<count).map { index in
            // At most `width`: the quotient fits into 64 bits.
            let (high, low) = index.multipliedFullWidth(by: width)
            let step = count.dividingFullWidth((high, low)).quotient
            return least &+ Int64(bitPattern: step)
        }
    }

    /// The half-open ranges that ascending boundaries cut everything into.
    private static func ranges<Bound>(between boundaries: [Bound]) -> [(Bound?, Bound?)] {
        let lower: [Bound?] = [nil] + boundaries
        let upper: [Bound?] = boundaries + [nil]
        return Array(zip(lower, upper))
    }
}
