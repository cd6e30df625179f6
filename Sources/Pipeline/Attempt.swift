// SPDX-License-Identifier: Apache-2.0
//
// One attempt: from an open sink to a running stream, each time from the sink's checkpoint.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink

extension TaskRunner {
    /// Checks, makes what is missing, snapshots if that is due and streams.
    ///
    /// Blocks.
    func attempt(
        sink: any Sink,
        run: inout RunState,
        control: borrowing Connection,
        retry: inout RetryPolicy
    ) throws
        -> AttemptEnding
    {
        let facts = try ServerFacts(on: control)
        note(facts)
        // A checkpoint says as well that the settings were right once.
        if facts.isStandby, run.hasWorkedOrStoodBy || run.checkpoint?.goesOn ?? false {
            throw Self.standbyInPlace(of: options)
        }
        try turn.verify(options, on: control)
        try considerResnapshot(&run, sink: sink, facts: facts, control: control)
        if let checkpoint = run.checkpoint {
            try CheckpointFit.verifyOrigin(of: checkpoint, options: options, facts: facts)
            try verifyTimeline(of: checkpoint, in: sink, facts: facts)
        }
        if !run.isChecked {
            try checkPrerequisites(run, on: control)
            run.isChecked = true
        }
        try resolveUntil(&run, on: control)
        let slot = try SlotState.named(options.slot, on: control)
        if let slot, slot.isBeingMade { throw beingMade(slot) }
        // Before the positions are compared: whoever holds the slot moves it.
        let needsSlot = options.snapshot != .only || run.checkpoint?.goesOn ?? false
        if let slot, slot.isActive, needsSlot { throw Self.inUse(slot) }
        // Nothing was made on the server for it that could be missing.
        if run.checkpoint?.snapshot == .complete, options.snapshot == .only {
            log.notice("the snapshot is complete already; nothing to do")
            return .finished
        }
        if let checkpoint = run.checkpoint {
            try verify(checkpoint, in: sink, against: slot, facts: facts)
        }
        if let slot, options.failover, !slot.isFailover, !slot.isLost {
            try SlotFailover.mark(slot.name, parameters: options.source, stop: stop)
            log.notice("the slot \(slot.name) is copied to standby servers from now on")
        }
        try renewKeys(&run, on: control)
        try inspect(sink, checkpoint: run.checkpoint, on: control)
        if run.checkpoint?.snapshot != .complete {
            let slot = try makeWay(slot, in: sink, run: &run, facts: facts, control: control)
            try begin(
                sink: sink,
                run: &run,
                slot: slot,
                facts: facts,
                control: control,
                retry: &retry
            )
            if options.snapshot == .only { return .finished }
        }
        guard let checkpoint = run.checkpoint else { return .goOn }
        let ending = try stream(
            sink: sink,
            from: checkpoint,
            until: run.until,
            run: &run,
            facts: facts,
            control: control,
            retry: &retry
        )
        return ending == .reachedUntil || stop.isRequested ? .finished : .goOn
    }

    /// Whether slot and server have what the sink goes on from; throws the mismatch, exit 74.
    func verify(
        _ checkpoint: Checkpoint,
        in sink: any Sink,
        against slot: SlotState?,
        facts: ServerFacts
    ) throws(WalrelayError) {
        try CheckpointFit.verify(
            checkpoint,
            reach: sink.reach(of: checkpoint),
            against: slot,
            options: options,
            facts: facts
        )
    }

    /// Has the sink say what does not fit, before anything is made.
    private func inspect(
        _ sink: any Sink,
        checkpoint: Checkpoint?,
        on control: borrowing Connection
    ) throws {
        if let checkpoint, checkpoint.goesOn {
            // What is not taken any more may be gone from the sink too; what is still to come in is
            // looked at then, as what it is then.
            let taken = checkpoint.relations.filter {
                let copy = checkpoint.copy(of: $0.oid)
                let isLeftOut = copy.progress == .nothing && !sink.showsRowsAtOnce
                return options.tables.rule(schema: $0.schema, name: $0.name) != nil
                    && !(checkpoint.snapshot == .complete && (isLeftOut || copy.point == .max))
            }
            return try sink.inspect(taken, types: checkpoint.types)
        }
        let relations = try SourceCatalog.tables(options.tables, measured: false, on: control)
            .map(\.relation)
        let types = try Self.types(of: relations, on: control)
        try sink.inspect(relations, types: types.entries(for: relations))
    }

    /// Takes the primary keys from the catalog: the stream would not say that one has changed.
    private func renewKeys(_ run: inout RunState, on control: borrowing Connection) throws {
        guard let known = run.checkpoint?.relations, !known.isEmpty else { return }
        let relations = try SourceCatalog.renewingPrimaryKeys(of: known, on: control)
        func text(_ relation: Relation) -> String {
            let names = relation.eventKey.map { "\"\(relation.columns[$0].name)\"" }
            return names.isEmpty ? "nothing" : names.joined(separator: ", ")
        }
        for (former, now) in zip(known, relations)
        where former.eventKey != now.eventKey && !former.eventKey.isEmpty {
            log.warning(
                """
                rows of \(now.qualifiedName) are known by \(text(now)) from now on, \
                formerly by \(text(former))
                """
            )
        }
        run.checkpoint?.relations = relations
    }

    /// A killed run's session goes on making the slot until the transactions that it waits for
    /// have ended; only then it is known whether the slot stays or goes.
    private func beingMade(_ slot: SlotState) -> WalrelayError {
        let session = slot.activePID.map { "\($0)" } ?? "?"
        return WalrelayError(
            "slot.being_made",
            exit: .unreachable,
            "The slot \(slot.name) is being made by the session with PID \(session), which waits "
                + "for transactions that are open on the source",
            hint: "end those transactions, or SELECT pg_terminate_backend(\(session));",
            isTransient: true
        )
    }

