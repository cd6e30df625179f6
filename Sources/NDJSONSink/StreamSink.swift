// SPDX-License-Identifier: Apache-2.0
//
// The stream sink: the file sink's event lines on a file descriptor, in whole lines. A pipe can
// neither keep a checkpoint nor take a line back, so the slot's own position is all there is, and
// after a crash or a reconnection lines come again: at least once, with `source.sequence` as the
// key by which a reader drops repeats.

public import ChangeModel
import Glibc
public import Sink

/// Writes change events to the standard output, each change at least once.
///
/// Not `Sendable`: it belongs to the thread that drives it. `write` and `commit` block for as long
/// as the reader does not read, until the task is asked to stop. SIGPIPE has to be ignored by the
/// process.
public final class StreamSink: Sink {
    /// What a pipe that is ready for writing takes without blocking (POSIX: PIPE_BUF).
    private static let readyBytes = 4_096
    /// How often a write that waits for the reader looks whether it should stop.
    private static let pollMilliseconds: CInt = 250
    /// How many such looks a task that should stop gives the reader to take the lines that are
    /// begun: 5 s.
    private static let looksAfterStop = 20

    private let descriptor: CInt
    private let supervisor: any SinkSupervisor
    private let makeEncoder: () -> ChangeJSONEncoder
    private var events: EventEncoder
    /// Whether a write may be as long as it likes; files never block for long.
    private var isRegularFile = false
    private var bytesWritten: UInt64 = 0
    private var commits: UInt64 = 0

    /// A sink on `descriptor`, which stays the caller's; touches nothing yet.
    public init(
        descriptor: Int32 = 1,
        task: String,
        database: String,
        version: String,
        format: ValueFormat,
        supervisor: any SinkSupervisor
    ) {
        self.descriptor = descriptor
        self.supervisor = supervisor
        makeEncoder = {
            ChangeJSONEncoder(task: task, database: database, version: version, format: format)
        }
        events = EventEncoder(makeEncoder())
    }

    /// Returns `nil`: what has been read from a pipe before is not known.
    public func open() throws -> Checkpoint? {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let error = Errno.last
            throw WalrelayError(
                "sink.output_unwritable",
                exit: .settings,
                "The standard output cannot be used: \(error.text).",
                hint: "start walrelay with its standard output open"
            )
        }
        isRegularFile = status.st_mode & S_IFMT == S_IFREG
        return nil
    }

    /// False: the next start knows only the slot's position.
    public var keepsCheckpoint: Bool { false }

    /// Does nothing: lines of an earlier attempt cannot be taken back.
    public func beginSnapshot(_ checkpoint: Checkpoint) throws {
        try rollback()
    }

    /// Encodes a batch and writes whole lines whenever enough has come together.
    ///
    /// Throws `sink.closed` (exit 0) once the reader has gone.
    public func write(_ batch: borrowing ChangeBatch) throws {
        let now = PostgresTime.now
        var start = 0
        while start < batch.changes.count {
            start = try events.encode(
                batch,
                start..<batch.changes.count,
                room: .max,
                at: now
            )
            if events.buffer.count >= EventEncoder.flushBytes { try flush() }
        }
    }

    /// Writes what is buffered; with a pipe that is as durable as it gets, a file is synced.
    public func commit(_ checkpoint: Checkpoint) throws {
        try flush()
        if isRegularFile { try sync() }
        commits += 1
    }

    /// Writes the rows at once, as whole lines.
    public func writeCopied(_ batch: borrowing ChangeBatch) throws {
        try write(batch)
        try flush()
    }

    /// Forgets the lines that have not been written yet; the others come again.
    public func rollback() throws {
        events = EventEncoder(makeEncoder())
    }

    /// Forgets the lines that have not been written yet; the descriptor stays open.
    public func close() throws {
        try rollback()
    }

    /// Bytes and flushes since the sink was made.
    public var statistics: SinkStatistics {
        var statistics = SinkStatistics()
        statistics.bytesWritten = bytesWritten
        statistics.commits = commits
        return statistics
    }

    private func flush() throws {
        try events.buffer.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
                done += try writeSome(rest)
            }
        }
        bytesWritten += UInt64(events.buffer.count)
        events.buffer.removeAll(keepingUpTo: EventEncoder.keptBytes)
    }

    /// Makes the file's bytes durable.
    ///
    /// Not tried again: the kernel may have dropped the pages and would call the next attempt a
    /// success. The slot sends the lines once more instead.
    private func sync() throws {
        while fdatasync(descriptor) != 0 {
            let error = Errno.last
            guard error.code == EINTR else { throw Self.failed(error) }
        }
    }

    private func waitForRoom(_ error: Errno, attempt: Int) throws {
        try supervisor.waitBeforeRetry(
            of: .diskFull("/dev/stdout", "the standard output", error),
            attempt: attempt
        )
    }

    private static func failed(_ error: Errno) -> WalrelayError {
        WalrelayError(
            "sink.output_failed",
            exit: .unreachable,
            "Writing to the standard output failed: \(error.text).",
            hint: "look at what walrelay's output is connected to"
        )
    }

    /// Writes at least one byte, waiting for the reader or for room for as long as it takes.
    private func writeSome(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        Failpoint.hit(.beforeWrite)
        var attempts = 0
        while true {
            if !isRegularFile { try waitForReader() }
            let limit = isRegularFile ? bytes.count : min(bytes.count, Self.readyBytes)
            let written = Glibc.write(descriptor, bytes.baseAddress, limit)
            if written > 0 { return written }
            let error = written == 0 ? Errno(code: EIO) : Errno.last
            switch error.code {
            case EINTR, EAGAIN:
                continue
            case EPIPE, ECONNRESET:
                throw WalrelayError.outputClosed()
            case ENOSPC, EDQUOT:
                attempts += 1
                try waitForRoom(error, attempt: attempts)
            default:
                throw Self.failed(error)
            }
        }
    }

    /// Waits until the descriptor takes bytes or has lost its reader, which the write then tells.
    private func waitForReader() throws {
        var looksLeft = Self.looksAfterStop
        while true {
            var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            if poll(&ready, 1, Self.pollMilliseconds) > 0 { return }
            if supervisor.keepWaiting() { continue }
            looksLeft -= 1
            if looksLeft <= 0 { throw CancellationError() }
        }
    }
}
