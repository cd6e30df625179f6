// SPDX-License-Identifier: Apache-2.0
//
// The run of event files of one task, and the checkpoint beside them. Receives whole events as
// bytes; promises that what a checkpoint covers is durable before it and that nothing else
// survives recovery. Three places in the run, never out of order:
//
//   durable ≤ pending ≤ position
//   |         |         where the next byte goes
//   |         up to where transactions are whole: what the next commit covers
//   what checkpoint.json says: a rollback or a start goes back to here
//
// A file gets its sealed name once `durable` has left it, so nothing sealed is ever taken back.

import ChangeModel
import Glibc
import Logging
import Sink

/// The event files of one directory, open for writing.
final class EventFiles {
    /// Fresh bytes after which the kernel is asked to begin writing them out, so that a commit
    /// after much data does not have to wait for all of it.
    private static let writebackBytes: Int64 = 16 << 20
    private static let checkpointName = "checkpoint.json"
    private static let temporaryName = "checkpoint.json.tmp"

    let directory: SinkDirectory
    private let supervisor: any SinkSupervisor
    private let logger: Logger
    private var encoder = CheckpointEncoder()

    /// Where the next byte goes.
    private(set) var position: FileMark
    /// Up to where transactions are whole.
    private(set) var pending: FileMark
    /// What the directory holds as its checkpoint.
    private(set) var durable: CheckpointDocument
    /// The lowest number whose file may have its open name still.
    private(set) var oldestUnsealed: UInt64
    /// The file at `position`; `nil` until something is written to it.
    private var current: OpenFile?
    /// Bytes of `current` that are durable.
    private var synced: Int64 = 0
    /// Bytes of `current` that the kernel was asked to write out.
    private var writtenBack: Int64 = 0
    private var directoryIsDirty = false
    private var hasCheckpointFile: Bool
    /// Whether `checkpoint.json` may be a newer one than `durable`, after a failure in between.
    private var checkpointIsUncertain = false

    /// Takes over a directory and makes it as its checkpoint says.
    ///
    /// Throws `sink.checkpoint_malformed`, `sink.checkpoint_missing` and `sink.files_mismatch`
    /// before anything was changed.
    init(
        in directory: SinkDirectory,
        supervisor: any SinkSupervisor,
        logger: Logger
    ) throws {
        self.directory = directory
        self.supervisor = supervisor
        self.logger = logger
        let mark: FileMark
        do {
            if let document = try Self.readCheckpoint(directory) {
                durable = document
                hasCheckpointFile = true
                mark = document.mark
            } else {
                mark = try RecoveryPlan.markWithoutCheckpoint(
                    of: try directory.eventFiles(),
                    in: directory.path
                )
                durable = CheckpointDocument(mark: mark, checkpoint: nil)
                hasCheckpointFile = false
            }
        } catch let error as Errno {
            throw WalrelayError.fileFailed("Reading", directory.path, error)
        }
        (position, pending, oldestUnsealed) = (mark, mark, mark.number)
        try attempt("Removing", Self.temporaryName) { () throws(Errno) in
            try directory.remove(Self.temporaryName)
        }
        try recover()
    }

    private static func readCheckpoint(_ directory: SinkDirectory) throws -> CheckpointDocument? {
        let limit = CheckpointDocument.byteLimit
        do {
            return try directory.read(checkpointName, limit: limit)
                .map { try CheckpointDocument(parsing: $0, in: directory.path) }
        } catch let error as Errno where error.code == EFBIG {
            throw WalrelayError.checkpointMalformed(
                directory.path,
                "it is longer than \(limit) bytes"
            )
        }
    }

    // MARK: - Writing

