// SPDX-License-Identifier: Apache-2.0
//
// The first pass: every row of both sides is read once by its own server, which answers with
// counts and sums a bucket. Pieces are read in parallel, so many connections a side; what a
// table's pieces come to is compared and let go as soon as they are together.

import ChangeModel
import LibPQ
import Replication
import Snapshot

/// A part of a table of one side that one statement sums up.
struct ScanPiece: Sendable {
    var table: Int
    var side: Side
    var storage: SourceTable.Storage
    var conditions: [String]
    var bytes: Int64
}

/// Plans and runs the first pass.
struct Scan: Sendable {
    let point: ComparisonPoint
    let workers: Int
    let progress: VerifyProgress

    /// The tallies of the point's tables, whole; blocks.
    func run(
        divisions: [Division],
        _ parameters: [ConnectionParameters],
        stop: StopSignal
    ) throws -> [Tally] {
        let pieces = Side.allCases.map { self.pieces($0, divisions) }
        let tallies = divisions.indices.map { table in
            Tally(
                divisions[table],
                pieceCount: pieces.joined().count { $0.table == table }
            )
        }
        progress.enter(
            "reading both sides",
            bytesInAll: pieces.joined().reduce(0) { $0 + $1.bytes }
        )
        let lists = pieces.map { WorkList($0) }
        let counts = pieces.map { min(workers, $0.count) }
        // Threads of both sides are of one crew, so that an error of one ends the other.
        try Crew().run(counts[0] + counts[1], named: "scan", stop: stop) { number, ending in
            let side: Side = number < counts[0] ? .source : .target
            let session = try point.session(side, parameters[side.rawValue], stop: ending)
            while let piece = lists[side.rawValue].take() {
                guard !ending.isRequested else { return }
                try sum(piece, divisions[piece.table], into: tallies[piece.table], on: session)
            }
        }
        return tallies
    }

    private func sum(
        _ piece: ScanPiece,
        _ division: Division,
        into tally: Tally,
        on session: Session
    ) throws {
        let table = point.tables[piece.table]
        let statement = division.statement(
            table,
            piece.side,
            from: SQL.identifier(piece.storage.schema, piece.storage.name),
            where: piece.conditions
        )
        let result = try session.query(
            statement,
            while: "reading \(table.name) of the \(piece.side)",
            within: Session.scanLimit
        )
        let rows = tally.add(
            result,
            piece.side,
            overlay: point.overlays[piece.table],
            shape: table.shape,
            isKeyless: table.isKeyless
        )
        progress.add(rows: rows, bytes: piece.bytes)
    }

    private func pieces(_ side: Side, _ divisions: [Division]) -> [ScanPiece] {
        let tables = point.tables.map { table in
            var source = table.source
            source.storage = table.storage(side)
            return source
        }
        var limits = SnapshotPlan.Limits()
        // Small pieces: their sums are small, and the progress shows.
        limits.leastBytes = 16 << 20
        limits.greatestBytes = 64 << 20
        limits.chunksPerWorker = 16
        let plan = SnapshotPlan(
            tables: tables,
            // A single worker would be given whole tables, without progress in between.
            workers: max(2, workers),
            serverVersion: point.versions[side.rawValue],
            keyBounds: keyBounds(side, divisions),
            limits: limits
        )
        return plan.chunks.map { chunk in
            ScanPiece(
                table: chunk.table,
                side: side,
                storage: tables[chunk.table].storage[chunk.storage],
                conditions: Self.conditions(chunk.range),
                bytes: chunk.bytes
            )
        }.enumerated().sorted { first, second in
            // One table after the other, so that few tallies are under way.
            (first.element.table, first.offset) < (second.element.table, second.offset)
        }.map(\.element)
    }

    /// Below 14 no range of pages can be read alone: there the key divides a table, if it can.
    private func keyBounds(
        _ side: Side,
        _ divisions: [Division]
    ) -> [UInt32: SnapshotPlan.KeyBounds] {
        var bounds: [UInt32: SnapshotPlan.KeyBounds] = [:]
        for (table, division) in zip(point.tables, divisions) {
            guard case .ranges(let lower, let width, let count) = division, table.key.count == 1,
                let first = table.key.first
            else { continue }
            let (upper, isTooFar) = lower.addingReportingOverflow(width * Int64(count - 1))
            guard !isTooFar, upper > lower else { continue }
            for storage in table.storage(side) {
                bounds[storage.oid] = SnapshotPlan.KeyBounds(
                    column: table.columns[first].name,
                    values: lower...upper
                )
            }
        }
        return bounds
    }

    private static func conditions(_ range: SnapshotChunk.Range) -> [String] {
        switch range {
        case .whole: []
        case .pages(let lower, let upper):
            [
                lower.map { "ctid >= '(\($0),0)'::tid" }, upper.map { "ctid < '(\($0),0)'::tid" },
            ].compactMap { $0 }
        case .keys(let column, let lower, let upper):
            [
                lower.map { "\(SQL.identifier(column)) >= '\($0)'::bigint" },
                upper.map { "\(SQL.identifier(column)) < '\($0)'::bigint" },
            ].compactMap { $0 }
        }
    }
}
