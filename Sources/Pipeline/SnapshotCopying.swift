// SPDX-License-Identifier: Apache-2.0
//
// The rows of a snapshot on their way: workers read, this thread writes, and commits what counts.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink
import Snapshot
import Synchronization

extension TaskRunner {
    /// Copies what is not copied yet of the tables, and commits now and then what is; blocks.
    func copy(
        _ tables: [SourceTable],
        types: TypeCatalog,
        taken: consuming SlotSnapshot,
        to sink: any Sink,
        noting soFar: CopiedSoFar
    ) throws {
        var soFar = soFar
        for table in tables { tellWhole(table, soFar.checkpoint.copy(of: table.relation.oid)) }
        let hold = soFar.hold
        let queue = BatchQueue(capacity: 2, pressure: board.backPressure)
        let stopWorkers = StopSignal()
        let isImported = Atomic(false)
        let copier = SnapshotCopier(
            parameters: options.source,
            request: request(tables, types: types, taken: taken, after: soFar.checkpoint),
            outlet: SnapshotOutlet(
                lanes: sink.copyLanes,
                deliver: { [board] batch in
                    board.beat(.snapshot)
                    try queue.put(batch, stop: stopWorkers)
                },
                recycled: { queue.spare() },
                mayBegin: { !hold.isHeld },
                imported: { isImported.store(true, ordering: .releasing) },
                progress: { [board] in board.update($0) },
                passed: { [board] rows in
                    board.beat(.snapshot)
                    board.addChanges(rows, transactions: 0)
                }
            )
        )
        board.begin(.snapshot)
        defer { board.end(.snapshot) }
        let worker = Worker(named: "snapshot") {
            defer { queue.finish() }
            try copier.run(stop: stopWorkers)
        }
        var export: SlotSnapshot? = consume taken
        do {
            try drain(queue, into: sink, noting: &soFar) {
                // Once all have joined the snapshot nobody needs the transaction that made it.
                if isImported.load(ordering: .acquiring) { export = nil }
            }
        } catch {
            // The sink cannot go on: the workers must not wait for it.
            stopWorkers.request()
            queue.finish()
            _ = try? worker.join { board.beat(.sink) }
            throw error
        }
        try worker.join { board.beat(.sink) }
        _ = export.take()
    }

    private func request(
        _ tables: [SourceTable],
        types: TypeCatalog,
        taken: borrowing SlotSnapshot,
        after former: Checkpoint
    ) -> SnapshotRequest {
        let copies = tables.map { former.copy(of: $0.relation.oid) }
        return request(tables, types: types, taken: taken, after: copies)
    }

    /// What is to be copied of tables; without `copies` that is everything.
    func request(
        _ tables: [SourceTable],
        types: TypeCatalog,
        taken: borrowing SlotSnapshot,
        after copies: [TableCopy]
    ) -> SnapshotRequest {
        var request = SnapshotRequest(
            snapshot: taken.snapshotName,
            lsn: taken.consistentPoint,
            time: .now,
            tables: tables.compactMap { table in
                let copy = copies.first { $0.oid == table.relation.oid }
                guard copy?.progress != .whole else { return nil }
                let version = RelationVersion(
                    relation: table.relation,
                    types: types.types(of: table.relation),
                    version: RelationVersions.next()
                )
                return SnapshotTable(table, as: version, after: copy)
            },
            workers: options.snapshotWorkers
        )
        // Each worker fills a batch of its own: small ones keep the memory of many workers small
        // and cost nothing measurable.
        request.batchRows = min(options.batchRows, 4_096)
        request.batchBytes = min(options.batchBytes, 512 << 10)
        return request
    }

    /// Writes what the workers deliver until they have ended; with lanes there is nothing of it.
    private func drain(
        _ queue: BatchQueue,
        into sink: any Sink,
        noting soFar: inout CopiedSoFar,
        meanwhile: () -> Void
    ) throws {
        while !queue.isDrained {
            board.beat(.sink)
            try turn.verify()
            meanwhile()
            if stop.isRequested || slots.isRaised { throw CancellationError() }
            guard let batch = queue.next(within: .milliseconds(100)) else {
                // Workers that read a long row or wait for a lock are alive as long as their
                // connections are, those of their lanes too; all have limits of their own.
                board.beat(.snapshot)
                try sink.idle()
                publish(sink.statistics)
                try commit(&soFar, to: sink)
                continue
            }
            if !batch.changes.isEmpty { try board.measureSink { try sink.write(batch) } }
            supervisor.sinkSucceeded()
            soFar.note(batch)
            board.addChanges(batch.changes.count, transactions: 0)
            publish(sink.statistics)
            queue.recycle(batch)
            try commit(&soFar, to: sink)
        }
    }

    /// Makes what was written durable, where it is time and all of it counts.
    private func commit(_ soFar: inout CopiedSoFar, to sink: any Sink) throws {
        let begun = ContinuousClock.now
        guard soFar.isDue(at: begun) else { return }
        try board.measureSink { try sink.commit(soFar.checkpoint) }
        supervisor.sinkSucceeded()
        board.noteCommit()
        soFar.committed(at: .now, begun: begun)
    }

    /// Shows a table that nothing is left to do for.
    private func tellWhole(_ table: SourceTable, _ copy: TableCopy) {
        guard copy.progress == .whole else { return }
        board.update(
            SnapshotProgress(
                table: table.relation.qualifiedName,
                state: .done,
                rowsEstimated: copy.rows,
                rowsCopied: copy.rows,
                bytesCopied: copy.bytes
            )
        )
    }
}
