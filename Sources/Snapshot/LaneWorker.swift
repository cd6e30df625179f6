// SPDX-License-Identifier: Apache-2.0
//
// A worker whose rows go past the batches: what COPY gives is handed to a lane as it comes. One
// thread reads the source and feeds the target; what one of them has not taken yet waits in the
// sockets, so neither has to wait for the other row by row.

import ChangeModel
import LibPQ
import Replication
import Sink

/// Passes the chunks of one connection on to a lane.
struct LaneWorker: ~Copyable {
    /// How many bytes pass before they are reported.
    private static let reportBytes = 1 << 20

    private let request: SnapshotRequest
    private let outlet: SnapshotOutlet
    private let job: CopyJob
    private let lane: any CopyLane
    /// What has passed and was not reported yet.
    private var rows = 0
    private var bytes = 0
    /// The same of the whole chunk, without what was not reported yet.
    private var chunkRows = 0
    private var chunkBytes = 0
    private var wasResumable = false

    init(request: SnapshotRequest, outlet: SnapshotOutlet, job: CopyJob, lane: any CopyLane) {
        self.request = request
        self.outlet = outlet
        self.job = job
        self.lane = lane
    }

    /// Passes chunks until none is left; blocks.
    ///
    /// After an error the lane has been abandoned.
    mutating func run(on connection: borrowing Connection) throws {
        do {
            while let chunk = try job.take() {
                try connection.setPlanner(for: chunk, wasResumable: &wasResumable)
                try pass(chunk, on: connection)
                guard let whole = job.ledger.finished(chunk) else { continue }
                // All lanes have ended their chunks of the table.
                try lane.note(copy(of: chunk, .whole, rows: whole.rows, bytes: whole.bytes))
            }
        } catch {
            lane.abandon()
            throw error
        }
    }

    private mutating func pass(
        _ chunk: SnapshotChunk,
        on connection: borrowing Connection
    ) throws {
        let table = request.tables[chunk.table]
        let format = try lane.format(of: table.relation)
        let statement = chunk.copyStatement(
            of: table,
            plain: !job.needsQuery.contains(chunk.table),
            format: format
        )
        (chunkRows, chunkBytes) = (0, 0)
        try lane.begin(table.relation)
        try connection.copyOut(
            statement,
            of: table.source.storage[chunk.storage],
            idleLimit: request.idleLimit
        ) { message in
            try lane.take(message)
            rows &+= 1
            bytes &+= message.count
            if bytes >= Self.reportBytes { report(chunk.table) }
        }
        // The server sends one message a row, in binary too, where the header comes with the
        // first; after the last one comes the trailer.
        if format == .binary { rows -= 1 }
        try lane.end(
            copy(
                of: chunk,
                part(chunk),
                rows: Int64(chunkRows + rows),
                bytes: Int64(chunkBytes + bytes)
            )
        )
        report(chunk.table)
    }

    /// What a chunk counts for by itself.
    private func part(_ chunk: SnapshotChunk) -> TableCopy.Progress {
        guard chunk.isResumable, case .keys(let column, let lower, let upper) = chunk.range else {
            return .nothing
        }
        return .keys(column: column, KeyRanges([KeyRange(lower, upper)]))
    }

    private func copy(
        of chunk: SnapshotChunk,
        _ progress: TableCopy.Progress,
        rows: Int64,
        bytes: Int64
    ) -> TableCopy {
        TableCopy(
            oid: request.tables[chunk.table].relation.relation.oid,
            point: request.lsn,
            progress: progress,
            rows: rows,
            bytes: bytes
        )
    }

    private mutating func report(_ table: Int) {
        job.ledger.delivered(table: table, rows: rows, bytes: bytes)
        outlet.passed(rows)
        chunkRows += rows
        chunkBytes += bytes
        rows = 0
        bytes = 0
    }
}
