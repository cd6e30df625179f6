// SPDX-License-Identifier: Apache-2.0
//
// Tables that come into a task that is running, or are copied once more, joined to its stream by
// rule 3. Between two sessions of the stream, on the sink's thread:
//
//   begin    check the tables ─▶ look into the sink ─▶ publication ─▶ checkpoint: nothing copied
//            session: changes of these tables are left out; they wait from the floor on (CopyGate)
//   open     the point B is known: make ready what rows are written to ─▶ checkpoint: as of B
//            session: rows at B are written beside the stream, changes from B on wait
//   close    all rows are there: they become part of the sink with a checkpoint that says whole
//            session: as any other
//
// What fails in between leaves the task as it was: the checkpoint says that nothing of the tables
// is copied, and the next start, or the next reload, begins with them anew.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink

extension TaskRunner {
    // MARK: - Begin

    /// The tables that are to come in, or asked for once more.
    private func lacking(_ checkpoint: Checkpoint, _ tables: [SourceTable]) -> [SourceTable] {
        let known = Set(checkpoint.relations.map(\.oid))
        return tables.filter { table in
            let copy = checkpoint.copy(of: table.relation.oid)
            return !known.contains(table.relation.oid) || copy.progress != .whole || copy.isAsked
        }
    }

    /// Notes in the checkpoint which tables are wanted once more, so that the wish outlives a kill.
    private func noteAsked(_ run: inout RunState, in sink: any Sink) throws {
        guard var checkpoint = run.checkpoint else { return }
        let asked = live.asked
        for name in asked.sorted() {
            do throws(WalrelayError) {
                try checkpoint.ask(for: name)
            } catch {
                board.record(error)
                log.error("\(error.message)", metadata: Self.metadata(error))
            }
        }
        try commit(checkpoint, to: sink)
        // Not before: what is forgotten here is nowhere else.
        live.forget(asked)
        run.checkpoint = checkpoint
        run.mayAdd = true
    }

    /// Begins with the tables that the settings take and the checkpoint lacks; a fault is told and
    /// leaves the task without them.
    ///
    /// Returns the checkpoint to stream from. Blocks.
    func beginAddition(
        sink: any Sink,
        run: inout RunState,
        control: borrowing Connection
    ) throws -> Checkpoint? {
        if run.addition == nil, live.hasAsked { try noteAsked(&run, in: sink) }
        guard let checkpoint = run.checkpoint, checkpoint.snapshot == .complete,
            run.addition == nil, run.mayAdd
        else { return run.checkpoint }
        let tables = try SourceCatalog.tables(options.tables, measured: false, on: control)
        let lacking = lacking(checkpoint, tables)
        guard !lacking.isEmpty else { return checkpoint }
        // What became of the tables that are there is decided first, and may end the task.
        let baseline = try CatalogWatch(
            known: checkpoint.relations,
            selection: options.tables,
            on: control
        ).baseline
        guard baseline.losses.isEmpty else { return checkpoint }
        do {
            try refuseNames(of: lacking.map(\.relation), known: checkpoint.relations)
            try admit(lacking, of: tables, known: checkpoint, sink: sink, control: control)
            return try begin(with: lacking, sink: sink, run: &run, control: control)
        } catch let error as AfterAdmission {
            throw error.cause
        } catch let error as WalrelayError {
            try giveUp(error, run: &run)
        } catch let error as PostgresError where error.kind == .server && !error.isTransient {
            try giveUp(Self.walrelayError(error), run: &run)
        }
        return run.checkpoint
    }

    /// Checks tables, source and sink, and publishes the tables.
    private func admit(
        _ lacking: [SourceTable],
        of tables: [SourceTable],
        known checkpoint: Checkpoint,
        sink: any Sink,
        control: borrowing Connection
    ) throws {
        let relations = lacking.map(\.relation)
        let known = Set(checkpoint.relations.map(\.oid))
        try check(Set(relations.map(\.oid)), on: control)
        let types = try Self.types(of: relations, on: control)
        try sink.inspect(relations, types: types.entries(for: relations))
        try ensurePublication(
            of: tables,
            isUnderWay: true,
            adding: Set(tables.map(\.relation.oid)).subtracting(known),
            on: control
        )
    }

