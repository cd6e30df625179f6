// SPDX-License-Identifier: Apache-2.0
//
// A worker: COPY rows into batches. What stands in `take` runs for each row; it allocates
// nothing once the arrays have grown, touches no reference and calls nothing through a closure.

import ChangeModel
import LibPQ
import PgOutput
import Replication

/// What all workers share: the checked tables and the chunks that are left.
struct CopyJob: Sendable {
    let ledger: ChunkLedger
    let chunkCount: Int
    let needsQuery: Set<Int>
}

/// Fills batches from the chunks of one connection.
struct CopyWorker: ~Copyable {
    private let request: SnapshotRequest
    private let outlet: SnapshotOutlet
    private let job: CopyJob
    private let byteLimit: Int
    private let rowLimit: Int
    private var batch = ChangeBatch()
    private var hasBatch = false
    private var copiedBytes = 0
    private var columnCount = 0

    init(request: SnapshotRequest, outlet: SnapshotOutlet, job: CopyJob) {
        self.request = request
        self.outlet = outlet
        self.job = job
        byteLimit = min(max(1, request.batchBytes), 1 << 20)
        rowLimit = max(1, request.batchRows)
    }

    /// Copies chunks until none is left; blocks.
    mutating func run(on connection: borrowing Connection) throws {
        while let chunk = job.ledger.take() {
            try copy(chunk, on: connection)
            job.ledger.finished(chunk)
        }
    }

    private mutating func copy(
        _ chunk: SnapshotChunk,
        on connection: borrowing Connection
    ) throws {
        let table = request.tables[chunk.table]
        let statement = chunk.copyStatement(
            of: table,
            plain: !job.needsQuery.contains(chunk.table)
        )
        columnCount = table.relation.relation.columns.count
        do {
            try begin(table)
            try connection.copyOut(
                statement,
                of: table.source.storage[chunk.storage],
                idleLimit: request.idleLimit
            ) { row in
                try take(row)
                if batch.changes.count >= rowLimit || batch.bytes.count >= byteLimit {
                    try flush(chunk.table)
                    try begin(table)
                }
            }
            try flush(chunk.table)
        } catch let error as DecodeError {
            throw error.walrelayError(copying: table.relation.relation.qualifiedName)
        }
    }

    @inline(__always)
    private mutating func take(_ row: UnsafeRawBufferPointer) throws {
        let newCells = UInt32(truncatingIfNeeded: batch.cells.count)
        copiedBytes &+= row.count
        try CopyRowDecoder.decode(
            row.assumingMemoryBound(to: UInt8.self).span,
            columnCount: columnCount,
            into: &batch.bytes,
            cells: &batch.cells
        )
        batch.changes.append(
            Change(
                kind: .read,
                old: .none,
                relation: 0,
                transaction: 0,
                newCells: newCells,
                oldCells: 0,
                lsn: request.lsn,
                ordinal: 0,
                relationOrdinal: 0
            )
        )
    }

    /// Makes the empty batch ready for rows of a table.
    private mutating func begin(_ table: SnapshotTable) throws {
        if !hasBatch { batch = outlet.recycled() }
        hasBatch = true
        batch.removeAll()
        batch.relations.append(table.relation)
        batch.transactions.append(
            Transaction(xid: 0, commitLSN: request.lsn, commitTime: request.time)
        )
    }

    /// Gives the batch away, unless it is empty.
    private mutating func flush(_ table: Int) throws {
        let rows = batch.changes.count
        guard rows > 0 else { return }
        // No row of a snapshot waits for the end of a transaction; a sink needs no case for it.
        batch.committedCount = rows
        var full = ChangeBatch()
        swap(&full, &batch)
        hasBatch = false
        try outlet.deliver(full)
        job.ledger.delivered(table: table, rows: rows, bytes: copiedBytes)
        copiedBytes = 0
    }
}
