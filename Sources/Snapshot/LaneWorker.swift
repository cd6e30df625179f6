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
            while let chunk = job.ledger.take() {
                try pass(chunk, on: connection)
                job.ledger.finished(chunk)
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
        try lane.end()
        report(chunk.table)
    }

    private mutating func report(_ table: Int) {
        job.ledger.delivered(table: table, rows: rows, bytes: bytes)
        outlet.passed(rows)
        rows = 0
        bytes = 0
    }
}