    /// Refuses a table with the name that another one has at the stream's position: both would be
    /// written under it.
    private func refuseNames(of lacking: [Relation], known: [Relation]) throws(WalrelayError) {
        for relation in lacking {
            let isTaken = known.contains {
                $0.oid != relation.oid
                    && ($0.$schema, $0.$name) == (relation.$schema, relation.$name)
            }
            guard isTaken else { continue }
            throw WalrelayError(
                "snapshot.name_in_use",
                exit: .unreachable,
                "\(relation.qualifiedName) is the name of a table that has another one by now, "
                    + "and that has not come to it in the stream",
                hint: "nothing has to be done: the new table comes in once a change of the other "
                    + "one has been streamed under its new name",
                isTransient: true
            )
        }
    }

    private func begin(
        with lacking: [SourceTable],
        sink: any Sink,
        run: inout RunState,
        control: borrowing Connection
    ) throws -> Checkpoint? {
        guard var checkpoint = run.checkpoint else { return nil }
        let all = lacking.map(\.relation)
        let new = Set(all.map(\.oid)).subtracting(checkpoint.relations.map(\.oid))
        let types = try Self.types(of: all, on: control)
        let isSeen = lacking.contains { Self.isSeen($0.relation.oid, checkpoint, sink, new) }
        note(all, new: new, sink: sink, in: &checkpoint, types: types)
        var relations = all
        if options.snapshot == .never, !new.isEmpty {
            // From here on, as every other table of such a task.
            checkpoint.copies.removeAll { new.contains($0.oid) }
            relations.removeAll { new.contains($0.oid) }
            let names = all.filter { new.contains($0.oid) }.map(\.qualifiedName)
            log.notice("added \(Prose.list(names)), without the rows that are there")
        }
        do {
            if options.snapshot == .never { try sink.prepare(all, types: types.entries(for: all)) }
            try commit(checkpoint, to: sink)
        } catch {
            throw AfterAdmission(cause: error)
        }
        run.checkpoint = checkpoint
        guard !relations.isEmpty else { return checkpoint }
        let work = try AdditionWork(
            of: relations,
            followsStream: isSeen,
            arrived: run.arrived,
            runner: self,
            on: control
        )
        log.notice("adding \(work.names) beside the stream")
        run.addition = TableAddition(work)
        return checkpoint
    }

    /// Whether somebody has seen rows of a table that is copied, or copied again.
    private static func isSeen(
        _ oid: UInt32,
        _ checkpoint: Checkpoint,
        _ sink: any Sink,
        _ new: Set<UInt32>
    ) -> Bool {
        guard !new.contains(oid) else { return false }
        let copy = checkpoint.copy(of: oid)
        return !sink.replacesCopies && (copy.isAsked || sink.showsUnfinishedSnapshots)
            && copy.point < .max
    }

    /// Says in the checkpoint that nothing of the tables is copied; of one that is asked for once
    /// more only where the sink takes the former rows away.
    private func note(
        _ relations: [Relation],
        new: Set<UInt32>,
        sink: any Sink,
        in checkpoint: inout Checkpoint,
        types: TypeCatalog
    ) {
        for relation in relations {
            let former = checkpoint.copy(of: relation.oid)
            if !new.contains(relation.oid) {
                // Changes go on to be applied to what is seen.
                guard sink.replacesCopies, former.progress == .whole else { continue }
            }
            checkpoint.set(TableCopy(oid: relation.oid, point: .max))
            checkpoint.relations.removeAll { $0.oid == relation.oid }
            checkpoint.relations.append(relation)
        }
        checkpoint.relations.sort { $0.oid < $1.oid }
        add(types.entries(for: relations), to: &checkpoint)
    }