    /// Appends whole events; blocks for as long as the disk is full.
    func append(_ bytes: UnsafeRawBufferPointer) throws {
        guard !bytes.isEmpty else { return }
        if !hasCheckpointFile { try writeCheckpoint(durable) }
        let file = try openCurrent()
        Failpoint.hit(.beforeWrite)
        let name = position.openName
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let offset = position.length
            let count = try attempt("Writing", "\(name), byte \(offset)") { () throws(Errno) in
                try directory.write(rest, to: file, at: offset)
            }
            done += count
            position.length += Int64(count)
        }
        if position.length - writtenBack >= Self.writebackBytes {
            directory.beginWriteback(file, from: writtenBack, to: position.length)
            writtenBack = position.length
        }
    }

    /// Says that transactions are whole up to `bytes` bytes behind `position`.
    func markPending(ahead bytes: Int) {
        pending = FileMark(number: position.number, length: position.length + Int64(bytes))
    }

    /// Ends the current file, which is full, and begins the next one.
    ///
    /// The full one keeps its open name until a checkpoint has left it behind.
    func rotate() throws {
        let file = try openCurrent()
        try syncData(of: file)
        Failpoint.hit(.rotationBeforeCreate)
        let end = position
        position = .start(of: end.number + 1)
        current = nil
        if pending == end { pending = position }
        _ = try openCurrent()
        Failpoint.hit(.rotationAfterCreate)
    }

    private func openCurrent() throws -> OpenFile {
        if let current { return current }
        let name = position.openName
        let file = try attempt("Creating", name) { () throws(Errno) in
            try directory.create(name)
        }
        (current, synced, writtenBack) = (file, 0, 0)
        directoryIsDirty = true
        return file
    }

    // MARK: - Durability

    /// Makes everything up to `pending` durable together with the checkpoint.
    ///
    /// `pending` must have been appended.
    func commit(_ checkpoint: Checkpoint) throws {
        let file = try openCurrent()
        let mark = pending
        Failpoint.hit(.afterWriteBeforeSync)
        // A file before the current one was synced when it was rotated.
        if mark.number == position.number, mark.length > synced { try syncData(of: file) }
        if directoryIsDirty { try syncDirectory() }
        Failpoint.hit(.afterSyncBeforeCheckpoint)
        try writeCheckpoint(CheckpointDocument(mark: mark, checkpoint: checkpoint))
        sealCovered()
    }

    private func syncData(of file: OpenFile) throws {
        guard position.length > synced else { return }
        do {
            try directory.sync(file)
        } catch {
            // Not tried again: the kernel may have dropped the pages and would call the next
            // attempt a success.
            throw WalrelayError.fsyncFailed("\(directory.path)/\(position.openName)", error)
        }
        synced = position.length
    }

    private func syncDirectory() throws(WalrelayError) {
        do {
            try directory.sync()
        } catch {
            throw .fsyncFailed(directory.path, error)
        }
        directoryIsDirty = false
    }

    /// Replaces `checkpoint.json` as one step.
    private func writeCheckpoint(_ document: CheckpointDocument) throws {
        let bytes = encoder.encode(document)
        let file = try attempt("Creating", Self.temporaryName) { () throws(Errno) in
            try directory.create(Self.temporaryName, replacing: true)
        }
        try bytes.withUnsafeBytes { content in
            var done = 0
            while done < content.count {
                let rest = UnsafeRawBufferPointer(rebasing: content[done...])
                let offset = Int64(done)
                done += try attempt("Writing", Self.temporaryName) { () throws(Errno) in
                    try directory.write(rest, to: file, at: offset)
                }
            }
        }
        do {
            try directory.sync(file)
        } catch {
            throw WalrelayError.fsyncFailed("\(directory.path)/\(Self.temporaryName)", error)
        }
        Failpoint.hit(.checkpointWrittenBeforeRename)
        checkpointIsUncertain = true
        try attempt("Renaming", Self.temporaryName) { () throws(Errno) in
            try directory.rename(Self.temporaryName, to: Self.checkpointName)
        }
        Failpoint.hit(.afterCheckpointRenameBeforeDirectorySync)
        try syncDirectory()
        checkpointIsUncertain = false
        hasCheckpointFile = true
        durable = document
    }

    /// Gives the files that the checkpoint has left behind their sealed names.
    ///
    /// The commit is durable by now and must not fail any more: what cannot be renamed is tried
    /// again with the next commit, and by recovery.
    private func sealCovered() {
        while oldestUnsealed < durable.mark.number {
            let name = EventFileName(number: oldestUnsealed, isSealed: false)
            let sealed = EventFileName(number: oldestUnsealed, isSealed: true)
            Failpoint.hit(.beforeSeal)
            do {
                try directory.rename(name.text, to: sealed.text)
            } catch {
                logger.warning(
                    "cannot seal \(directory.path)/\(name.text): \(error.text)",
                    metadata: ["code": "sink.seal_failed"]
                )
                return
            }
            Failpoint.hit(.afterSeal)
            oldestUnsealed += 1
        }
    }

    /// Takes over files that were written beside the run, as its next ones, with the next commit.
    ///
    /// To be called where nothing is uncommitted. Until that commit they have open names behind
    /// its place, and a rollback or a start removes them.
    func adopt(_ files: [CopiedFiles.Finished]) throws {
        guard !files.isEmpty else { return }
        var number = position.length == 0 ? position.number : position.number + 1
        current = nil
        for file in files {
            let name = FileMark.start(of: number).openName
            try attempt("Renaming", file.name) { () throws(Errno) in
                try directory.rename(file.name, to: name)
            }
            position = FileMark(number: number, length: file.length)
            number += 1
        }
        pending = position
        let name = position.openName
        current = try attempt("Opening", name) { () throws(Errno) in try directory.open(name) }
        (synced, writtenBack) = (position.length, position.length)
        directoryIsDirty = true
    }

    // MARK: - Going back

    /// Makes the files as the last checkpoint says.
    func rollback() throws {
        current = nil
        if checkpointIsUncertain {
            // Whoever drives the sink was told that the newer one failed. Cutting the files under
            // it would leave a checkpoint that they do not fit.
            if hasCheckpointFile {
                try writeCheckpoint(durable)
            } else {
                try attempt("Removing", Self.checkpointName) { () throws(Errno) in
                    try directory.remove(Self.checkpointName)
                }
                try syncDirectory()
            }
            checkpointIsUncertain = false
        }
        try recover()
    }

    /// The one mechanism by which a start and a rollback come to the checkpoint's state.
    private func recover() throws {
        let plan = try attempt("Listing", directory.path) { () throws(Errno) in
            try directory.eventFiles()
        }
        try apply(RecoveryPlan(of: plan, at: durable.mark, in: directory.path))
    }

    private func apply(_ plan: RecoveryPlan) throws {
        for number in plan.remove {
            let name = EventFileName(number: number, isSealed: false).text
            try attempt("Removing", name) { () throws(Errno) in try directory.remove(name) }
        }
        for number in plan.seal {
            let name = EventFileName(number: number, isSealed: false).text
            let sealed = EventFileName(number: number, isSealed: true).text
            try attempt("Sealing", name) { () throws(Errno) in
                try directory.rename(name, to: sealed)
            }
        }
        if plan.cut {
            let name = plan.mark.openName
            current = try attempt("Cutting back", name) { () throws(Errno) in
                let file = try directory.open(name)
                try directory.truncate(file, named: name, to: plan.mark.length)
                return file
            }
        }
        (position, pending, oldestUnsealed) = (plan.mark, plan.mark, plan.mark.number)
        (synced, writtenBack) = (plan.mark.length, plan.mark.length)
        // The checkpoint that was found may have got its name just before a kill: it is durable
        // from here on, so that it may be told to the source.
        try syncDirectory()
    }

    /// Ends the task in this directory: seals what is committed, removes the checkpoint.
    ///
    /// Sealed first: a kill in between leaves a sealed file that fits the checkpoint.
    func removeCheckpoint() throws {
        try rollback()
        if current != nil {
            current = nil
            let name = position.openName
            if position.length == 0 {
                try attempt("Removing", name) { () throws(Errno) in try directory.remove(name) }
            } else {
                let sealed = EventFileName(number: position.number, isSealed: true).text
                try attempt("Sealing", name) { () throws(Errno) in
                    try directory.rename(name, to: sealed)
                }
                try syncDirectory()
            }
        }
        try attempt("Removing", Self.checkpointName) { () throws(Errno) in
            try directory.remove(Self.checkpointName)
        }
        try syncDirectory()
    }

    // MARK: - Full disks

    /// Makes a call, again and again for as long as the disk is full and the supervisor waits.
    func attempt<Result>(
        _ action: String,
        _ object: @autoclosure () -> String,
        _ call: () throws(Errno) -> Result
    ) throws -> Result {
        var attempts = 0
        while true {
            do {
                return try call()
            } catch {
                let object = "\(directory.path)/\(object())"
                guard error.isDiskFull else {
                    throw WalrelayError.fileFailed(action, object, error)
                }
                attempts += 1
                try supervisor.waitBeforeRetry(
                    of: .diskFull(directory.path, object, error),
                    attempt: attempts
                )
            }
        }
    }
}
