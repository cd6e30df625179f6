// SPDX-License-Identifier: Apache-2.0
//
// What the keeper asks the source for before the chunks are planned: how tables can be divided.

import ChangeModel
import LibPQ
import Replication

/// Asks under the snapshot what a plan needs to know.
struct ChunkPlanning {
    let request: SnapshotRequest
    let pageSize: Int
    /// Storages that cannot be read by ranges of pages.
    let byKey: Set<UInt32>
    /// Storages of which the role may read some columns only, and `ctid` is none of these.
    private let columnGranted: Set<UInt32>

    /// Asks what the role may read; blocks.
    init(_ request: SnapshotRequest, on connection: borrowing Connection) throws(WalrelayError) {
        self.request = request
        let size = try connection.query("SHOW block_size", while: .checking).integer(0, 0)
        pageSize = max(1, size.map { Int($0) } ?? 8192)
        let oids = request.tables.flatMap(\.source.storage).map(\.oid)
        columnGranted =
            oids.isEmpty ? [] : try Self.columnGranted(oids.map(String.init), on: connection)
        byKey = connection.serverVersion >= 140_000 ? columnGranted : Set(oids)
    }

    private static func columnGranted(
        _ oids: [String],
        on connection: borrowing Connection
    ) throws(WalrelayError) -> Set<UInt32> {
        let rows = try connection.query(
            """
            SELECT c.oid FROM pg_catalog.pg_class c \
            WHERE c.oid IN (\(oids.joined(separator: ", "))) \
            AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
            """,
            while: .checking
        )
        return Set((0..<rows.count).compactMap { rows.integer($0, 0).map { UInt32(clamping: $0) } })
    }

    /// The plan; blocks.
    func plan(on connection: borrowing Connection) throws(WalrelayError) -> SnapshotPlan {
        let cuts = try cuts(connection)
        return SnapshotPlan(
            tables: request.tables.map(\.source),
            workers: request.workers,
            serverVersion: connection.serverVersion,
            pageSize: pageSize,
            byKey: byKey,
            keyBounds: request.workers > 1 ? try keyBounds(without: cuts, connection) : [:],
            cuts: cuts,
            limits: request.limits
        )
    }

    /// Where tables are cut into parts that count by themselves, those that were begun so included.
    private func cuts(
        _ connection: borrowing Connection
    ) throws(WalrelayError) -> [UInt32: SnapshotPlan.KeyCuts] {
        var cuts: [UInt32: SnapshotPlan.KeyCuts] = [:]
        let sources = request.tables.map(\.source)
        for table in request.tables {
            let copied = try table.copiedKeys()
            guard let key = table.resumableKey, let storage = table.source.storage.first else {
                continue
            }
            let column = table.relation.relation.columns[key].name
            let parts = SnapshotPlan.keyParts(
                of: storage.bytes,
                tables: sources,
                workers: request.workers,
                limits: request.limits
            )
            var boundaries: [Int64]?
            let isWorthIt = storage.bytes >= request.limits.leastResumableBytes
            if isWorthIt, !columnGranted.contains(storage.oid) {
                let pages = KeySampling.pages(of: storage.bytes / Int64(pageSize), parts: parts)
                let sampled = try KeySampling.sample(
                    pages,
                    of: storage,
                    column: column,
                    pageSize: pageSize,
                    on: connection
                )
                boundaries = KeySampling.boundaries(from: sampled, parts: parts)
            }
            // What was begun by its key goes on so, whatever has become of the heap.
            if boundaries == nil, copied != nil { boundaries = [] }
            guard let boundaries else { continue }
            cuts[storage.oid] = SnapshotPlan.KeyCuts(
                column: column,
                boundaries: boundaries,
                copied: copied ?? KeyRanges()
            )
        }
        return cuts
    }

    /// The bounds of the single whole-number keys, where a table is worth dividing.
    private func keyBounds(
        without cuts: [UInt32: SnapshotPlan.KeyCuts],
        _ connection: borrowing Connection
    ) throws(WalrelayError) -> [UInt32: SnapshotPlan.KeyBounds] {
        var bounds: [UInt32: SnapshotPlan.KeyBounds] = [:]
        for table in request.tables {
            guard let column = table.wholeNumberKey else { continue }
            let key = SQL.identifier(column)
            for storage in table.source.storage
            where byKey.contains(storage.oid) && cuts[storage.oid] == nil
                && storage.bytes > request.limits.leastBytes
            {
                let name = SQL.identifier(storage.schema, storage.name)
                let rows = try connection.query(
                    "SELECT min(\(key)), max(\(key)) FROM ONLY \(name)",
                    while: .copying("\(storage.schema).\(storage.name)"),
                    within: request.idleLimit
                )
                guard let least = rows.integer(0, 0), let greatest = rows.integer(0, 1),
                    least <= greatest
                else { continue }
                bounds[storage.oid] = SnapshotPlan.KeyBounds(
                    column: column,
                    values: least...greatest
                )
            }
        }
        return bounds
    }
}