    func connect() throws -> Connection {
        let connection: Connection
        do {
            connection = try Connection.open(options.source.for(.control), stop: stop)
        } catch {
            if !stop.isRequested { board.count { $0.isSourceUp = false } }
            throw WalrelayError(
                error,
                while: "connecting to the source \(options.source.destination)"
            )
        }
        board.count { $0.isSourceUp = true }
        // Before anything that a server too old for us would answer with a puzzle.
        let version = Prerequisites.version(connection.serverVersion)
        if let failure = Prerequisites.firstFailure([version]) { throw failure }
        return connection
    }

    /// While a failover is under way the old primary may come back before the new one has its
    /// address: that is waited for.
    private static func standbyInPlace(of options: TaskOptions) -> WalrelayError {
        WalrelayError(
            "server.standby",
            exit: .prerequisite,
            "The server at \(options.source.destination) has become a standby",
            hint: "set source.host to the primary, or to all hosts, separated by commas",
            isTransient: true
        )
    }

    /// A slot that a daemon which died has left is free again as soon as the server notices.
    static func inUse(_ slot: SlotState) -> WalrelayError {
        let pid = slot.activePID.map { " (pid \($0))" } ?? ""
        return WalrelayError(
            "slot.in_use",
            exit: .unreachable,
            "The slot \(slot.name) is held by another session of the server\(pid)",
            hint: "stop the other walrelay of this task, or give this task another name; "
                + "SELECT * FROM pg_stat_replication; shows where it runs",
            isTransient: true
        )
    }

    private func note(_ facts: ServerFacts) {
        board.update { status in
            status.source.serverVersion = facts.versionText
            status.source.systemIdentifier = facts.systemIdentifier
            status.source.slot = options.slot
            status.source.publication = options.publication
            status.source.walLSN = facts.walLSN.description
        }
    }

    private func resolveUntil(_ run: inout RunState, on control: borrowing Connection) throws {
        guard run.until == nil else { return }
        switch options.until {
        case .none: break
        case .now: run.until = try CommittedPosition.now(on: control, stop: stop)
        case .lsn(let lsn): run.until = lsn
        }
    }

    /// The full check; what a changed schema explains is left to the stream's own refusal.
    private func checkPrerequisites(_ run: RunState, on control: borrowing Connection) throws {
        let checkpoint = run.checkpoint
        var requirements = Requirements(task: options.task, tables: options.tables)
        requirements.failover = options.failover
        requirements.needsSnapshot =
            checkpoint?.snapshot != .complete && options.snapshot != .never
        requirements.retainWarning = options.budget.warning
        if let checkpoint, checkpoint.goesOn {
            requirements.taken = Set(checkpoint.relations.map(\.oid))
        }
        let findings = try Prerequisites.check(requirements, on: control)
            .filter { !isLeftToStream($0, known: checkpoint?.relations ?? []) }
            .filter { !isLeftToFit($0, run) }
        supervisor.tell(findings)
        if let failure = Prerequisites.firstFailure(findings) { throw failure }
    }

    /// A table that the checkpoint knows and that is gone is refused at its place in the stream,
    /// after everything that was committed before; a slot that somebody holds is waited for.
    func isLeftToStream(_ finding: Finding, known: [Relation]) -> Bool {
        if finding.id == "slot.active" { return true }
        return finding.id == "table.missing"
            && known.contains { ExactText($0.qualifiedName) == ExactText(finding.subject) }
    }

    /// Makes the publication be there as it should be; returns whether anything was done for that.
    @discardableResult
    func ensurePublication(
        of tables: [SourceTable],
        isUnderWay: Bool = false,
        adding: Set<UInt32> = [],
        on control: borrowing Connection
    ) throws -> Bool {
        let outcome = try Publication.ensure(
            task: options.task,
            tables: tables,
            isUnderWay: isUnderWay,
            adding: adding,
            on: control
        )
        switch outcome {
        case .reused: return false
        case .created: log.notice("made the publication \(options.publication)")
        case .altered(let changes):
            log.notice(
                "changed the publication \(options.publication)",
                metadata: ["changes": "\(changes.joined(separator: "; "))"]
            )
        }
        return true
    }

    func checkpoint(
        publicationOID: UInt32? = nil,
        position: LSN,
        snapshotLSN: LSN?,
        state: Checkpoint.SnapshotState,
        relations: [Relation],
        types: TypeCatalog,
        facts: ServerFacts
    ) -> Checkpoint {
        Checkpoint(
            task: options.task,
            systemIdentifier: facts.systemIdentifier,
            database: facts.database,
            slot: options.slot,
            position: position,
            snapshot: state,
            snapshotLSN: snapshotLSN,
            relations: relations.sorted { $0.oid < $1.oid },
            types: types.entries(for: relations),
            publicationOID: publicationOID,
            timeline: facts.timeline
        )
    }

    /// The types that the relations need and that are not built in; those that are not `known` are
    /// looked up in the catalog.
    static func types(
        of relations: [Relation],
        known: [TypeEntry] = [],
        on connection: borrowing Connection
    ) throws -> TypeCatalog {
        var types = TypeCatalog()
        for entry in known { types.add(entry) }
        let unknown = Set(relations.flatMap { types.unknown(in: $0) })
        guard !unknown.isEmpty else { return types }
        for entry in try SourceCatalog.types(unknown, on: connection) { types.add(entry) }
        return types
    }
}
