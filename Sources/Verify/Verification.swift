// SPDX-License-Identifier: Apache-2.0
//
// Compares the tables of the source with those that a task keeps in another PostgreSQL, at one
// position and while writes go on; mends what differs where that is asked for. Blocks; libpq's
// waiting is ended by the stop signal. Nothing is written to the source but a temporary slot, and
// nothing to the target but what a repair mends.

import ChangeModel
public import LibPQ
public import Logging
import Replication

/// One run of `verify`.
public final class Verification: Sendable {
    /// How far it is.
    public let progress = VerifyProgress()
    let options: VerifyOptions
    let stop: StopSignal
    let log: Logger

    /// How many bytes of keys of differing rows are kept for a repair, in all.
    static let keyRoom = 4 << 20
    /// How often a comparison is begun anew where the first point does not serve.
    private static let attemptLimit = 5
    /// How often what still differs is repaired again; each round mends something, or is the last.
    private static let roundLimit = 10_000

    /// A run that has not begun.
    public init(_ options: VerifyOptions, stop: StopSignal, log: Logger) {
        self.options = options
        self.stop = stop
        self.log = log
    }

    /// Compares, and repairs where that is asked for; blocks.
    ///
    /// Throws `WalrelayError`. Differences are no error: the report names them.
    public func run() throws -> VerifyReport {
        let begin = ContinuousClock.now
        do {
            var (report, found) = try compare(only: nil)
            if options.repairs, !report.isEqual {
                try repair(&report, found)
            }
            report.seconds = Self.seconds(ContinuousClock.now - begin)
            return report
        } catch let error as PostgresError {
            throw WalrelayError(error, while: "comparing")
        } catch is CancellationError {
            throw Self.stopped
        } catch let error as WalrelayError where error.exit == .success {
            throw Self.stopped
        }
    }

    /// Nothing was found out: that is no success.
    private static let stopped = WalrelayError(
        "verify.stopped",
        exit: .unreachable,
        "Stopped before the comparison was whole"
    )

