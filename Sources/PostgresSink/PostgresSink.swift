// SPDX-License-Identifier: Apache-2.0
//
// Tables of another PostgreSQL, kept equal to the source's. A transaction of the target:
//
//   begin (lock the checkpoint's row) → tail of the last batch → changes → checkpoint → commit
//
// It holds whole transactions of the source, one or many, and the checkpoint that says so: a
// reader of the target sees each of them whole or not at all, and after a crash the checkpoint and
// the data agree by themselves.

public import ChangeModel
import LibPQ
public import Logging
public import Sink

/// A sink that writes to tables of another PostgreSQL.
public final class PostgresSink: Sink {
    let options: PostgresSinkOptions
    let patience: Patience
    let log: Logger
    let checkpoints: CheckpointTable
    let tables: TargetTables
    private let applier: Applier
    /// The lanes of the last snapshot, for what they have written.
    var lanes: PostgresLanes?
    private var session: TargetSession?
    /// Rows that are copied beside the stream, where they do not go through lanes.
    var copying: CopySession?
    /// Whether the rows that lanes have copied beside the stream become part of the next commit.
    var endsCopy = false
    /// The checkpoint that the target holds.
    private(set) var durable: Checkpoint?
    /// How many chunks of lanes are in `durable` that walrelay.copied holds; `nil` where that is not
    /// known, since lanes are at work.
    private var chunks: Int?
    var isInTransaction = false
    /// Changes of a transaction that goes on, which came with the end of an earlier one.
    private var tail = ChangeBatch()
    private var commits: UInt64 = 0
    var bytesWritten: UInt64 = 0

    /// A closed sink; touches nothing yet.
    public init(
        _ options: PostgresSinkOptions,
        supervisor: any SinkSupervisor,
        logger: Logger = Logger(label: "walrelay.sink.postgresql")
    ) {
        self.options = options
        log = logger
        patience = Patience(supervisor)
        checkpoints = CheckpointTable(task: options.task)
        tables = TargetTables(options, patience: patience, log: logger)
        applier = Applier(options, logger: logger)
    }

    /// Connects and reads the task's checkpoint; changes nothing.
    ///
    /// Throws `sink.unreachable`, `sink.login_refused` and `sink.checkpoint_malformed`.
    public func open() throws -> Checkpoint? {
        let session = try TargetSession(options.target, patience: patience)
        let loaded = try attempt("reading walrelay.checkpoint") {
            try checkpoints.load(on: session.connection)
        }
        (durable, chunks) = (loaded?.checkpoint, loaded?.chunks ?? 0)
        self.session = session
        forget()
        return durable
    }

    /// How the way to the target is protected.
    func protectionFindings() throws -> [Finding] {
        try usable().connection.encryption.findings(setting: "sink.postgresql")
    }

    /// Holds the target's tables against the source's; changes nothing.
    ///
    /// Throws `sink.tables_unfit`, which lists all that is to be mended, `sink.table_claimed`,
    /// `sink.table_not_empty`, and `sink.standby` where a task that is under way may wait.
    public func inspect(_ relations: [Relation], types: [TypeEntry]) throws {
        let session = try usable()
        try attempt("inspecting the target's tables") {
            try tables.inspect(
                relations,
                types: types,
                checkpoint: durable,
                on: session
            )
        }
    }

    /// The same, and `sink.table_not_empty` for what the rows of these tables would meet.
    public func inspectCopy(_ relations: [Relation], types: [TypeEntry]) throws {
        let session = try usable()
        try attempt("inspecting the target's tables") {
            try tables.inspectCopy(relations, types: types, after: durable, on: session)
        }
    }

    /// As `inspect`, and all of it told instead of thrown.
    func findings(_ relations: [Relation], types: [TypeEntry]) throws -> [Finding] {
        let session = try usable()
        return try attempt("inspecting the target's tables") {
            try tables.findings(relations, types: types, checkpoint: durable, on: session)
        }
    }

