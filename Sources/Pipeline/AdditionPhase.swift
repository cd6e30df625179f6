// SPDX-License-Identifier: Apache-2.0
//
// Tables that come into a task that is running, or are copied once more, joined to its stream by
// rule 3. Between two sessions of the stream, on the sink's thread:
//
//   begin    check the tables ─▶ look into the sink ─▶ publication ─▶ checkpoint: nothing copied
//            session: changes of these tables are left out, until the stream is past all
//            transactions that were open then
//   settle   the stream is there: a slot is made beside the session that begins now
//            session: their changes wait from the floor on (CopyGate)
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
            return !known.contains(table.relation.oid) || copy.progress != .whole
                || copy.point == .max || copy.isAsked
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
        guard !lacking.isEmpty || run.mustSettle else { return checkpoint }
        // What became of the tables that are there is decided first, and may end the task.
        let baseline = try CatalogWatch(
            known: checkpoint.relations,
            selection: options.tables,
            on: control
        ).baseline
        guard baseline.losses.isEmpty else { return checkpoint }
        guard !lacking.isEmpty else {
            try startAddition(run: &run, control: control)
            return run.checkpoint
        }
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
        let bare = relations.filter { isBare($0.oid, checkpoint) }
        let copied = relations.filter { !isBare($0.oid, checkpoint) }
        try check(Set(relations.map(\.oid)), isCopied: !copied.isEmpty, on: control)
        let types = try Self.types(of: relations, on: control)
        if !bare.isEmpty { try sink.inspect(bare, types: types.entries(for: bare)) }
        if !copied.isEmpty { try sink.inspectCopy(copied, types: types.entries(for: copied)) }
        try ensurePublication(
            of: tables,
            isUnderWay: true,
            adding: Set(tables.map(\.relation.oid)).subtracting(checkpoint.relations.map(\.oid)),
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
        let bare = all.filter { isBare($0.oid, checkpoint) }
        let copied = all.filter { !isBare($0.oid, checkpoint) }
        note(copied, new: new, sink: sink, in: &checkpoint)
        for relation in bare {
            // Whole as of a point that is not known yet: whatever is there already stays.
            checkpoint.set(TableCopy(oid: relation.oid, point: .max, progress: .whole))
            replace(relation, in: &checkpoint)
        }
        add(types.entries(for: all), to: &checkpoint)
        do {
            if !bare.isEmpty { try sink.prepare(bare, types: types.entries(for: bare)) }
            try commit(checkpoint, to: sink)
        } catch {
            throw AfterAdmission(cause: error)
        }
        run.checkpoint = checkpoint
        try startAddition(
            of: copied,
            bare: bare,
            followsStream: isSeen,
            run: &run,
            control: control
        )
        return checkpoint
    }

    /// Has tables come in once the stream is past all transactions that are open now, and the
    /// stream begin anew there; without any of them that alone.
    private func startAddition(
        of copied: [Relation] = [],
        bare: [Relation] = [],
        followsStream: Bool = false,
        run: inout RunState,
        control: borrowing Connection
    ) throws {
        let work = try AdditionWork(
            of: copied,
            bare: bare,
            followsStream: followsStream,
            arrived: run.arrived,
            runner: self,
            on: control
        )
        if !work.names.isEmpty { log.notice("adding \(work.names) beside the stream") }
        run.mustSettle = false
        run.addition = TableAddition(work)
    }

    /// Whether only changes of a table are taken, from some position on.
    private func isBare(_ oid: UInt32, _ checkpoint: Checkpoint) -> Bool {
        guard options.snapshot == .never else { return false }
        let copy = checkpoint.copy(of: oid)
        let isNew = !checkpoint.relations.contains { $0.oid == oid }
        return isNew || copy.progress == .whole && copy.point == .max && !copy.isAsked
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
        return !sink.replacesCopies && (copy.isAsked || sink.showsRowsAtOnce)
            && copy.point < .max
    }

    /// Says in the checkpoint that nothing of the tables is copied; of one that is asked for once
    /// more only where the sink takes the former rows away.
    private func note(
        _ relations: [Relation],
        new: Set<UInt32>,
        sink: any Sink,
        in checkpoint: inout Checkpoint
    ) {
        for relation in relations {
            let former = checkpoint.copy(of: relation.oid)
            if !new.contains(relation.oid) {
                // Changes go on to be applied to what is seen, as what it was when it was seen.
                let isWhole = former.progress == .whole
                guard isWhole ? sink.replacesCopies : !sink.showsRowsAtOnce else { continue }
            }
            checkpoint.set(TableCopy(oid: relation.oid, point: .max))
            replace(relation, in: &checkpoint)
        }
    }

    /// Puts what a table looks like now in the place of what it looked like.
    func replace(_ relation: Relation, in checkpoint: inout Checkpoint) {
        checkpoint.relations.removeAll { $0.oid == relation.oid }
        checkpoint.relations.append(relation)
        checkpoint.relations.sort { $0.oid < $1.oid }
    }

    func add(_ entries: [TypeEntry], to checkpoint: inout Checkpoint) {
        let oids = Set(entries.map(\.oid))
        checkpoint.types.removeAll { oids.contains($0.oid) }
        checkpoint.types += entries
        checkpoint.types.sort { $0.oid < $1.oid }
    }

    /// The prerequisites of these tables only.
    private func check(
        _ oids: Set<UInt32>,
        isCopied: Bool,
        on control: borrowing Connection
    ) throws {
        var requirements = Requirements(task: options.task, tables: options.tables)
        requirements.needsSnapshot = isCopied
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

    /// What happens once the tables are published is the task's trouble, not theirs.
    struct AfterAdmission: Error {
        var cause: any Error
    }
}

extension Sink {
    /// Whether somebody may have seen rows that the checkpoint does not count.
    var showsRowsAtOnce: Bool { showsUnfinishedSnapshots || !keepsCheckpoint }
}
