// SPDX-License-Identifier: Apache-2.0
//
// Who copies what: every row of every table lies in exactly one chunk. Pure: sizes and key bounds
// come in as numbers. Neighbouring chunks share their boundary (half-open ranges), the first is
// open downwards and the last upwards, so an estimate that is wrong makes chunks uneven but
// neither loses a row nor doubles one.
//
//   server ≥ 14         page ranges of the heap (a TID Range Scan reads just them)
//   10 … 13, or no      ranges of a single whole-number key between its least and greatest value
//   SELECT on ctid
//   otherwise, or       the whole table: the plain COPY is the server's cheapest
//   with one worker

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

    /// What bounds the size and the number of chunks.
    public struct Limits: Sendable, Equatable {
        /// No chunk is planned smaller than this, in bytes of the heap.
        public var leastBytes: Int64 = 8 << 20
        /// No chunk is planned larger than this, unless there would be too many.
        public var greatestBytes: Int64 = 128 << 20
        /// The most chunks that one storage table is split into.
        public var chunksPerTable = 10_000
        /// How many chunks a worker would have if all were equal: the last ones end together.
        public var chunksPerWorker = 4

        /// The usual limits.
        public init() {}
    }

    /// The chunks, largest first; those of one table ascending.
    public let chunks: [SnapshotChunk]

    /// Plans the copying of tables.
    ///
    /// `serverVersion` is libpq's number (150018); `keyBounds` are asked for only below 14 and
    /// where `byKey` has the storage, by the OID of the storage.
    public init(
        tables: [SourceTable],
        workers: Int,
        serverVersion: Int,
        pageSize: Int = 8192,
        byKey: Set<UInt32> = [],
        keyBounds: [UInt32: KeyBounds] = [:],
        limits: Limits = Limits()
    ) {
        let target = Self.chunkBytes(tables, workers: workers, limits)
        var chunks: [SnapshotChunk] = []
        for (tableIndex, table) in tables.enumerated() {
            for (storageIndex, storage) in table.storage.enumerated() {
                let count = min(
                    max(1, (storage.bytes - 1) / target + 1),
                    Int64(max(1, limits.chunksPerTable))
                )
                let ranges =
                    serverVersion >= 140_000 && !byKey.contains(storage.oid)
                    ? Self.pageRanges(storage.bytes / Int64(max(1, pageSize)), count: count)
                    : Self.keyRanges(keyBounds[storage.oid], count: count)
                chunks += ranges.map { range in
                    SnapshotChunk(
                        table: tableIndex,
                        storage: storageIndex,
                        range: range,
                        bytes: max(0, storage.bytes) / Int64(ranges.count)
                    )
                }
            }
        }
        // Stable: equal chunks stay in the order of the tables and of the pages.
        self.chunks = chunks.enumerated().sorted { left, right in
            (right.element.bytes, left.offset) < (left.element.bytes, right.offset)
        }.map(\.element)
    }

    private static func chunkBytes(_ tables: [SourceTable], workers: Int, _ limits: Limits) -> Int64
    {
        // Ranges gain a lone worker nothing, and the server reads a whole table for less.
        guard workers > 1 else { return Int64.max }
        var total: Int64 = 0
        for storage in tables.flatMap(\.storage) {
            total = total.addingReportingOverflow(max(0, storage.bytes)).partialValue
        }
        let share = max(0, total) / Int64(workers) / Int64(max(1, limits.chunksPerWorker))
        return max(1, limits.leastBytes, min(limits.greatestBytes, share))
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
        let least = bounds.values.lowerBound
        // Two's complement: right even where the difference does not fit into Int64.
        let width = UInt64(bitPattern: bounds.values.upperBound &- least)
        let count = width >= UInt64(count) ? UInt64(count) : width + 1
        guard count > 1 else { return [.whole] }
        let boundaries = (1..<count).map { index in
            // At most `width`: the quotient fits into 64 bits.
            let (high, low) = index.multipliedFullWidth(by: width)
            let step = count.dividingFullWidth((high, low)).quotient
            return least &+ Int64(bitPattern: step)
        }
        return ranges(between: boundaries).map {
            .keys(column: bounds.column, lower: $0, upper: $1)
        }
    }

    /// The half-open ranges that ascending boundaries cut everything into.
    private static func ranges<Bound>(between boundaries: [Bound]) -> [(Bound?, Bound?)] {
        let lower: [Bound?] = [nil] + boundaries
        let upper: [Bound?] = boundaries + [nil]
        return Array(zip(lower, upper))
    }
}