    static func seconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) + Double(attoseconds) / 1e18
    }

    // MARK: Comparing

    /// The keys of differing rows, by the OID of the source's table.
    typealias Found = [UInt32: KeyList]

    /// Compares at one point; begins anew where that point does not serve.
    private func compare(only oids: Set<UInt32>?) throws -> (VerifyReport, Found) {
        let deadline = options.waitLimit.map { ContinuousClock.now + $0 }
        var attempt = 1
        while true {
            do {
                return try compareOnce(only: oids)
            } catch let error as WalrelayError where error.isTransient {
                guard attempt < Self.attemptLimit, deadline.map({ .now < $0 }) ?? true,
                    !stop.isRequested
                else { throw error }
                attempt += 1
                log.notice(
                    "beginning the comparison anew: \(error.message)",
                    metadata: ["code": "\(error.code)"]
                )
                guard !stop.sleep(for: .seconds(attempt)) else { throw CancellationError() }
            }
        }
    }

    private func compareOnce(only oids: Set<UInt32>?) throws -> (VerifyReport, Found) {
        progress.enter("taking a point of comparison")
        let watcher = try Session(.target, options.target, stop: stop)
        let control = try Session(.source, options.source, stop: stop)
        let sources = try sourceTables(only: oids, control: control, watcher: watcher)
        let source = try SourcePoint(sources, options: options, stop: stop, log: log)
        progress.enter("waiting for the target")
        try TargetWait(options: options, stop: stop, log: log)
            .run(upTo: source.lsn, source: control, target: watcher)
        let keeper = try Session(.target, options.target, importing: nil, stop: stop)
        let (point, sourceKeeper) = try self.point(source, keeper)
        let divisions = try ComparisonPoint.divisions(
            point.tables,
            source: sourceKeeper,
            target: keeper
        )
        let tallies = try Scan(point: point, workers: options.workers, progress: progress)
            .run(divisions: divisions, options.parameters, stop: stop)
        let differences = try RowPass(
            point: point,
            workers: options.workers,
            progress: progress,
            keyRoom: options.repairs ? Self.keyRoom : 0
        ).run(tallies, options.parameters, stop: stop)
        return withExtendedLifetime((keeper, sourceKeeper)) {
            Self.report(point, tallies, differences)
        }
    }

    /// Both snapshots, and the changes between them folded and hashed.
    private func point(
        _ source: consuming SourcePoint,
        _ keeper: Session
    ) throws -> (ComparisonPoint, Session) {
        let sourceKeeper = source.keeper
        let checkpoint = try TargetCheckpoint.read(task: options.task, on: keeper)
        let tables = try pair(source.tables, checkpoint, sourceKeeper, keeper)
        let lsn = source.lsn
        let snapshotNames = [
            source.snapshotName,
            try keeper.query(
                "SELECT pg_catalog.pg_export_snapshot()",
                while: "exporting the target's snapshot"
            ).text(0, 0),
        ]
        try ComparisonPoint.lock(ComparisonPoint.lockStatement(tables, .target), on: keeper)
        try sourceKeeper.setDigits(tables.first?.rendering.digits ?? 3)
        let fold = try fold(source, of: tables, upTo: checkpoint.position)
        let overlays = try overlays(of: tables, fold, on: sourceKeeper)
        return (
            ComparisonPoint(
                sourceLSN: lsn,
                targetLSN: checkpoint.position,
                tables: tables,
                overlays: overlays,
                changeCount: fold.changeCount,
                versions: [sourceKeeper, keeper].map { $0.connection.serverVersion },
                snapshotNames: snapshotNames
            ),
            sourceKeeper
        )
    }

    private func overlays(
        of tables: [ComparedTable],
        _ fold: ChangeFold,
        on keeper: Session
    ) throws -> [RowOverlay] {
        let touched = tables.contains { fold.tables[$0.source.relation.oid]?.isEmpty == false }
        guard touched else { return tables.map { _ in .none } }
        // A savepoint, since later statements of the keeper have to be planned as usual.
        try keeper.query("SAVEPOINT lookups", while: "preparing the transaction")
        try keeper.preferLookups()
        var overlays: [RowOverlay] = []
        for table in tables {
            guard let folded = fold.tables[table.source.relation.oid], !folded.isEmpty else {
                overlays.append(.none)
                continue
            }
            overlays.append(try OverlayHashing(table: table, session: keeper).overlay(of: folded))
        }
        try keeper.query("ROLLBACK TO SAVEPOINT lookups", while: "preparing the transaction")
        return overlays
    }

    private static func report(
        _ point: ComparisonPoint,
        _ tallies: [Tally],
        _ differences: [Differences?]
    ) -> (VerifyReport, Found) {
        var found: Found = [:]
        var tables: [VerifyReport.Table] = []
        for (index, table) in point.tables.enumerated() {
            let differences = differences[index]
            if let differences { found[table.source.relation.oid] = differences.keys }
            tables.append(
                VerifyReport.Table(
                    table: table.name,
                    target: "\(table.target.schema).\(table.target.name)",
                    rows: tallies[index].rows(.source),
                    missing: differences?.missing ?? 0,
                    extra: differences?.extra ?? 0,
                    changed: differences?.changed ?? 0,
                    key: table.key.map { table.columns[$0].name },
                    ranges: differences?.ranges ?? [],
                    moreRanges: differences?.moreRanges ?? 0,
                    mended: nil,
                    notes: table.notes
                )
            )
        }
        return (
            VerifyReport(
                sourceLSN: point.sourceLSN.description,
                targetLSN: point.targetLSN.description,
                changesBetween: point.changeCount,
                seconds: 0,
                tables: tables.sorted { $0.table < $1.table }
            ),
            found
        )
    }

    // MARK: Repairing

    private func repair(_ report: inout VerifyReport, _ first: Found) throws {
        var found = first
        var mended: [ExactText: VerifyReport.Mended] = [:]
        for _ in 0..<Self.roundLimit {
            let round = try RepairRound(self).run(found)
            report.heldSeconds = max(report.heldSeconds, Self.seconds(round.held))
            for (name, count) in round.mended { mended[name, default: .init()].add(count) }
            let (again, left) = try compare(only: Set(found.keys))
            for table in again.tables {
                guard let index = report.tables.firstIndex(where: { $0.$table == table.$table })
                else { continue }
                report.tables[index] = table
            }
            for index in report.tables.indices {
                report.tables[index].mended = mended[report.tables[index].$table]
            }
            (report.sourceLSN, report.targetLSN) = (again.sourceLSN, again.targetLSN)
            report.changesBetween = again.changesBetween
            if again.isEqual || round.mended.isEmpty { return }
            found = left
        }
    }
}
