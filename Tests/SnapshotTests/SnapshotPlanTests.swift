// SPDX-License-Identifier: Apache-2.0
//
// The plan's one promise, held against random tables: each row lies in exactly one chunk.

import ChangeModel
import Replication
import Support
import Testing

@testable import Snapshot

private func table(oid: UInt32 = 1, sizes: [Int64], filter: String? = nil) -> SourceTable {
    SourceTable(
        relation: Relation(
            oid: oid,
            schema: "s",
            name: "t\(oid)",
            replicaIdentity: .default,
            columns: [Column(name: "id", typeOID: 20, isKey: true)],
            primaryKey: ["id"]
        ),
        isPartitioned: sizes.count > 1,
        storage: sizes.enumerated().map { index, bytes in
            SourceTable.Storage(
                oid: oid * 1000 + UInt32(index),
                schema: "s",
                name: "t\(oid)_\(index)",
                estimatedRows: -1,
                bytes: bytes
            )
        },
        filter: filter
    )
}

/// Whether half-open ranges follow each other without a gap from open end to open end.
private func tile<Bound: Comparable>(_ ranges: [(lower: Bound?, upper: Bound?)]) -> Bool {
    guard ranges.first?.lower == nil, ranges.last?.upper == nil else { return false }
    return zip(ranges, ranges.dropFirst()).allSatisfy { left, right in
        guard let end = left.upper, end == right.lower else { return false }
        return left.lower.map { $0 < end } ?? true
    }
}

private func pages(_ chunks: [SnapshotChunk]) -> [(lower: UInt32?, upper: UInt32?)] {
    chunks.map { chunk in
        guard case .pages(let lower, let upper) = chunk.range else { return (nil, nil) }
        return (lower, upper)
    }
}

private func keys(_ chunks: [SnapshotChunk]) -> [(lower: Int64?, upper: Int64?)] {
    chunks.map { chunk in
        guard case .keys("id", let lower, let upper) = chunk.range else { return (nil, nil) }
        return (lower, upper)
    }
}

