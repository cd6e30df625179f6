// SPDX-License-Identifier: Apache-2.0
//
// Copies tables as one exported snapshot shows them. A keeper connection imports the snapshot,
// locks and checks the tables and plans the chunks; then each worker, a thread with a connection,
// imports and locks too, and takes chunks until none is left. The first error ends all; when
// `run` returns or throws, every thread has ended and every connection is closed.
//
//   keeper:   import → lock → check → plan → (all workers have imported) → close
//   worker:        connect → import → lock → (all have) → COPY chunk → COPY chunk → … → close
//                  each chunk into batches, or into the worker's own lane of the sink
//   caller's export:  must stay open until `imported` is called

public import ChangeModel
public import LibPQ
import Replication
public import Sink

/// What is to be copied and how.
public struct SnapshotRequest: Sendable {
    /// The name that pg_export_snapshot or CREATE_REPLICATION_SLOT gave.
    public var snapshot: String
    /// The snapshot's position: the slot's consistent point.
    public var lsn: LSN
    /// When the snapshot was taken.
    public var time: PostgresTime
    /// What to copy, as far as it is not copied yet.
    public var tables: [SnapshotTable]
    /// How many connections copy at the same time; at least 1.
    public var workers: Int
    /// The most rows of a batch.
    public var batchRows = 10_000
    /// The most bytes of a batch, but for its last row; 1 MiB where more is given.
    public var batchBytes = 1 << 20
    /// How long to wait for the lock of one table.
    public var lockTimeout = Duration.seconds(10)
    /// How long the server may send nothing: a filter may find no row for a long time.
    public var idleLimit = Duration.seconds(3600)
    /// What bounds the chunks.
    public var limits = SnapshotPlan.Limits()

    /// Creates a request.
    public init(
        snapshot: String,
        lsn: LSN,
        time: PostgresTime,
        tables: [SnapshotTable],
        workers: Int
    ) {
        self.snapshot = snapshot
        self.lsn = lsn
        self.time = time
        self.tables = tables
        self.workers = workers
    }
}

/// Where the copied rows go; all of it is called on the workers' threads, or on the caller's.
public struct SnapshotOutlet: Sendable {
    /// Where rows go as COPY gives them, past `deliver`; `nil` has every row delivered in batches.
    public var lanes: (any CopyLanes)?
    /// Takes a batch over; may block, and throws where the snapshot is to end.
    ///
    /// Batches of one table come in an order in which their `copied` may be added up; one without
    /// rows says that a table is whole whose other batches have none.
    ///
    /// A worker is not interrupted in here: what blocks has to look at `SnapshotCopier.ending`.
    public var deliver: @Sendable (consuming ChangeBatch) throws -> Void
    /// Gives an empty batch, one that kept its memory where there is one.
    public var recycled: @Sendable () -> ChangeBatch
    /// Asked before a table is begun whose rows count only once all of it is copied.
    ///
    /// After false the worker waits and asks again. Must not block.
    public var mayBegin: @Sendable () -> Bool
    /// Called once when the exporting transaction is no longer needed.
    public var imported: @Sendable () -> Void
    /// Told when a table changes its state, with each batch and now and then of a lane.
    ///
    /// Must not block.
    public var progress: @Sendable (SnapshotProgress) -> Void
    /// Told how many more rows went into a lane, now and then; must not block.
    public var passed: @Sendable (Int) -> Void

    /// Creates an outlet.
    public init(
        lanes: (any CopyLanes)? = nil,
        deliver: @escaping @Sendable (consuming ChangeBatch) throws -> Void,
        recycled: @escaping @Sendable () -> ChangeBatch = { ChangeBatch() },
        mayBegin: @escaping @Sendable () -> Bool = { true },
        imported: @escaping @Sendable () -> Void = {},
        progress: @escaping @Sendable (SnapshotProgress) -> Void = { _ in },
        passed: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.lanes = lanes
        self.deliver = deliver
        self.recycled = recycled
        self.mayBegin = mayBegin
        self.imported = imported
        self.progress = progress
        self.passed = passed
    }
}

/// Copies the tables of one snapshot; good for one run.
public final class SnapshotCopier: Sendable {
    /// Requested as soon as the copying is to end early, be it by an error or by the caller.
    public let ending = StopSignal()
    private let parameters: ConnectionParameters
    private let request: SnapshotRequest
    private let outlet: SnapshotOutlet
    private let guardian: TableGuard

    /// Prepares the copying; nothing is opened.
    public init(
        parameters: ConnectionParameters,
        request: SnapshotRequest,
        outlet: SnapshotOutlet
    ) {
        self.parameters = parameters
        self.request = request
        self.outlet = outlet
        guardian = TableGuard(request.tables, lockTimeout: request.lockTimeout)
    }

    /// Copies everything; blocks its thread until the last batch is delivered and every lane has
    /// ended its chunks.
    ///
    /// Throws the first error of any worker: `WalrelayError`, with code `stopped` after a request
    /// of `stop`, or what the outlet threw. Whatever is transient needs another snapshot.
    public func run(stop: StopSignal) throws {
        // Not `ending`: nothing but this thread works yet, and it waits in poll with `stop`.
        let keeper = try SnapshotSession(parameters, importing: request.snapshot, stop: stop)
        let job = try prepare(keeper.connection)
        var held: SnapshotSession? = consume keeper
        let workerCount = min(max(1, request.workers), job.chunkCount)
        let crew = Crew(ending: ending)
        let gate = ImportGate(workerCount: workerCount)
        var isReleased = false
        try crew.run(workerCount, named: "snapshot", stop: stop) { [self] _, ending in
            let session = try join(ending)
            try gate.pass(ending: ending, crew: crew)
            try work(job, on: session.connection)
        } meanwhile: {
            guard gate.isOpen, !isReleased else { return }
            isReleased = true
            _ = held.take()
            outlet.imported()
        }
    }
}

extension SnapshotCopier {
    /// Locks and checks the tables under the snapshot, and plans.
    private func prepare(_ connection: borrowing Connection) throws(WalrelayError) -> CopyJob {
        try guardian.lock(on: connection)
        let findings = try guardian.findings(on: connection)
        let plan = try ChunkPlanning(request, on: connection).plan(on: connection)
        return CopyJob(
            ledger: ChunkLedger(plan, of: request.tables, report: outlet.progress),
            chunkCount: plan.chunks.count,
            needsQuery: findings.withGeneratedColumns,
            mayBegin: outlet.mayBegin,
            ending: ending
        )
    }

    /// A worker's connection, which sees the snapshot and has the locks.
    private func join(_ ending: StopSignal) throws(WalrelayError) -> SnapshotSession {
        let session = try SnapshotSession(
            parameters,
            importing: request.snapshot,
            stop: ending
        )
        try guardian.lockAtOnce(on: session.connection)
        return session
    }

    /// Copies chunks until none is left.
    private func work(_ job: CopyJob, on connection: borrowing Connection) throws {
        guard let lanes = outlet.lanes else {
            var worker = CopyWorker(request: request, outlet: outlet, job: job)
            return try worker.run(on: connection)
        }
        let lane = try lanes.open { [ending] in !ending.isRequested }
        var worker = LaneWorker(request: request, outlet: outlet, job: job, lane: lane)
        try worker.run(on: connection)
    }
}
