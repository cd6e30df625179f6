// SPDX-License-Identifier: Apache-2.0
//
// The stream: a reader on its own thread (StreamSession), the sink on this one, a bounded queue
// between them.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink

extension TaskRunner {
    /// Streams from a checkpoint until a stop, an error, or all that was committed before `until`
    /// and nothing else is durable.
    ///
    /// Blocks. The phase is `streaming` unless the checkpoint's snapshot is still running.
    func stream(
        sink: any Sink,
        from checkpoint: Checkpoint,
        until: LSN?,
        run: inout RunState,
        facts: ServerFacts,
        control: borrowing Connection,
        retry: inout RetryPolicy
    ) throws -> StreamEnding {
        if checkpoint.snapshot == .complete, try keepsFormerTables(&run, on: control) {
            return .stopped
        }
        let publicationOID = try samePublication(as: checkpoint, on: control)
        let checkpoint = try onTimeline(of: facts, checkpoint, in: sink, run: &run)
        var start = try forget(checkpoint, in: sink, run: &run, control: control)
        if start.snapshot == .complete, run.partCommit == nil {
            run.checkpoint = start
            start = try beginAddition(sink: sink, run: &run, control: control) ?? start
        }
        let watch = try CatalogWatch(
            known: start.relations,
            selection: options.tables,
            on: control
        )
        if run.partCommit == nil { start.relations = watch.baseline.relations }
        for notice in watch.baseline.notices { log.notice("\(notice)") }
        start.publicationOID = publicationOID
        start.timeline = facts.timeline
        if run.partCommit == nil { try ensurePublication(for: watch, on: control) }
        let session = try StreamSession(
            start: start,
            primary: facts.primary,
            provisional: run.isBaselineProvisional,
            acceptedNames: watch.baseline.acceptedNames,
            takesUncopied: sink.showsRowsAtOnce,
            until: until,
            types: Self.types(of: start.relations, known: start.types, on: control),
            statusInterval: Self.statusInterval(on: control),
            arrived: run.arrived,
            runner: self
        )
        let monitor = SourceMonitor(
            watch: watch,
            publicationOID: start.publicationOID,
            options: options,
            facts: facts,
            log: log
        )
        defer { monitor.end() }
        if let primary = facts.primary { slots.expect(on: primary) }
        slots.giveTime()
        board.show(beginningOfStream: start)
        do {
            try drain(session, into: sink, run: &run, monitor: monitor, retry: &retry)
        } catch {
            session.abandon(beat: { board.beat(.sink) })
            throw error
        }
        let ending = try self.ending(of: session)
        if let refusal = monitor.refusal(durable: session.position.durable) { throw refusal }
        if !stop.isRequested { try step(&run, sink: sink, facts: facts) }
        while ending == .reachedUntil, run.addition != nil, !stop.isRequested {
            try finishAlone(&run, sink: sink, facts: facts)
            if let until = run.until, let now = run.checkpoint, now.position < until {
                return .stopped
            }
        }
        return ending
    }

    /// How the reader ended; one that was told to end before it had begun to read has ended well.
    private func ending(of session: StreamSession) throws -> StreamEnding {
        do {
            return try session.join { board.beat(.sink) }
        } catch let error as WalrelayError
            where error.exit == .success && !stop.isRequested && session.stop.isRequested
        {
            return .stopped
        }
    }

    /// A column's type as people write it, asked on a connection of its own; blocks.
    func nameType(of column: Column, stop: StopSignal) -> String {
        let named = try? SourceCatalog.typeName(
            of: column,
            on: Connection.open(options.source.for(.catalog), stop: stop)
        )
        return named ?? SchemaGuard.typeText(column)
    }

    /// The publication's OID, which has to be the checkpoint's if that knows one.
    private func samePublication(
        as checkpoint: Checkpoint,
        on control: borrowing Connection
    ) throws -> UInt32? {
        let oid = try Publication.oid(task: options.task, on: control)
        if let oid, let known = checkpoint.publicationOID, oid != known {
            throw Publication.remade(task: options.task, since: checkpoint.position)
        }
        return oid
    }

    /// The publication as the baseline needs it; nothing is changed before a refusal is decided.
    private func ensurePublication(
        for watch: CatalogWatch,
        on control: borrowing Connection
    ) throws {
        guard watch.baseline.losses.isEmpty else { return }
        let wanted = Set(watch.baseline.relations.map(\.oid))
        let tables = try SourceCatalog.tables(options.tables, measured: false, on: control)
        do {
            try ensurePublication(
                of: tables.filter { wanted.contains($0.relation.oid) },
                isUnderWay: true,
                on: control
            )
        } catch let error as WalrelayError where error.code == "publication.gap" {
            // A table that was dropped just now left the publication with it: the monitor's case.
            if try watch.look(on: control).losses.isEmpty { throw error }
        }
    }

