// SPDX-License-Identifier: Apache-2.0
//
// A file descriptor that several channels print whole lines to. Nothing is printed twice and no
// line is broken by another; what a killed job had not yet begun to write is not written.

import ChangeModel
import Glibc
import LibPQ
import Synchronization

/// Writes whole lines to a descriptor, which stays the caller's; used from all channels' threads.
///
/// SIGPIPE has to be ignored by the process.
final class LineOutput: Sendable {
    /// What a pipe that is ready for writing takes without blocking (POSIX: PIPE_BUF).
    private static let readyBytes = 4_096
    /// How long a line that is begun may wait for its reader after a stop was requested.
    private static let patienceMilliseconds: CInt = 2_000

    private let descriptor: CInt
    private let stop: StopSignal
    /// Whether a write may wait for a reader: so with pipes, sockets and terminals.
    private let hasReader: Bool
    private let lock = Mutex(())

    /// Throws `job.output` where the descriptor is closed.
    init(descriptor: CInt, stop: StopSignal) throws(WalrelayError) {
        self.descriptor = descriptor
        self.stop = stop
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure(errno) }
        let kind = status.st_mode & S_IFMT
        hasReader = kind != S_IFREG && !(kind == S_IFCHR && isatty(descriptor) == 0)
    }

    /// Writes lines, each ending in a newline; blocks for as long as nobody reads them.
    ///
    /// Throws `job.output_closed` (exit 0) once the reader has gone, `CancellationError` once a
    /// stop is requested, and `job.output` where the disk is full.
    func write(_ lines: UnsafeRawBufferPointer) throws {
        try lock.withLock { _ in
            if stop.isRequested { throw CancellationError() }
            var rest = lines
            while !rest.isEmpty {
                if hasReader { try waitForReader() }
                let length = hasReader ? min(rest.count, Self.readyBytes) : rest.count
                let written = Glibc.write(descriptor, rest.baseAddress, length)
                if written >= 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
                } else if errno != EINTR, errno != EAGAIN {
                    throw Self.failure(errno)
                }
            }
        }
    }

    /// Waits until the descriptor takes bytes or has lost its reader, which the write then tells.
    private func waitForReader() throws {
        while true {
            var set = [
                pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: stop.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&set, 2, -1)
            if set[0].revents != 0 { return }
            if stop.isRequested {
                // The rest of a line that is begun, if its reader still takes it.
                if poll(&set, 1, Self.patienceMilliseconds) > 0 { return }
                throw CancellationError()
            }
        }
    }

    private static func failure(_ code: CInt) -> WalrelayError {
        if code == EPIPE || code == ECONNRESET {
            return WalrelayError(
                "job.output_closed",
                exit: .success,
                "The reader of the standard output has gone"
            )
        }
        return WalrelayError(
            "job.output",
            exit: code == EBADF ? .settings : .unreachable,
            "The standard output cannot be written: \(String(cString: strerror(code)))",
            hint: "look at what walrelay's output is connected to"
        )
    }
}