    /// Makes walrelay's own tables where they are missing, and a `.running` checkpoint durable.
    public func beginSnapshot(_ checkpoint: Checkpoint) throws {
        let session = try usable()
        try rollback()
        try attempt("making walrelay's tables on the target") {
            try CheckpointTable.make(on: session.connection)
            try session.connection.query(
                "\(checkpoints.copiedRemoval); \(checkpoints.insertion(of: checkpoint))"
            )
        }
        (durable, chunks) = (checkpoint, 0)
    }

    /// Makes the keys of the tables that hold rows which count.
    ///
    /// Without them each change would be a scan of its table. Blocks for as long as that takes.
    public func resumeSnapshot(_ checkpoint: Checkpoint) throws {
        let session = try usable()
        try attempt("making keys on the target") {
            try tables.resume(checkpoint, on: session)
        }
    }

    /// Makes missing tables, empties those of which nothing is copied, claims all.
    ///
    /// In one transaction. Tables that go on get the columns that were added meanwhile. Of a task
    /// that is under way they are made ready for changes at once, keys included.
    public func prepare(_ relations: [Relation], types: [TypeEntry]) throws {
        let session = try usable()
        try attempt("making the target's tables") {
            try begin(session)
            try tables.prepare(relations, types: types, after: durable, on: session)
            try session.connection.query("COMMIT")
            isInTransaction = false
            // Elsewhere the commit that ends the snapshot does it.
            guard durable?.snapshot == .complete else { return }
            try tables.finishKeys(on: session)
            try tables.finishIndexes(on: session)
        }
    }

    /// Lanes into the tables, unless rows have to be merged or may become dead letters.
    public var copyLanes: (any CopyLanes)? {
        guard hasLanes else { return nil }
        let lanes = PostgresLanes(
            parameters: options.target,
            record: .chunks(checkpoints, position: durable?.position ?? .zero),
            table: tables.copyTargets()
        )
        chunks = nil
        self.lanes = lanes
        return lanes
    }

    /// Applies what belongs to transactions that end in the batch, and keeps the rest.
    ///
    /// A batch in which no transaction ends is applied whole: what it belongs to is as long as
    /// that.
    public func write(_ batch: borrowing ChangeBatch) throws {
        // The commit that the tail had to wait for is over.
        if !tail.changes.isEmpty { try applyTail() }
        let end = batch.checkpoint == nil ? batch.changes.count : batch.committedCount
        if end > 0 { try apply(batch, 0..<end) }
        if end < batch.changes.count { tail.replace(withTailOf: batch, from: end) }
    }

    private func applyTail() throws {
        var batch = ChangeBatch()
        swap(&batch, &tail)
        try apply(batch, 0..<batch.changes.count)
        batch.removeAll()
        swap(&batch, &tail)
    }

    private func apply(_ batch: borrowing ChangeBatch, _ range: Range<Int>) throws {
        let session = try usable()
        Failpoint.hit(.beforeWrite)
        try begin(session)
        try attempt("applying changes") {
            let first = batch.changes[range.lowerBound]
            let commitLSN = batch.transactions[Int(first.transaction)].commitLSN
            try applier.apply(batch, range, on: session.connection) { version in
                try tables.table(for: version, at: commitLSN, on: session)
            }
        }
        bytesWritten += UInt64(batch.bytes.count)
        Failpoint.hit(.afterWriteBeforeSync)
    }

    /// Commits the changes and the checkpoint together.
    ///
    /// At the end of a snapshot the keys and indexes are made first, which may take long.
    public func commit(_ checkpoint: Checkpoint) throws {
        let session = try usable()
        let endsSnapshot = durable?.snapshot == .running && checkpoint.snapshot == .complete
        // Merged rows are not committed yet: then only what does not fail can come before that.
        let isMerging = isInTransaction
        if endsSnapshot {
            try attempt("making keys on the target") {
                try tables.finishKeys(on: session)
                if !isMerging { try tables.finishIndexes(on: session) }
            }
        }
        // The rows of a copy and the checkpoint that counts them are one transaction.
        if let copying, copying.isComplete { return try commit(checkpoint, with: copying) }
        try begin(session)
        // What the rows of chunks have said is in `durable` already, and goes from the target with
        // them: the document has to say it from now on.
        let former = chunks == 0 ? durable : nil
        let update = try checkpoints.update(to: checkpoint, from: former)
        Failpoint.hit(.afterSyncBeforeCheckpoint)
        try attempt("committing on the target") {
            if durable?.snapshot == .running {
                try checkpoints.removeCopied(expecting: chunks, on: session.connection)
            } else if endsCopy {
                try session.connection.query(checkpoints.copiedRemoval)
            }
            try session.connection.query("\(update); COMMIT")
        }
        isInTransaction = false
        (durable, chunks, endsCopy) = (checkpoint, 0, false)
        commits += 1
        if endsSnapshot, isMerging {
            try attempt("making indexes on the target") { try tables.finishIndexes(on: session) }
        }
    }