    /// Takes the tables that the settings do not take any more out of the checkpoint, before they
    /// leave the publication: what is written to them from then on never comes.
    ///
    /// Put off, in `partCommit`, while the sink has a part of a transaction: that comes again, and
    /// has to have as many changes as before.
    private func forget(
        _ checkpoint: Checkpoint,
        in sink: any Sink,
        run: inout RunState,
        control: borrowing Connection
    ) throws -> Checkpoint {
        run.partCommit = nil
        guard checkpoint.snapshot == .complete else { return checkpoint }
        let baseline = try CatalogWatch(
            known: checkpoint.relations,
            selection: options.tables,
            on: control
        ).baseline
        let taken = Set(baseline.relations.map(\.oid))
        let gone = checkpoint.relations.filter { !taken.contains($0.oid) }
        guard !gone.isEmpty, !taken.isEmpty else { return checkpoint }
        if let part = sink.partCommit, part >= checkpoint.position {
            run.partCommit = part
            log.notice(
                """
                \(Prose.list(gone.map(\.qualifiedName))) is taken to the end of the transaction at \
                \(part), of which the sink has a part
                """
            )
            return checkpoint
        }
        for notice in baseline.notices { log.notice("\(notice)") }
        var less = checkpoint
        less.relations.removeAll { !taken.contains($0.oid) }
        less.copies.removeAll { !taken.contains($0.oid) }
        try commit(less, to: sink)
        return less
    }

    /// Goes on with an addition once the stream has come to its end.
    private func finishAlone(
        _ run: inout RunState,
        sink: any Sink,
        facts: ServerFacts
    ) throws {
        let durable = run.checkpoint?.position ?? .zero
        while !isAdditionDue(&run, durable: durable) {
            if goOnForAddition(&run, durable: durable) { return }
            if stop.isRequested { throw CancellationError() }
            board.beat(.sink)
            if try writeCopied(&run, durable: durable, to: sink) { continue }
            run.arrived.wait(for: .milliseconds(100))
            try sink.idle()
            publish(sink.statistics)
        }
        try step(&run, sink: sink, facts: facts)
    }

    private func drain(
        _ session: StreamSession,
        into sink: any Sink,
        run: inout RunState,
        monitor: SourceMonitor,
        retry: inout RetryPolicy
    ) throws {
        // Changes of the transaction that goes on: written, and not durable before its end.
        var unfinished = 0
        while !session.queue.isDrained {
            board.beat(.sink)
            if slots.isRaised { throw CancellationError() }
            try turn.verify()
            let durable = session.position.durable
            let isStreaming = run.checkpoint?.snapshot == .complete
            let isPartWhole = run.partCommit.map { durable > $0 } ?? false
            if stop.isRequested || isPartWhole || isStreaming && isOutdated
                || isAdditionDue(&run, durable: durable)
            {
                session.stop.request()
            }
            let isWaiting = gate.waitingCommit != nil
            let wasCopied = try writeCopied(&run, durable: durable, to: sink)
            if monitor.refusal(durable: session.position.durable) != nil { session.stop.request() }
            let patience: Duration = wasCopied ? .zero : .milliseconds(100)
            guard let batch = session.queue.next(within: patience) else {
                if isWaiting {
                    try tellWait(&run, to: sink)
                    unfinished = 0
                }
                try sink.idle()
                publish(sink.statistics)
                continue
            }
            try board.measureSink { try sink.write(batch) }
            supervisor.sinkSucceeded()
            if let checkpoint = batch.checkpoint {
                try commit(checkpoint, of: batch, to: sink, session: session)
                note(batch, durable: unfinished + batch.committedCount)
                unfinished = 0
                run.checkpoint = checkpoint
                // What comes before a snapshot does not end the time that the snapshot has.
                if checkpoint.snapshot == .complete { retry.succeed() }
            }
            unfinished +=
                batch.changes.count - (batch.checkpoint == nil ? 0 : batch.committedCount)
            session.queue.recycle(batch)
        }
    }

    /// Rule 2: durable moves when, and only when, the sink's commit has returned.
    private func commit(
        _ checkpoint: Checkpoint,
        of batch: borrowing ChangeBatch,
        to sink: any Sink,
        session: StreamSession
    ) throws {
        try commit(checkpoint, to: sink)
        supervisor.sinkSucceeded()
        board.noteCommit()
        Failpoint.hit(.afterCheckpointBeforeFeedback)
        session.position.advanceDurable(to: checkpoint.position)
        board.update { status in
            status.stream.durableLSN = checkpoint.position.description
            status.stream.receivedLSN = session.position.received.description
        }
        publish(sink.statistics)
    }

    private func note(_ batch: borrowing ChangeBatch, durable changes: Int) {
        // Not the last transaction of the batch: that one may not have ended.
        let lastCommit =
            batch.committedCount == 0
            ? nil
            : batch.transactions[Int(batch.changes[batch.committedCount - 1].transaction)]
                .commitTime.microseconds
        board.addChanges(
            changes,
            transactions: batch.committedTransactions,
            commitTime: lastCommit
        )
    }

    /// Often enough for the server's patience, whatever it is set to.
    private static func statusInterval(on control: borrowing Connection) throws -> Duration {
        let row = try control.query(
            """
            SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'
            """
        )
        let timeout = row.integer(0, 0) ?? 0
        guard timeout > 0 else { return .seconds(10) }
        return min(.seconds(10), max(.milliseconds(50), .milliseconds(timeout / 4)))
    }
}
