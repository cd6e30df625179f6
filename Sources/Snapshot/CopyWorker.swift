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
    let mayBegin: @Sendable () -> Bool
    let ending: StopSignal

    /// The next chunk; `nil` where none is left.
    ///
    /// May block.
    func take() throws(WalrelayError) -> SnapshotChunk? {
        try ledger.take(unless: ending, mayBegin: mayBegin)
    }
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
    private var wasResumable = false
    /// What of the chunk is not in any batch yet; `nil` where the chunk does not count by itself.
    private var rest: ChunkRest?

    init(request: SnapshotRequest, outlet: SnapshotOutlet, job: CopyJob) {
        self.request = request
        self.outlet = outlet
        self.job = job
        byteLimit = min(max(1, request.batchBytes), 1 << 20)
        rowLimit = max(1, request.batchRows)
    }

    /// Copies chunks until none is left; blocks.
    mutating func run(on connection: borrowing Connection) throws {
        while let chunk = try job.take() {
            try connection.setPlanner(for: chunk, wasResumable: &wasResumable)
            try copy(chunk, on: connection)
            if let whole = job.ledger.finished(chunk) { try tellWhole(chunk.table, whole) }
        }
    }

    /// Says that a table is whole: the batches of all its chunks have been delivered.
    private func tellWhole(_ table: Int, _ count: (rows: Int64, bytes: Int64)) throws {
        var mark = outlet.recycled()
        mark.removeAll()
        mark.copied = TableCopy(
            oid: request.tables[table].relation.relation.oid,
            point: request.lsn,
            progress: .whole,
            rows: count.rows,
            bytes: count.bytes
        )
        try outlet.deliver(mark)
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
        rest = ChunkRest(of: chunk, in: table)
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
            try flush(chunk.table, isLast: true)
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

    /// Gives the batch away, unless it has nothing to say.
    private mutating func flush(_ table: Int, isLast: Bool = false) throws {
        let rows = batch.changes.count
        guard rows > 0 || isLast && rest != nil else { return }
        if let part = isLast ? rest?.takeAll() : try rest?.take(through: batch) {
            batch.copied = TableCopy(
                oid: request.tables[table].relation.relation.oid,
                point: request.lsn,
                progress: part,
                rows: Int64(rows),
                bytes: Int64(copiedBytes)
            )
        }
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

/// What is left of a chunk whose rows come in the order of their key, a batch after the other.
struct ChunkRest {
    private let column: String
    /// The key's place in a row.
    private let index: Int
    private var range: KeyRange

    /// The whole chunk; `nil` where it does not count by itself.
    init?(of chunk: SnapshotChunk, in table: SnapshotTable) {
        guard chunk.isResumable, case .keys(let column, let lower, let upper) = chunk.range,
            let index = table.resumableKey
        else { return nil }
        (self.column, self.index, range) = (column, index, KeyRange(lower, upper))
    }

    /// What lies up to the last row of a batch, that row included.
    mutating func take(through batch: borrowing ChangeBatch) throws -> TableCopy.Progress? {
        guard let last = batch.changes.last else { return nil }
        let cell = batch.cells[Int(last.newCells) + index]
        let start = Int(cell.offset)
        guard cell.isValue,
            let key = Int64(
                postgresText: batch.bytes.span.extracting(start..<(start + Int(cell.length)))
            ), range.contains(key)
        else {
            throw WalrelayError(
                "snapshot.key_unread",
                exit: .internalError,
                "a row of the snapshot has a key outside of the range that was asked for"
            )
        }
        let end = KeyRange(key).upper
        defer { range.lower = end ?? range.lower }
        return .keys(column: column, KeyRanges([KeyRange(range.lower, end ?? range.upper)]))
    }

    /// All that is left.
    mutating func takeAll() -> TableCopy.Progress {
        .keys(column: column, KeyRanges([range]))
    }
}