    private func add(_ entries: [TypeEntry], to checkpoint: inout Checkpoint) {
        let oids = Set(entries.map(\.oid))
        checkpoint.types.removeAll { oids.contains($0.oid) }
        checkpoint.types += entries
        checkpoint.types.sort { $0.oid < $1.oid }
    }

    /// The prerequisites of these tables only.
    private func check(_ oids: Set<UInt32>, on control: borrowing Connection) throws {
        var requirements = Requirements(task: options.task, tables: options.tables)
        requirements.needsSnapshot = options.snapshot != .never
        requirements.taken = oids
        let findings = try Prerequisites.check(requirements, on: control)
            .filter { $0.id.hasPrefix("table.") && $0.id != "table.new" }
        supervisor.tell(findings)
        if let failure = Prerequisites.firstFailure(findings) { throw failure }
    }

    /// Tells why tables do not come in; the task goes on without them.
    func giveUp(_ error: WalrelayError, run: inout RunState) throws {
        // Where it is the server or the sink that is away, the stream will notice by itself.
        if error.isTransient, !Self.passing.contains(error.code) { throw error }
        if error.code == "publication.gap" || error.code == "publication.missing" { throw error }
        board.record(error)
        let later = error.isTransient
        run.addAgainAt = later ? .now + Self.additionPause : nil
        run.mayAdd = false
        log.error(
            "tables are not added: \(error.message)",
            metadata: ["code": "\(error.code)", "try": "\(error.hint)"]
        )
    }

    /// What is tried again by itself, and keeps nothing but the tables themselves.
    private static let passing = ["publication.table_locked", "snapshot.name_in_use"]

    /// How long a table that somebody has locked is left alone: each attempt holds the stream for as
    /// long as the lock is waited for.
    private static let additionPause: Duration = .seconds(30)

    // MARK: - While a session runs

    /// Whether the session has to end because of an addition.
    func isAdditionDue(_ run: inout RunState, durable: LSN) -> Bool {
        if let at = run.addAgainAt, ContinuousClock.now >= at {
            (run.mayAdd, run.addAgainAt) = (true, nil)
            return true
        }
        guard let addition = run.addition else { return live.hasAsked }
        if addition.isCopying {
            guard addition.hasEnded, addition.work.queue.isDrained else { return gate.mayPass }
            let point = addition.work.taken?.point ?? .zero
            return !addition.work.followsStream || durable >= point
        }
        return addition.hasEnded || addition.work.taken != nil || gate.mayPass
    }

    /// Writes rows that have arrived, one batch of them; returns whether there was one.
    func writeCopied(_ run: borrowing RunState, durable: LSN, to sink: any Sink) throws -> Bool {
        guard let addition = run.addition, addition.isCopying else { return false }
        let work = addition.work
        guard !work.followsStream || durable >= work.taken?.point ?? .max,
            let batch = work.queue.next(within: .zero)
        else { return false }
        if !batch.changes.isEmpty {
            Failpoint.hit(.additionBeforeWrite)
            try sink.writeCopied(batch)
            board.addChanges(batch.changes.count, transactions: 0)
        }
        work.queue.recycle(batch)
        return true
    }

    /// Has the sink give up what it has of a transaction with which the stream waits.
    func tellWait(_ run: inout RunState, to sink: any Sink) throws {
        guard run.addition?.isWaitTold == false, let commit = gate.waitingCommit else { return }
        run.addition?.isWaitTold = true
        log.info(
            "the stream waits for rows of the tables that are added",
            metadata: ["commit": "\(commit)"]
        )
        try sink.dropUnfinished()
        gate.tell()
    }

    // MARK: - Between two sessions

    /// What is due between two sessions; blocks.
    func step(_ run: inout RunState, sink: any Sink, facts: ServerFacts) throws {
        guard var addition = run.addition else { return }
        addition.isWaitTold = false
        run.addition = addition
        do {
            if addition.hasEnded, addition.work.queue.isDrained {
                try addition.result()
                try close(addition.work, &run, sink)
            } else if !addition.isCopying, let taken = addition.work.taken {
                try open(addition.work, taken, &run, sink)
                run.addition?.isCopying = true
            }
        } catch let error as AfterAdmission {
            throw error.cause
        } catch let error as WalrelayError
            where !error.isTransient && error.exit != .success && !error.code.hasPrefix("internal")
        {
            abandonAddition(&run, sink: sink)
            try giveUp(error, run: &run)
        }
    }

