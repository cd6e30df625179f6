// SPDX-License-Identifier: Apache-2.0
//
// The snapshot: its checkpoint says `running` until the last row is durable, so that a start
// after a crash does not take a part of it for the whole. What there is of it then is thrown away
// and taken anew; or, where rows of it were seen, brought up to another one's point (CatchUp).

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink
import Snapshot
import Synchronization

extension TaskRunner {
    /// Makes the slot, copies the tables at its consistent point and commits them as a whole.
    ///
    /// Returns the checkpoint from which the stream goes on. Blocks.
    func snapshot(
        sink: any Sink,
        tables: [SourceTable],
        slotExists: Bool,
        run: inout RunState,
        facts: ServerFacts,
        control: borrowing Connection,
        retry: inout RetryPolicy
    ) throws -> Checkpoint {
        if options.snapshot != .never { enter(.snapshotting) }
        let began = ContinuousClock.now
        let goesOn = run.checkpoint?.goesOn ?? false
        if goesOn {
            // Nearly all of the way before there is a snapshot that holds up VACUUM.
            try catchUp(
                to: facts.walLSN,
                sink: sink,
                run: &run,
                facts: facts,
                control: control,
                retry: &retry
            )
        } else {
            try announce(to: sink, facts: facts)
            // Nothing is made on the server before the sink has shown that it can write.
            if options.snapshot != .only { try ensurePublication(of: tables, on: control) }
        }
        let taken = try SlotSnapshot.take(
            slot: options.slot,
            slotExists: slotExists || options.snapshot == .only,
            failover: options.failover,
            parameters: options.source,
            stop: stop,
            log: log,
            waiting: { [board] in board.beat(.sink) }
        )
        if options.snapshot != .only { slots.expect(on: facts) }
        log.notice(
            "snapshot taken",
            metadata: [
                "lsn": "\(taken.consistentPoint)", "tables": .stringConvertible(tables.count),
            ]
        )
        if goesOn {
            try catchUp(
                to: taken.consistentPoint,
                sink: sink,
                run: &run,
                facts: facts,
                control: control,
                retry: &retry
            )
        }
        let current = try self.tables(tables, of: run.checkpoint, at: taken)
        let types = try Self.types(of: current.map(\.relation), on: taken.connection)
        let done = checkpoint(
            publicationOID: try (goesOn ? run.checkpoint?.publicationOID : nil)
                ?? Publication.oid(task: options.task, on: control),
            position: taken.consistentPoint,
            snapshotLSN: taken.consistentPoint,
            state: .complete,
            relations: current.map(\.relation),
            types: types,
            facts: facts
        )
        try sink.prepare(done.relations, types: done.types)
        if options.snapshot != .never {
            if sink.showsUnfinishedSnapshots { try show(done, in: sink, goesOn: goesOn) }
            try copy(current, types: types, taken: taken, to: sink)
        }
        try turn.verify()
        try board.measureSink { try sink.commit(done) }
        supervisor.sinkSucceeded()
        board.noteCommit()
        publish(sink.statistics)
        sayComplete(since: began)
        return done
    }

    private func sayComplete(since began: ContinuousClock.Instant) {
        let snapshot = board.status.snapshot
        let time = ContinuousClock.now - began
        log.notice(
            """
            snapshot complete: \(Prose.count(snapshot.rowsCopied, "row")) of \
            \(Prose.count(snapshot.tables.count, "table")) in \(Prose.time(milliseconds: time.milliseconds))
            """,
            metadata: [
                "figures": [
                    "rows": .stringConvertible(snapshot.rowsCopied),
                    "tables": .stringConvertible(snapshot.tables.count),
                    "afterMilliseconds": .stringConvertible(Int(time.milliseconds)),
                ]
            ]
        )
    }

    /// The tables as the snapshot sees them; the same ones as before it was taken.
    private func tables(
        _ expected: [SourceTable],
        of checkpoint: Checkpoint?,
        at taken: borrowing SlotSnapshot
    ) throws -> [SourceTable] {
        let current = try tables(for: checkpoint, measured: true, on: taken.connection)
        if let checkpoint, checkpoint.goesOn { try verify(current, against: checkpoint, at: taken) }
        guard current.map(\.relation.oid) == expected.map(\.relation.oid) else {
            throw WalrelayError(
                "snapshot.tables_changed",
                exit: .unreachable,
                "Tables were made or dropped while the slot was being made",
                isTransient: true
            )
        }
        return current
    }

    /// Says in the sink, before rows are seen there, where they are from.
    private func show(_ done: Checkpoint, in sink: any Sink, goesOn: Bool) throws {
        var seen = done
        seen.snapshot = .running
        // Without a slot nothing will bring the rows that are seen up to another point.
        if options.snapshot == .only, !goesOn { seen.position = .zero }
        try sink.commit(seen)
    }

    /// The sink knows of the attempt before the server does: a slot that is found without a
    /// checkpoint was not made by a run of ours that died.
    private func announce(to sink: any Sink, facts: ServerFacts) throws {
        try sink.beginSnapshot(
            checkpoint(
                position: .zero,
                snapshotLSN: nil,
                state: .running,
                relations: [],
                types: TypeCatalog(),
                facts: facts
            )
        )
    }

    private func copy(
        _ tables: [SourceTable],
        types: TypeCatalog,
        taken: consuming SlotSnapshot,
        to sink: any Sink
    ) throws {
        let queue = BatchQueue(capacity: 2, pressure: board.backPressure)
        let stopWorkers = StopSignal()
        let isImported = Atomic(false)
        let copier = SnapshotCopier(
            parameters: options.source,
            request: request(tables, types: types, taken: taken),
            outlet: SnapshotOutlet(
                lanes: sink.copyLanes,
                deliver: { [board] batch in
                    board.beat(.snapshot)
                    try queue.put(batch, stop: stopWorkers)
                },
                recycled: { queue.spare() },
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
            try drain(queue, into: sink) {
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
        taken: borrowing SlotSnapshot
    ) -> SnapshotRequest {
        var request = SnapshotRequest(
            snapshot: taken.snapshotName,
            lsn: taken.consistentPoint,
            time: .now,
            tables: tables.map { table in
                SnapshotTable(
                    table,
                    as: RelationVersion(
                        relation: table.relation,
                        types: types.types(of: table.relation),
                        version: RelationVersions.next()
                    )
                )
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
                continue
            }
            try board.measureSink { try sink.write(batch) }
            supervisor.sinkSucceeded()
            board.addChanges(batch.changes.count, transactions: 0)
            publish(sink.statistics)
            queue.recycle(batch)
        }
    }
}
