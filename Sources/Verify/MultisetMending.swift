// SPDX-License-Identifier: Apache-2.0
//
// A table without a key: rows are known by their whole image, and there may be several of one.
// As many copies are deleted or inserted as there are too many or too few.

import ChangeModel
import LibPQ
import Replication

/// Mends a table without a key.
struct MultisetMending {
    private let mending: Mending
    private var table: ComparedTable { mending.table }

    init(_ mending: Mending) {
        self.mending = mending
    }

    /// Mends the rows of these hashes; blocks for as long as reading the target's table takes.
    func run(
        _ hashes: [Int64],
        sourceCounts: [Int64: Int64]
    ) throws -> VerifyReport.Mended {
        let images = Array(mending.folded.images)
        let hashing = OverlayHashing(table: table, session: mending.keeper)
        var deltas: [Int64: Int64] = [:]
        var written: [Int64: PackedRow] = [:]
        for part in OverlayHashing.portions(images, bytes: { $0.key.bytes.count }) {
            for (hash, entry) in zip(try hashing.hashes(ofImages: part.map(\.key)), part) {
                deltas[hash, default: 0] += Int64(entry.value)
                written[hash] = entry.key
            }
        }
        let actual = try Mending.counts(of: hashes, table, on: mending.writer)
        var mended = VerifyReport.Mended()
        var surplus: [(hash: Int64, count: Int64)] = []
        for hash in Set(hashes).sorted() {
            let wanted = (sourceCounts[hash] ?? 0) + (deltas[hash] ?? 0)
            let difference = wanted - (actual[hash] ?? 0)
            if difference < 0 {
                surplus.append((hash, -difference))
                mended.deleted += Int(-difference)
            } else if difference > 0 {
                try insert(hash, Int(difference), image: written[hash])
                mended.inserted += Int(difference)
            }
        }
        try delete(surplus)
        return mended
    }

    private func insert(_ hash: Int64, _ count: Int, image: PackedRow?) throws {
        let names = table.columns.map { SQL.identifier($0.name) }.joined(separator: ", ")
        let row: String
        if let image, !table.columns.isEmpty {
            let columns = OverlayHashing.columns(
                CollectionOfOne(image),
                count: table.source.relation.columns.count
            )
            let values = table.columns.map { column in
                "v.c\(column.relationIndex + 1)::\(column.castTypes[0]) AS "
                    + SQL.identifier(column.name)
            }
            row = "SELECT \(values.joined(separator: ", ")) FROM \(ArrayText.rows(columns))"
        } else {
            row = """
                SELECT \(names) FROM (SELECT *, \(table.hash(.source)) AS walrelay_hash \
                FROM \(table.from(.source))\(table.conditions(.source)) OFFSET 0) s \
                WHERE walrelay_hash = '\(hash)'::bigint LIMIT 1
                """
        }
        try mending.copy(
            "SELECT \(names) FROM (\(row)) r CROSS JOIN pg_catalog.generate_series(1, \(count))",
            count: count
        )
    }

    private func delete(_ surplus: [(hash: Int64, count: Int64)]) throws {
        guard !surplus.isEmpty else { return }
        let wanted = surplus.map { "('\($0.hash)'::bigint, \($0.count))" }.joined(separator: ", ")
        try mending.writer.connection.query(
            """
            DELETE FROM \(table.from(.target)) AS r USING ( \
            SELECT h, place, part, pg_catalog.row_number() OVER (PARTITION BY h) AS number \
            FROM (SELECT ctid AS place, tableoid AS part, \(table.hash(.target)) AS h \
            FROM \(table.from(.target)) OFFSET 0) s) d \
            JOIN (VALUES \(wanted)) AS w (h, count) ON w.h = d.h AND d.number <= w.count \
            WHERE r.ctid = d.place AND r.tableoid = d.part
            """,
            within: .seconds(60)
        )
    }
}