struct SnapshotPlanTests {
    @Test(arguments: 0..<20)
    func `each page lies in exactly one chunk`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let tables = (1...Int.random(in: 1...4, using: &random)).map { number in
            let sizes = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                Int64.random(
                    in: 0...(1 << Int64.random(in: 1...44, using: &random)),
                    using: &random
                )
            }
            return table(oid: UInt32(number), sizes: sizes)
        }
        let plan = SnapshotPlan(
            tables: tables,
            workers: Int.random(in: 1...16, using: &random),
            serverVersion: 150_000
        )
        for (tableIndex, table) in tables.enumerated() {
            for storageIndex in table.storage.indices {
                let chunks = plan.chunks.filter {
                    $0.table == tableIndex && $0.storage == storageIndex
                }
                #expect((1...10_000).contains(chunks.count))
                #expect(tile(pages(chunks)))
            }
        }
        // Table after table, the largest first.
        let sizes = plan.chunks.map { chunk in
            tables[chunk.table].storage.reduce(0) { $0 + $1.bytes }
        }
        #expect(zip(sizes, sizes.dropFirst()).allSatisfy { $0 >= $1 })
        #expect(Set(plan.chunks.map(\.table)).count == tables.count)
    }

    @Test(arguments: 0..<40)
    func `each key lies in exactly one chunk`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let table = table(sizes: [.random(in: 0...(1 << 36), using: &random)])
        let ends = (0..<2).map { _ in
            Int64.random(in: .min ... .max, using: &random)
                >> Int64.random(in: 0...63, using: &random)
        }
        let least = seed == 0 ? Int64.min : min(ends[0], ends[1])
        let greatest = seed < 2 ? Int64.max : max(ends[0], ends[1])
        let plan = SnapshotPlan(
            tables: [table],
            workers: 4,
            serverVersion: 130_000,
            keyBounds: [1000: .init(column: "id", values: least...greatest)]
        )
        let ranges = keys(plan.chunks)
        #expect(tile(ranges))
        #expect(plan.chunks.count <= 10_000)
        // No chunk lies wholly outside of the bounds: a COPY that cannot find anything.
        let inside = ranges.allSatisfy { range in
            (range.lower.map { $0 <= greatest } ?? true) && (range.upper.map { $0 > least } ?? true)
        }
        #expect(inside)
    }

    @Test func `a table that dominates gives every worker several chunks`() {
        let plan = SnapshotPlan(
            tables: [table(oid: 1, sizes: [640 << 20]), table(oid: 2, sizes: [1 << 20])],
            workers: 4,
            serverVersion: 150_000
        )
        #expect(plan.chunks.count { $0.table == 0 } >= 16)
        #expect(plan.chunks.count { $0.table == 1 } == 1)
        #expect(plan.chunks.last?.table == 1)
    }

    @Test func `no chunk is smaller than 8 MiB and none larger than 128 MiB`() {
        let small = SnapshotPlan(
            tables: [table(sizes: [20 << 20])],
            workers: 8,
            serverVersion: 150_000
        )
        #expect(small.chunks.count == 3)
        let large = SnapshotPlan(
            tables: [table(sizes: [100 << 30])],
            workers: 2,
            serverVersion: 150_000
        )
        #expect(large.chunks.count == 800)
        #expect(large.chunks.allSatisfy { $0.bytes <= 128 << 20 })
    }

    @Test func `a table of many terabytes has at most 10000 chunks`() {
        let plan = SnapshotPlan(
            tables: [table(sizes: [32 << 40])],
            workers: 4,
            serverVersion: 150_000
        )
        #expect(plan.chunks.count == 10_000)
    }

    @Test func `below 14 a table without a usable key is one chunk`() {
        let tables = [table(sizes: [10 << 30])]
        let plan = SnapshotPlan(tables: tables, workers: 4, serverVersion: 130_000)
        #expect(plan.chunks.map(\.range) == [.whole])
    }

    @Test func `one worker copies whole tables`() {
        let tables = [table(sizes: [10 << 30, 0])]
        let plan = SnapshotPlan(tables: tables, workers: 1, serverVersion: 150_000)
        #expect(plan.chunks.map(\.range) == [.whole, .whole])
        #expect(plan.chunks.map(\.storage) == [0, 1])
    }

    @Test(arguments: 0..<40)
    func `each key that is not copied lies in exactly one chunk`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let cuts = Set((0..<8).map { _ in Int64.random(in: -20...20, using: &random) }).sorted()
        let copied = KeyRanges(
            (0..<Int.random(in: 0...4, using: &random)).map { _ in
                let lower = Int64.random(in: -25...25, using: &random)
                return KeyRange(lower, lower + .random(in: 1...9, using: &random))
            }
        )
        let plan = SnapshotPlan(
            tables: [table(oid: 1, sizes: [1 << 30]), table(oid: 2, sizes: [2 << 30])],
            workers: 1,
            serverVersion: 150_000,
            cuts: [1000: .init(column: "id", boundaries: cuts, copied: copied)]
        )
        let chunks = plan.chunks.filter(\.isResumable)
        #expect(
            plan.chunks.prefix(chunks.count) == chunks[...],
            "what counts by itself comes first"
        )
        #expect(plan.chunks.dropFirst(chunks.count).map(\.range) == [.whole])
        for key in Int64(-30)...30 {
            let count = keys(chunks).count { KeyRange($0.lower, $0.upper).contains(key) }
            #expect(count == (copied.contains(key) ? 0 : 1), "\(key)")
        }
    }

    @Test func `a lone worker's chunks are those that it may have to repeat`() {
        let tables = [table(sizes: [640 << 20])]
        #expect(SnapshotPlan.keyParts(of: 640 << 20, tables: tables, workers: 1) == 10)
        #expect(SnapshotPlan.keyParts(of: 640 << 20, tables: tables, workers: 4) == 16)
        #expect(SnapshotPlan.keyParts(of: 0, tables: tables, workers: 4) == 1)
    }

    @Test func `keys that follow the pages cut the heap into parts of one size`() {
        #expect(KeySampling.pages(of: 10, parts: 2).isEmpty, "too few pages to tell")
        let pages = KeySampling.pages(of: 1_000, parts: 4)
        #expect(pages.count == 15 && pages[3] == 250 && pages[11] == 750)
        // A gap in the keys makes no difference.
        let sampled = pages.map { page in
            let key = page * 100 + (page > 500 ? 1_000_000 : 0)
            return SampledPage(low: key, median: key + 50, high: key + 99)
        }
        #expect(KeySampling.boundaries(from: sampled, parts: 4) == [25_050, 50_050, 1_075_050])
        #expect(KeySampling.boundaries(from: sampled, parts: 1) == [])
        #expect(KeySampling.boundaries(from: sampled.shuffled(), parts: 4) == nil)
        #expect(KeySampling.boundaries(from: sampled.reversed(), parts: 4) == nil)
        #expect(KeySampling.boundaries(from: [], parts: 4) == nil)
        // Pages on which rows of everywhere lie are no run of keys, whatever their middle is.
        let spread = sampled.map { SampledPage(low: 1, median: $0.median, high: 2_000_000) }
        #expect(KeySampling.boundaries(from: spread, parts: 4) == nil)
    }

    @Test func `a statement quotes names and keeps a filter apart`() {
        let source = SourceTable(
            relation: Relation(
                oid: 1,
                schema: "Sch\"ema",
                name: "T",
                replicaIdentity: .default,
                columns: [Column(name: "a b", typeOID: 25), Column(name: "ID", typeOID: 20)]
            ),
            isPartitioned: false,
            storage: [.init(oid: 1, schema: "Sch\"ema", name: "T", estimatedRows: 0, bytes: 0)],
            filter: "x OR y -- why"
        )
        let version = RelationVersion(
            relation: source.relation,
            types: [.text, .integer],
            version: 1
        )
        var table = SnapshotTable(source, as: version)
        func statement(_ range: SnapshotChunk.Range, plain: Bool = true) -> String {
            SnapshotChunk(table: 0, storage: 0, range: range, bytes: 0)
                .copyStatement(of: table, plain: plain)
        }
        let head = #"COPY (SELECT "a b", "ID" FROM ONLY "Sch""ema"."T""#
        #expect(statement(.whole) == head + " WHERE (x OR y -- why\n)) TO STDOUT")
        #expect(
            statement(.pages(lower: 5, upper: 9))
                == head + " WHERE (x OR y -- why\n) AND ctid >= '(5,0)'::tid"
                + " AND ctid < '(9,0)'::tid) TO STDOUT"
        )
        table.source.filter = nil
        #expect(statement(.whole) == #"COPY "Sch""ema"."T" ("a b", "ID") TO STDOUT"#)
        #expect(statement(.whole, plain: false) == head + ") TO STDOUT")
        #expect(
            statement(.keys(column: "ID", lower: -3, upper: nil))
                == head + #" WHERE "ID" >= '-3'::pg_catalog.int8) TO STDOUT"#
        )
        var chunk = SnapshotChunk(
            table: 0,
            storage: 0,
            range: .keys(column: "ID", lower: nil, upper: 7),
            bytes: 0
        )
        chunk.isResumable = true
        #expect(
            chunk.copyStatement(of: table, plain: true)
                == head + #" WHERE "ID" < '7'::pg_catalog.int8 ORDER BY "ID") TO STDOUT"#
        )
        chunk.range = .keys(column: "ID", lower: nil, upper: nil)
        #expect(
            chunk.copyStatement(of: table, plain: true)
                == head + #" ORDER BY "ID") TO STDOUT"#,
            "all of a table too comes in the key's order"
        )
    }
}