    /// Commits the rows of a copy that has come to its end, in their own session.
    private func commit(_ checkpoint: Checkpoint, with copying: CopySession) throws {
        precondition(!isInTransaction, "a copy is committed by itself")
        try verify(
            try attempt("locking the task's row in walrelay.checkpoint") {
                try checkpoints.lock(on: copying.session.connection)
            }
        )
        let update = try checkpoints.update(to: checkpoint, from: durable)
        try attempt("committing on the target") {
            try copying.session.connection.query(
                "\(checkpoints.copiedRemoval); \(update); COMMIT"
            )
        }
        (durable, chunks) = (checkpoint, 0)
        commits += 1
        self.copying = nil
        try attempt("making indexes on the target") { try tables.finishIndexes(on: usable()) }
    }

    /// Takes back whatever was applied since the last commit.
    public func rollback() throws {
        tail.removeAll()
        guard isInTransaction, let session else { return }
        isInTransaction = false
        // Columns that the transaction had added are gone with it.
        tables.forget()
        try attempt("rolling back on the target") { try session.connection.query("ROLLBACK") }
    }

    /// Closes the connection; the server takes back what was not committed.
    public func close() throws {
        session = nil
        copying = nil
        forget()
    }

    /// Ends the task on the target: its checkpoint and its claims go, the tables stay.
    public func removeCheckpoint() throws {
        let session = try usable()
        try rollback()
        if durable != nil {
            try attempt("removing the task from walrelay.checkpoint on the target") {
                let isThere = try checkpoints.isCopiedThere(on: session.connection)
                try session.connection.query(checkpoints.removal(copiedIsThere: isThere))
            }
        }
        durable = nil
        try close()
    }

    /// Commits, and what was applied, since the sink was made.
    public var statistics: SinkStatistics {
        var statistics = SinkStatistics()
        statistics.commits = commits
        statistics.bytesWritten = bytesWritten + (lanes?.bytesWritten ?? 0)
        statistics.details = applier.counts.details
        statistics.details["target"] = options.target.destination
        return statistics
    }

    // MARK: - The session

    /// Begins a transaction unless one is open, and makes sure that it is ours to write.
    func begin(_ session: TargetSession) throws {
        guard !isInTransaction else { return }
        isInTransaction = true
        try verify(
            try attempt("locking the task's row in walrelay.checkpoint") {
                try checkpoints.begin(on: session.connection)
            }
        )
    }

    private func verify(_ position: LSN?) throws(WalrelayError) {
        guard let position, position == durable?.position else {
            throw WalrelayError(
                "sink.checkpoint_moved",
                exit: .checkpointMismatch,
                "The target's checkpoint of task \(options.task) is at "
                    + "\(position.map(\.description) ?? "nothing"), not at "
                    + "\(durable?.position.description ?? "nothing") where this session left it",
                hint: "see that no second walrelay runs this task; "
                    + "this one goes on from what the target says",
                isTransient: true
            )
        }
    }

    private func forget() {
        (isInTransaction, endsCopy) = (false, false)
        tail.removeAll()
        tables.forget()
        applier.forget()
    }

    func usable() throws(WalrelayError) -> TargetSession {
        if let session { return session }
        throw WalrelayError("sink.call_order", exit: .internalError, "The sink is not open")
    }

    /// Runs statements on the target; a PostgreSQL error becomes one that names the target.
    @discardableResult
    func attempt<Result>(_ what: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as PostgresError {
            if error.kind == .interrupted { throw CancellationError() }
            throw TargetErrors.error(error, while: "\(what) (\(options.target.destination))")
        }
    }
}
