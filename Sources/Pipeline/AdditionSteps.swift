// SPDX-License-Identifier: Apache-2.0
//
// What is done of an addition (AdditionPhase) while sessions of the stream run and between two.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink

extension TaskRunner {
    // MARK: - While a session runs

    /// Whether the session has to end because of an addition.
    func isAdditionDue(_ run: inout RunState, durable: LSN) -> Bool {
        guard run.checkpoint?.snapshot == .complete else { return false }
        if let at = run.addAgainAt, ContinuousClock.now >= at {
            (run.mayAdd, run.addAgainAt) = (true, nil)
            return true
        }
        guard let addition = run.addition else { return live.hasAsked }
        let work = addition.work
        if addition.fault != nil { return true }
        switch addition.stage {
        case .settling: return work.settled.map { durable >= $0.point } ?? addition.hasEnded
        case .taking: return addition.hasEnded || work.taken != nil || gate.mayPass
        case .copying:
            guard addition.hasEnded, work.queue.isDrained else { return gate.mayPass }
            return !work.followsStream || durable >= work.taken?.point ?? .zero
        }
    }

    /// Writes rows that have arrived, one batch of them; returns whether there was one.
    func writeCopied(_ run: inout RunState, durable: LSN, to sink: any Sink) throws -> Bool {
        guard let addition = run.addition, addition.stage == .copying, addition.fault == nil
        else { return false }
        let work = addition.work
        guard !work.followsStream || durable >= work.taken?.point ?? .max,
            let batch = work.queue.next(within: .zero)
        else { return false }
        if !batch.changes.isEmpty {
            Failpoint.hit(.additionBeforeWrite)
            do {
                try sink.writeCopied(batch)
            } catch let error as WalrelayError where Self.isOfRows(error, sink) {
                run.addition?.fault = error
                return false
            }
            board.addChanges(batch.changes.count, transactions: 0)
        }
        work.queue.recycle(batch)
        return true
    }

    /// Whether rows of the tables were refused, which is no fault of the others.
    private static func isOfRows(_ error: WalrelayError, _ sink: any Sink) -> Bool {
        error.exit == .refused && !error.isTransient && sink.keepsCheckpoint
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
            if let fault = addition.fault { throw fault }
            switch addition.stage {
            case .settling: try settle(addition, &run, sink)
            case .taking:
                if let taken = addition.work.taken {
                    try open(addition.work, taken, &run, sink)
                    run.addition?.stage = .copying
                } else if addition.hasEnded {
                    try addition.result()
                }
            case .copying:
                guard addition.hasEnded, addition.work.queue.isDrained else { return }
                try addition.result()
                try close(addition.work, &run, sink)
            }
        } catch let error as AfterAdmission {
            throw error.cause
        } catch let error as WalrelayError
            where !error.isTransient && error.exit != .success && !error.code.hasPrefix("internal")
        {
            abandonAddition(&run, sink: sink)
            // What a sink holds after a failure only the sink itself knows.
            run.mustReopen = true
            try giveUp(error, run: &run)
        }
    }

    /// Once the stream is past all transactions that were open when the tables were published: no
    /// session from here on decodes one that does not know of it.
    private func settle(
        _ addition: TableAddition,
        _ run: inout RunState,
        _ sink: any Sink
    ) throws {
        let work = addition.work
        guard let settled = work.settled else {
            return addition.hasEnded ? try addition.result() : ()
        }
        guard var checkpoint = run.checkpoint, checkpoint.position >= settled.point else { return }
        if !work.bare.isEmpty {
            do { try sink.dropUnfinished() } catch { throw AfterAdmission(cause: error) }
            for relation in settled.bare {
                replace(relation, in: &checkpoint)
                checkpoint.copies.removeAll { $0.oid == relation.oid }
                // A transaction of which a part is there was counted without the table: it has to
                // come so once more.
                if let part = sink.partCommit, part >= checkpoint.position {
                    let point = LSN(part.rawValue &+ 1)
                    checkpoint.copies.append(
                        TableCopy(oid: relation.oid, point: point, progress: .whole)
                    )
                }
            }
            add(settled.types.entries(for: settled.bare), to: &checkpoint)
            do {
                try commit(checkpoint, to: sink)
            } catch {
                throw AfterAdmission(cause: error)
            }
            run.checkpoint = checkpoint
            let names = Prose.list(settled.bare.map(\.qualifiedName))
            log.notice("added \(names), without the rows that are there")
        }
        guard !work.oids.isEmpty else {
            run.addition = nil
            return
        }
        gate.hold(work.oids, from: settled.point)
        work.giveLeaveToTake()
        run.addition?.stage = .taking
    }

    /// Has a run that ends by itself go on as far as an addition needs the stream; returns whether
    /// it has to.
    func goOnForAddition(_ run: inout RunState, durable: LSN) -> Bool {
        guard let addition = run.addition, addition.stage == .settling,
            let settled = addition.work.settled, durable < settled.point
        else { return false }
        run.until = run.until.map { max($0, settled.point) }
        return true
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
            replace(relation, in: &checkpoint)
            checkpoint.copies.removeAll { $0.oid == relation.oid }
            if checkpoint.position < taken.point {
                checkpoint.copies.append(
                    TableCopy(oid: relation.oid, point: taken.point, progress: .whole)
                )
            }
        }
        add(taken.types.entries(for: taken.tables.map(\.relation)), to: &checkpoint)
        Failpoint.hit(.additionBeforeCommit)
        do {
            try sink.endCopy()
            try commit(checkpoint, to: sink)
        } catch let error as WalrelayError where Self.isOfRows(error, sink) {
            throw error
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
