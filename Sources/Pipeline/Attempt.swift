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
        retry: inout RetryPolicy
    ) throws
        -> AttemptEnding
    {
        if !run.isChecked { enter(.checking) }
        let control = try connect()
        // Before anything that a server too old for us would answer with a puzzle.
        let version = Prerequisites.version(control.serverVersion)
        if let failure = Prerequisites.firstFailure([version]) { throw failure }
        let facts = try ServerFacts(on: control)
        note(facts)
        if run.isChecked, facts.isStandby { throw Self.standbyInPlace(of: options) }
        if let checkpoint = run.checkpoint {
            try CheckpointFit.verifyOrigin(of: checkpoint, options: options, facts: facts)
        }
        if !run.isChecked {
            try checkPrerequisites(checkpoint: run.checkpoint, on: control)
            run.isChecked = true
        }
        resolveUntil(&run, facts: facts)
        let slot = try SlotState.named(options.slot, on: control)
        if let slot, slot.isBeingMade { throw beingMade(slot) }
        // Before the positions are compared: whoever holds the slot moves it.
        if let slot, slot.isActive, options.snapshot != .only { throw Self.inUse(slot) }
        if let checkpoint = run.checkpoint {
            try CheckpointFit.verify(checkpoint, against: slot, options: options, facts: facts)
        }
        if run.checkpoint?.snapshot == .complete, options.snapshot == .only {
            log.notice("the snapshot is complete already; nothing to do")
            return .finished
        }
        try renewKeys(&run, on: control)
        if let checkpoint = run.checkpoint, checkpoint.snapshot == .complete {
            // What is not taken any more may be gone from the sink too.
            let taken = checkpoint.relations.filter {
                options.tables.rule(schema: $0.schema, name: $0.name) != nil
            }
            try sink.inspect(taken, types: checkpoint.types)
        } else {
            let tables = try SourceCatalog.tables(options.tables, measured: false, on: control)
            let relations = tables.map(\.relation)
            let types = try Self.types(of: relations, on: control)
            try sink.inspect(relations, types: types.entries(for: relations))
            try begin(
                sink: sink,
                run: &run,
                tables: tables,
                slot: slot,
                facts: facts,
                control: control
            )
            if options.snapshot == .only { return .finished }
        }
        guard let checkpoint = run.checkpoint else { return .goOn }
        return try stream(
            sink: sink,
            from: checkpoint,
            run: &run,
            facts: facts,
            control: control,
            retry: &retry
        )
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
        do {
            return try Connection.open(options.source, stop: stop)
        } catch {
            throw WalrelayError(
                error,
                while: "connecting to the source \(options.source.destination)"
            )
        }
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
    private static func inUse(_ slot: SlotState) -> WalrelayError {
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

    private func resolveUntil(_ run: inout RunState, facts: ServerFacts) {
        guard run.until == nil else { return }
        switch options.until {
        case .none: break
        case .now: run.until = facts.walLSN
        case .lsn(let lsn): run.until = lsn
        }
    }

    /// The full check; what a changed schema explains is left to the stream's own refusal.
    private func checkPrerequisites(
        checkpoint: Checkpoint?,
        on control: borrowing Connection
    ) throws {
        var requirements = Requirements(task: options.task, tables: options.tables)
        requirements.needsSnapshot =
            checkpoint?.snapshot != .complete && options.snapshot != .never
        if let checkpoint, checkpoint.snapshot == .complete {
            requirements.taken = Set(checkpoint.relations.map(\.oid))
        }
        let findings = try Prerequisites.check(requirements, on: control)
            .filter { !isLeftToStream($0, known: checkpoint?.relations ?? []) }
        for finding in findings where finding.level == .warning {
            log.warning(
                "\(finding.subject): \(finding.found)",
                metadata: ["check": "\(finding.id)"]
            )
        }
        if let failure = Prerequisites.firstFailure(findings) { throw failure }
    }

    /// A table that the checkpoint knows and that is gone is refused at its place in the stream,
    /// after everything that was committed before; a slot that somebody holds is waited for.
    private func isLeftToStream(_ finding: Finding, known: [Relation]) -> Bool {
        if finding.id == "slot.active" { return true }
        return finding.id == "table.missing"
            && known.contains { $0.qualifiedName == finding.subject }
    }

    /// From nothing, or from an unfinished snapshot, to a checkpoint that can be streamed from.
    private func begin(
        sink: any Sink,
        run: inout RunState,
        tables: [SourceTable],
        slot: SlotState?,
        facts: ServerFacts,
        control: borrowing Connection
    ) throws {
        // A sink that cannot keep a checkpoint goes on where its slot stands; but not where this
        // run has made the slot and failed to copy the tables: their rows would be missing.
        let goesOn =
            slot != nil
            && (options.snapshot == .never
                || !sink.keepsCheckpoint && !run.isSnapshotUnfinished)
        if goesOn, let slot, let confirmed = slot.confirmedFlushLSN {
            try ensurePublication(of: tables, on: control)
            log.notice("going on from the position of the slot", metadata: ["lsn": "\(confirmed)"])
            let checkpoint = try checkpoint(
                publicationOID: Publication.oid(task: options.task, on: control),
                position: confirmed,
                snapshotLSN: nil,
                state: .complete,
                relations: tables.map(\.relation),
                types: Self.types(of: tables.map(\.relation), on: control),
                facts: facts
            )
            if sink.keepsCheckpoint {
                var beginning = checkpoint
                beginning.snapshot = .running
                try sink.beginSnapshot(beginning)
                try sink.prepare(checkpoint.relations, types: checkpoint.types)
            }
            try sink.commit(checkpoint)
            run.checkpoint = checkpoint
            run.isBaselineProvisional = true
            return
        }
        run.isSnapshotUnfinished = true
        run.checkpoint = try snapshot(
            sink: sink,
            tables: tables,
            slotExists: slot != nil,
            facts: facts,
            control: control
        )
        run.isSnapshotUnfinished = false
    }

    func ensurePublication(
        of tables: [SourceTable],
        isUnderWay: Bool = false,
        on control: borrowing Connection
    ) throws {
        let outcome = try Publication.ensure(
            task: options.task,
            tables: tables,
            isUnderWay: isUnderWay,
            on: control
        )
        switch outcome {
        case .reused: break
        case .created: log.notice("made the publication \(options.publication)")
        case .altered(let changes):
            log.notice(
                "changed the publication \(options.publication)",
                metadata: ["changes": "\(changes.joined(separator: "; "))"]
            )
        }
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
            publicationOID: publicationOID
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
