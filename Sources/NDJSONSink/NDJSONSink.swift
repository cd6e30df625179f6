// SPDX-License-Identifier: Apache-2.0
//
// The file sink. Receives batches, gives numbered files of event lines and `checkpoint.json`, and
// promises that each change stands once in them, whatever was killed when:
//
//   000000000001.ndjson        sealed: never changes again
//   000000000002.ndjson.open   full, but a transaction goes on: sealed once that is committed
//   000000000003.ndjson.open   being written
//   checkpoint.json            valid up to byte L of file N; position and relations
//
// A reader that wants committed events only reads sealed files, and the open one up to L. This
// file decides when to write, rotate and commit; EventFiles does it and Recovery undoes it.

public import ChangeModel
public import Logging
public import Sink

/// Writes change events to files of one directory, each change exactly once.
///
/// Not `Sendable`: it belongs to the thread that drives it. Every method may block on the disk.
public final class NDJSONSink: Sink {
    /// What the settings say.
    public struct Options: Sendable {
        /// The directory; made if it is absent.
        public var directory: String
        /// A file that has reached this many bytes is followed by the next; at least 1.
        public var rotateBytes: Int64
        /// How values are written.
        public var format: ValueFormat
        /// The task's name, which is `source.name` of the events.
        public var task: String
        /// The source's database.
        public var database: String
        /// The version of walrelay.
        public var version: String

        /// Creates options.
        public init(
            directory: String,
            rotateBytes: Int64 = 256 << 20,
            format: ValueFormat,
            task: String,
            database: String,
            version: String
        ) {
            self.directory = directory
            self.rotateBytes = rotateBytes
            self.format = format
            self.task = task
            self.database = database
            self.version = version
        }
    }

    private let options: Options
    private let supervisor: any SinkSupervisor
    private let logger: Logger
    private var events: EventEncoder
    /// Rows of tables that are copied beside the stream.
    private var copied: CopiedFiles?
    /// `nil` while the sink is closed.
    private(set) var files: EventFiles?
    /// Whether a failure has left behind what only a rollback mends.
    private var owesRollback = false
    private var bytesWritten: UInt64 = 0
    private var commits: UInt64 = 0

    /// A closed sink; touches nothing yet.
    public init(
        _ options: Options,
        supervisor: any SinkSupervisor,
        logger: Logger = Logger(label: "walrelay.sink.ndjson")
    ) {
        self.options = options
        self.supervisor = supervisor
        self.logger = logger
        events = EventEncoder(options)
    }

    /// Locks the directory, cuts the files back to the checkpoint and returns it.
    ///
    /// Rows of a snapshot are behind a `.running` checkpoint like any others. Throws
    /// `sink.directory_unwritable`, `sink.directory_in_use`, `sink.checkpoint_malformed`,
    /// `sink.checkpoint_missing` and `sink.files_mismatch`; nothing was changed then.
    public func open() throws -> Checkpoint? {
        guard files == nil else { throw WalrelayError.outOfOrder("open again") }
        let files = try EventFiles(
            in: SinkDirectory(path: options.directory),
            supervisor: supervisor,
            logger: logger
        )
        try CopiedFiles.remove(from: files)
        self.files = files
        reset()
        return files.durable.checkpoint
    }

    /// Forgets what is not committed and makes a `.running` checkpoint durable.
    ///
    /// What an earlier snapshot has committed stays: nobody begins anew over rows that count.
    public func beginSnapshot(_ checkpoint: Checkpoint) throws {
        precondition(checkpoint.snapshot == .running, "a snapshot begins with a running checkpoint")
        try rollback()
        try commit(checkpoint)
    }

    /// Encodes a batch; writes whenever enough has come together.
    ///
    /// Rows that a snapshot read belong to no transaction that could be left unfinished: they are
    /// part of the next commit whatever `committedCount` says.
    public func write(_ batch: borrowing ChangeBatch) throws {
        let files = try usable("write")
        owesRollback = true
        let now = PostgresTime.now
        if batch.checkpoint != nil || batch.committedCount > 0 {
            try encode(batch, 0..<batch.committedCount, at: now, into: files)
            files.markPending(ahead: events.buffer.count)
        }
        if batch.committedCount < batch.changes.count {
            try encode(batch, batch.committedCount..<batch.changes.count, at: now, into: files)
            if batch.changes.last?.kind == .read {
                files.markPending(ahead: events.buffer.count)
            }
        }
        owesRollback = false
    }

