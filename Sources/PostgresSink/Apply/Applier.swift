// SPDX-License-Identifier: Apache-2.0
//
// Applies a range of a batch inside the target transaction that is open. The range is cut into
// runs; a run is applied set by set under a savepoint. Where the target does not take it:
//
//   the run as it is ─error─▶ the run, merging ─error─▶ its halves, merging, the first half first
//
// down to single changes, in the source's order. A half that is taken is as if its changes had
// been applied one by one, so one bad row among 10,000 costs some twenty statements, and the row
// that is left is the one to blame. It stops the task, or is set aside.

import ChangeModel
import LibPQ
import Logging
import Sink

/// Applies changes to the target; lives as long as the sink.
final class Applier {
    private static let savepoint = "SAVEPOINT walrelay"
    private static let release = "RELEASE SAVEPOINT walrelay"
    private static let rollback = "ROLLBACK TO SAVEPOINT walrelay"

    private let onRowError: PostgresSinkOptions.RowError
    private let logger: Logger
    private var writer = TableWriter()
    private var deadLetters: DeadLetters
    private var groups = TableGroups()
    /// The tables of the run, by the batch's relations.
    private var tables: [TargetTable?] = []
    /// Whether the last run found rows that were there already: so may the next.
    private var expectsRows = false
    /// The session's, once it is known.
    private var planning: ApplyPlanning?
    private var warnings = SurpriseWarnings()

    /// `encoder` makes the events of dead letters.
    init(
        task: String,
        onRowError: PostgresSinkOptions.RowError,
        encoder: consuming ChangeJSONEncoder,
        logger: Logger
    ) {
        self.onRowError = onRowError
        self.logger = logger
        deadLetters = DeadLetters(task: task, encoder: encoder)
    }

    /// What was applied so far, what was rolled back since then included.
    var counts: ApplyCounts { writer.counts }

    /// Forgets the session's prepared statements: the next one has none.
    func forget() {
        writer.forget()
        planning = nil
    }

    /// Applies `range` of the batch's changes inside the open transaction; blocks.
    ///
    /// `table` is asked for each table of a run before the run begins and outside of its savepoint.
    /// Throws `PostgresError` for what time mends (the transaction has to be rolled back and done
    /// again), `WalrelayError` for everything else.
    func apply(
        _ batch: borrowing ChangeBatch,
        _ range: Range<Int>,
        on connection: borrowing Connection,
        table: (RelationVersion) throws -> TargetTable
    ) throws {
        let batch = copy batch
        var rest = range
        while !rest.isEmpty {
            switch ChangeRun(batch, in: rest) {
            case .truncate(let run):
                try truncate(batch, run, on: connection, table: table)
                rest = run.upperBound..<range.upperBound
            case .rows(let run):
                try prepare(batch, run, table: table)
                try apply(batch, run, on: connection)
                rest = run.upperBound..<range.upperBound
            }
        }
    }

    // MARK: A run

    private func prepare(
        _ batch: ChangeBatch,
        _ run: Range<Int>,
        table: (RelationVersion) throws -> TargetTable
    ) throws {
        tables.removeAll(keepingCapacity: true)
        for _ in batch.relations { tables.append(nil) }
        groups.sort(batch, run)
        for group in groups.groups {
            let version = batch.relations[group.relation]
            let target = try table(version)
            // A batch may name a version twice, and a part of the run the other one first.
            for index in batch.relations.indices
            where batch.relations[index].version == version.version {
                tables[index] = target
            }
        }
    }

    private func apply(
        _ batch: ChangeBatch,
        _ run: Range<Int>,
        on connection: borrowing Connection
    ) throws {
        let planning = planning ?? ApplyPlanning(serverVersion: connection.serverVersion)
        self.planning = planning
        try connection.query("\(planning.byKey); \(Self.savepoint)")
        let before = writer.counts
        if let cause = try attempt(batch, run, isMerging: expectsRows, on: connection) {
            writer.counts.splitRuns += 1
            if !expectsRows, Self.mergingMayMend(cause) {
                try applyMerging(batch, run, on: connection)
            } else {
                try applyHalves(batch, run, cause, on: connection)
            }
        }
        expectsRows = writer.counts.overwritten > before.overwritten
        try connection.query(Self.release)
        warnings.tell(logger)
    }

    /// Whether the error may be that of a row that is there already.
    private static func mergingMayMend(_ cause: any Error) -> Bool {
        (cause as? PostgresError)?.sqlState == "23505"
    }

    private func applyMerging(
        _ batch: ChangeBatch,
        _ run: Range<Int>,
        on connection: borrowing Connection
    ) throws {
        guard let cause = try attempt(batch, run, isMerging: true, on: connection) else { return }
        try applyHalves(batch, run, cause, on: connection)
    }

