// SPDX-License-Identifier: Apache-2.0
//
// How the tables of a job are divided among its channels.
//
//   one channel, or a query     one slice
//   heaps that are not small    ranges of pages, from 14 on (a TID Range Scan reads just them),
//                               unless there are both a splitPk with an index and a condition
//   splitPk                     ranges of its values, whose bounds a sample gives
//   neither                     one slice
//
// Only where each record is made of one row: an aggregate of a slice is none of the whole.

import ChangeModel
import LibPQ

/// Divides what a job reads.
struct SourceDivision {
    /// What bounds the number of slices.
    struct Limits: Sendable {
        /// How many slices a channel would have if all were equal: the last ones end together.
        var slicesPerChannel = 4
        /// No range of pages is smaller than this, in bytes.
        var leastBytes: Int64 = 8 << 20
        /// No more slices a channel than one where they would have fewer rows than this.
        var leastRows = 5_000
        /// A sample reads about as many pages of a larger table.
        var samplePages: Int64 = 1_000
        /// Whether ranges of pages come before those of a key that has an index.
        var prefersPages = true
        /// The longest bound, in bytes of text.
        var boundBytes = 1_000
    }

    /// All slices.
    private(set) var slices: [SourceSlice] = []
    /// A sentence for each table.
    private(set) var summary: [String] = []
    /// Sentences for the operator.
    private(set) var warnings: [String] = []
    private let channels: Int
    private let tables: Int
    private let splitKey: String?
    private let patience: Duration
    private let limits: Limits

    /// Divides; blocks while samples are taken.
    ///
    /// Throws `WalrelayError`.
    init(
        _ contents: [SourceContent],
        splitKey: String?,
        channels: Int,
        patience: Duration,
        limits: Limits = Limits(),
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        self.channels = channels
        self.splitKey = splitKey
        self.patience = patience
        self.limits = limits
        tables = contents.count
        for content in contents { try add(content, on: connection) }
        if channels > slices.count, channels > 1 {
            warnings.append(
                "concurrent is \(channels), but there is only work for "
                    + "\(Prose.count(slices.count, "channel"))"
            )
        }
    }

    private mutating func add(
        _ content: SourceContent,
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        guard let table = content.table else { return addWhole(content) }
        var key: SourceColumn?
        if let splitKey {
            key = table.relation.column(splitKey)
            guard key != nil else { throw table.relation.missing([splitKey], in: "splitPk") }
        }
        guard channels > 1 else { return addWhole(content) }
        guard content.isRowByRow else {
            if tables < channels {
                warnings.append(
                    "\(content.label) is read by one channel: a column of the reader is made of "
                        + "several rows"
                )
            }
            return addWhole(content)
        }
        if let key, try addKeys(key, of: table, content, on: connection) { return }
        addPages(of: table, content, connection.serverVersion, hasKey: key != nil)
    }

    private mutating func addWhole(_ content: SourceContent) {
        summary.append("\(content.label): 1 slice")
        slices.append(
            SourceSlice(
                label: content.label,
                statement: content.statement,
                plainTable: content.plainTable
            )
        )
    }

    private mutating func add(_ ranges: [String], of content: SourceContent, by what: String) {
        summary.append("\(content.label): \(Prose.count(ranges.count, "slice")) by \(what)")
        slices += ranges.map {
            SourceSlice(label: content.label, statement: content.statement(where: $0))
        }
    }

    /// How many slices a table is worth, each channel having so many.
    private func wanted(_ perChannel: Int, rows: Int) -> Int {
        let most = max(1, (channels * perChannel + tables - 1) / tables)
        let least = (channels + tables - 1) / tables
        return min(most, max(least, rows / limits.leastRows))
    }

    // MARK: By a key

    private mutating func addKeys(
        _ key: SourceColumn,
        of table: SourceContent.Table,
        _ content: SourceContent,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> Bool {
        let canHaveIndex = [.table, .partitioned, .materializedView].contains(table.relation.kind)
        let lacksIndex = canHaveIndex && !key.isIndexed
        // Ranges of pages give the same rows for less: no sample, no index, no page read twice. But
        // an index may find the rows of a condition.
        if lacksIndex || (table.condition == nil && limits.prefersPages),
            !pageBounds(of: table, connection.serverVersion).isEmpty
        {
            return false
        }
        let perChannel = key.isIndexed ? limits.slicesPerChannel : 1
        let count = wanted(perChannel, rows: content.estimatedRows)
        guard count > 1 else { return false }
        let sample = KeySample(
            key: key,
            table: table,
            estimatedRows: content.estimatedRows,
            estimatedCost: content.estimatedCost,
            limits: limits,
            patience: patience
        )
        let bounds: [String]
        switch try sample.bounds(count, on: connection) {
        case .bounds(let found): bounds = found
        case .unordered(let reason):
            warnings.append(
                "\(content.label) cannot be divided by its splitPk \(key.name) (\(reason))"
            )
            return false
        }
        let ranges = SliceRanges.keys(key, bounds: bounds)
        guard !ranges.isEmpty else {
            addWhole(content)
            return true
        }
        if lacksIndex {
            warnings.append(
                "the splitPk \(key.name) of \(content.label) has no index: each of its "
                    + "\(ranges.count) slices reads the whole table"
            )
        }
        add(ranges, of: content, by: SQL.identifier(key.name))
        return true
    }

    // MARK: By pages

    private mutating func addPages(
        of table: SourceContent.Table,
        _ content: SourceContent,
        _ version: Int,
        hasKey: Bool
    ) {
        let ranges = SliceRanges.pages(bounds: pageBounds(of: table, version))
        guard ranges.isEmpty else { return add(ranges, of: content, by: "pages") }
        addWhole(content)
        guard tables < channels, !hasKey else { return }
        guard table.relation.heapBytes == nil || version < 140_000 else { return }
        warnings.append(
            "\(content.label) is read by one channel: a splitPk would divide it"
        )
    }

    private func pageBounds(of table: SourceContent.Table, _ version: Int) -> [Int64] {
        guard version >= 140_000, let heaps = table.relation.heapBytes else { return [] }
        let bytes = heaps.reduce(0, +)
        let count = min(
            Int64(wanted(limits.slicesPerChannel, rows: .max)),
            bytes / limits.leastBytes
        )
        return SliceRanges.pageBounds(
            heaps.map { $0 / table.relation.pageBytes },
            count: Int(count)
        )
    }
}