    private func encode(
        _ batch: borrowing ChangeBatch,
        _ range: Range<Int>,
        at now: PostgresTime,
        into files: EventFiles
    ) throws {
        var start = range.lowerBound
        while start < range.upperBound {
            try rotateIfFull(files)
            start = try events.encode(
                batch,
                start..<range.upperBound,
                room: room(in: files),
                at: now
            )
            if events.buffer.count >= EventEncoder.flushBytes { try flush(to: files) }
        }
        try rotateIfFull(files)
    }

    private func room(in files: EventFiles) -> Int64 {
        options.rotateBytes - files.position.length - Int64(events.buffer.count)
    }

    private func rotateIfFull(_ files: EventFiles) throws {
        guard room(in: files) <= 0 else { return }
        try flush(to: files)
        try files.rotate()
    }

    private func flush(to files: EventFiles) throws {
        let count = events.buffer.count
        try events.buffer.withUnsafeBytes { try files.append($0) }
        events.buffer.removeAll(keepingUpTo: EventEncoder.keptBytes)
        bytesWritten += UInt64(count)
    }

    /// Makes the files durable, then the checkpoint, and seals what it has left behind.
    ///
    /// Costs three syncs; two where only the position moves. A disk that is full is waited for
    /// through the supervisor. After any error a rollback is due.
    public func commit(_ checkpoint: Checkpoint) throws {
        let files = try usable("commit")
        owesRollback = true
        if files.position.length < files.pending.length
            || files.position.number < files.pending.number
        {
            try flush(to: files)
        }
        try files.commit(checkpoint)
        commits += 1
        owesRollback = false
    }

    /// Rows go to files of their own, which become part of the run when all are there.
    public func beginCopy(
        _ relations: [Relation],
        types: [TypeEntry]
    ) throws -> (any CopyLanes)? {
        let files = try usable("begin a copy")
        copied = try CopiedFiles(
            beside: files,
            rotateBytes: options.rotateBytes,
            events: EventEncoder(options)
        )
        return nil
    }

    /// Writes rows of a copy; blocks for as long as the disk is full.
    public func writeCopied(_ batch: borrowing ChangeBatch) throws {
        guard copied != nil else { throw WalrelayError.outOfOrder("write rows of a copy") }
        bytesWritten += UInt64(try copied?.write(batch) ?? 0)
    }

    /// Adopts the files of the copy; after any error a rollback is due.
    public func endCopy() throws {
        let files = try usable("end a copy")
        owesRollback = true
        try files.adopt(copied?.finish() ?? [])
        copied = nil
        owesRollback = false
    }

    /// Forgets the copy and removes its files; those that cannot be go with the next one.
    public func abandonCopy() {
        guard copied != nil else { return }
        copied = nil
        if let files { try? CopiedFiles.remove(from: files) }
    }

    /// Cuts the files back to the last commit.
    public func rollback() throws {
        guard let files else { throw WalrelayError.outOfOrder("roll back") }
        reset()
        owesRollback = true
        try files.rollback()
        owesRollback = false
    }

    private func reset() {
        events = EventEncoder(options)
    }

    /// Cuts the files back to the last commit and lets go of the directory, even where that fails.
    ///
    /// A sink that is closed already stays so.
    public func close() throws {
        guard let files else { return }
        self.files = nil
        reset()
        owesRollback = false
        try files.rollback()
    }

    /// Ends the task in this directory: the data stays and is sealed, the checkpoint goes.
    ///
    /// The sink is closed afterwards.
    public func removeCheckpoint() throws {
        let files = try usable("remove the checkpoint")
        self.files = nil
        reset()
        try files.removeCheckpoint()
    }

    /// Bytes and commits since the sink was made; the file that is written and its length.
    public var statistics: SinkStatistics {
        var statistics = SinkStatistics()
        statistics.bytesWritten = bytesWritten
        statistics.commits = commits
        guard let files else { return statistics }
        statistics.details = [
            "file": files.position.openName,
            "length": String(files.position.length),
            "directory": options.directory,
        ]
        return statistics
    }

    private func usable(_ what: String) throws(WalrelayError) -> EventFiles {
        guard let files, !owesRollback else { throw .outOfOrder(what) }
        return files
    }
}

extension EventEncoder {
    fileprivate init(_ options: NDJSONSink.Options) {
        self.init(
            ChangeJSONEncoder(
                task: options.task,
                database: options.database,
                version: options.version,
                format: options.format
            )
        )
    }
}