    /// What happens once the tables are published is the task's trouble, not theirs.
    private struct AfterAdmission: Error {
        var cause: any Error
    }

    private func open(
        _ work: AdditionWork,
        _ taken: AdditionWork.Taken,
        _ run: inout RunState,
        _ sink: any Sink
    ) throws {
        guard var checkpoint = run.checkpoint else { return }
        try sink.dropUnfinished()
        let relations = taken.tables.map(\.relation)
        for relation in relations {
            var copy = checkpoint.copy(of: relation.oid)
            copy.point = min(copy.point, taken.point)
            if copy.progress != .whole || copy.isAsked { checkpoint.set(copy) }
            // What is there goes on to be held against what the stream says of it.
            if copy.progress == .whole { try verify(relation, in: checkpoint, at: taken.point) }
        }
        let lanes = try sink.beginCopy(relations, types: taken.types.entries(for: relations))
        do { try commit(checkpoint, to: sink) } catch { throw AfterAdmission(cause: error) }
        if work.followsStream, let until = run.until { run.until = max(until, taken.point) }
        run.checkpoint = checkpoint
        log.notice(
            "copying \(work.names) beside the stream",
            metadata: ["lsn": "\(taken.point)"]
        )
        gate.hold(work.oids, from: taken.point)
        work.giveLeave(lanes: lanes)
    }

    /// Refuses a table that was changed with no change of a row after it, before its rows are
    /// copied once more.
    private func verify(_ now: Relation, in checkpoint: Checkpoint, at lsn: LSN) throws {
        guard let known = checkpoint.relations.first(where: { $0.oid == now.oid }),
            case .unsupported(let faults) = SchemaGuard.compare(
                known,
                now,
                nameType: { nameType(of: $0, stop: stop) }
            )
        else { return }
        throw WalrelayError(
            "snapshot.table_changed",
            exit: .refused,
            "\(now.qualifiedName) was changed in a way that is not followed, before \(lsn): "
                + faults.joined(separator: "; "),
            hint: "the stream stops at the table's next change, and says how to accept it"
        )
    }

    private func close(_ work: AdditionWork, _ run: inout RunState, _ sink: any Sink) throws {
        guard var checkpoint = run.checkpoint, let taken = work.taken else { return }
        do { try sink.dropUnfinished() } catch { throw AfterAdmission(cause: error) }
        for relation in taken.tables.map(\.relation) {
            checkpoint.relations.removeAll { $0.oid == relation.oid }
            checkpoint.relations.append(relation)
            checkpoint.copies.removeAll { $0.oid == relation.oid }
            if checkpoint.position < taken.point {
                checkpoint.copies.append(
                    TableCopy(oid: relation.oid, point: taken.point, progress: .whole)
                )
            }
        }
        checkpoint.relations.sort { $0.oid < $1.oid }
        add(taken.types.entries(for: taken.tables.map(\.relation)), to: &checkpoint)
        Failpoint.hit(.additionBeforeCommit)
        do {
            try sink.endCopy()
            try commit(checkpoint, to: sink)
        } catch {
            throw AfterAdmission(cause: error)
        }
        Failpoint.hit(.additionAfterCommit)
        publish(sink.statistics)
        run.checkpoint = checkpoint
        run.addition = nil
        gate.clear()
        log.notice("added \(work.names)")
    }

    /// Ends an addition; the checkpoint says that nothing of it is copied.
    func abandonAddition(_ run: inout RunState, sink: (any Sink)?) {
        guard let addition = run.addition else { return }
        run.addition = nil
        addition.abandon { board.beat(.sink) }
        gate.clear()
        sink?.abandonCopy()
    }
}