    /// Applies the halves of a run that was not taken as a whole, the first one first.
    private func applyHalves(
        _ batch: ChangeBatch,
        _ run: Range<Int>,
        _ cause: any Error,
        on connection: borrowing Connection
    ) throws {
        guard run.count > 1 else {
            return try refuse(batch, run.lowerBound, cause, on: connection)
        }
        let middle = run.lowerBound + run.count / 2
        try applyMerging(batch, run.lowerBound..<middle, on: connection)
        // What the first half did is not to be undone with the second.
        try connection.query("\(Self.release); \(Self.savepoint)")
        try applyMerging(batch, middle..<run.upperBound, on: connection)
    }

    /// Applies a run; returns why not, and has then changed nothing, where a row is to blame.
    private func attempt(
        _ batch: ChangeBatch,
        _ run: Range<Int>,
        isMerging: Bool,
        on connection: borrowing Connection
    ) throws -> (any Error)? {
        let before = writer.counts
        let untoldBefore = warnings.untoldCount
        groups.sort(batch, run)
        for group in groups.groups {
            let table = try target(of: group, batch)
            let former = writer.counts
            do {
                let scope = WriteScope(batch: batch, table: table, isMerging: isMerging)
                try writer.write(groups.order, group, scope, on: connection)
            } catch let error {
                guard try blamesRow(error, batch, group, table) else { throw error }
                try connection.query(Self.rollback)
                writer.counts = before
                warnings.forget(behind: untoldBefore)
                return error
            }
            // A snapshot that merges was asked to overwrite.
            if batch.changes[Int(groups.order[group.places.lowerBound])].kind != .read {
                warnings.note(table, former, writer.counts)
            }
        }
        return nil
    }

    private func target(of group: TableGroups.Group, _ batch: ChangeBatch) throws -> TargetTable {
        if let table = tables[group.relation] { return table }
        throw WalrelayError(
            "batch.inconsistent",
            exit: .internalError,
            "no table was made ready for \(batch.relations[group.relation].relation.qualifiedName)"
        )
    }

    /// Whether smaller runs may do; throws what is to be mended on the target, whatever the row.
    private func blamesRow(
        _ error: any Error,
        _ batch: ChangeBatch,
        _ group: TableGroups.Group,
        _ table: TargetTable
    ) throws -> Bool {
        if error is RowFault { return true }
        guard let error = error as? PostgresError, error.kind == .server,
            !TargetErrors.isTransient(error)
        else { return false }
        if error.blamesRow { return true }
        let first = batch.changes[Int(groups.order[group.places.lowerBound])]
        let action = "writing to \(table.schema).\(table.name) from LSN \(first.lsn) on"
        guard error.sqlState != "42501" else { throw TargetErrors.error(error, while: action) }
        throw WalrelayError(
            "sink.table_refused",
            exit: .refused,
            "\(action): \(error.briefly)",
            hint: error.hint.isEmpty
                ? "compare the table on the target with the source's: `walrelay check` lists what "
                    + "does not fit" : error.hint
        )
    }

    private func refuse(
        _ batch: ChangeBatch,
        _ index: Int,
        _ cause: any Error,
        on connection: borrowing Connection
    ) throws {
        let table = try target(of: groups.groups[0], batch)
        let refusal = RowRefusal(cause, change: index, in: batch, to: table)
        guard onRowError == .deadLetter else { throw refusal.error }
        do {
            try deadLetters.add(batch, change: index, to: table, refusal, on: connection)
        } catch {
            guard error.kind == .server, !TargetErrors.isTransient(error) else { throw error }
            throw TargetErrors.error(error, while: "writing to walrelay.dead_letter")
        }
        writer.counts.deadLetters += 1
        warnings.noteDeadLetter(table, refusal.error)
    }

    // MARK: TRUNCATE

    private func truncate(
        _ batch: ChangeBatch,
        _ run: Range<Int>,
        on connection: borrowing Connection,
        table: (RelationVersion) throws -> TargetTable
    ) throws {
        var names: [String] = []
        var seen: Set<ExactText> = []
        for index in run {
            let relation = batch.relations[Int(batch.changes[index].relation)]
            let name = try table(relation).qualifiedName
            if seen.insert(ExactText(name)).inserted { names.append(name) }
        }
        let list = names.joined(separator: ", ")
        do {
            try connection.query("TRUNCATE \(list)", within: .seconds(600))
        } catch {
            guard error.kind == .server, !TargetErrors.isTransient(error) else { throw error }
            let action = "truncating \(list) at LSN \(batch.changes[run.lowerBound].lsn)"
            guard error.sqlState != "42501" else {
                throw TargetErrors.error(error, while: action)
            }
            throw WalrelayError(
                "sink.truncate_refused",
                exit: .refused,
                "\(action): \(error.briefly)",
                hint: "remove what refers to the tables on the target, or set "
                    + "stream.onTruncate: ignore and empty them by hand"
            )
        }
    }
}
