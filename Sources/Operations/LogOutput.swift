// SPDX-License-Identifier: Apache-2.0
//
// Where all loggers of the process meet: each entry becomes one line and one write(2) to standard
// error (standard output belongs to the stream sink). A warning or error that repeats itself is
// held back and told by count, when something else is said or a minute has passed.

import Glibc
public import Logging
import Pipeline
import Synchronization

/// The place that log lines go to.
public final class LogOutput: Sendable {
    private struct Folding: Sendable {
        var entry: LogEntry
        var lastTime: UTCTimestamp
        var writtenTime: UTCTimestamp
        var held = 0
    }

    /// How long repetitions are held back at most, in milliseconds, as long as they go on.
    private static let foldTime: Int64 = 60_000

    private let style: Mutex<LogStyle>
    private let leastLevel = Mutex(Logger.Level.info)
    private let sink: @Sendable (String) -> Void
    private let now: @Sendable () -> UTCTimestamp
    private let folding = Mutex<Folding?>(nil)

    init(
        style: LogStyle,
        now: @escaping @Sendable () -> UTCTimestamp = { .now },
        sink: @escaping @Sendable (String) -> Void
    ) {
        self.style = Mutex(style)
        self.now = now
        self.sink = sink
    }

    /// Creates an output to standard error.
    ///
    /// Colours are used on a terminal only, and not when `NO_COLOR` is set or `TERM` is dumb; when
    /// `JOURNAL_STREAM` says that standard error is the journal, lines carry their priority. With
    /// `clearsLine` a line takes the place of the bar that a terminal shows.
    public static func standardError(
        format: LogFormat,
        environment: [String: String],
        clearsLine: Bool = false
    ) -> LogOutput {
        let isTerminal = isatty(STDERR_FILENO) == 1
        let colours =
            isTerminal && environment["TERM"] != "dumb" && (environment["NO_COLOR"] ?? "").isEmpty
        let prefix = isTerminal && clearsLine ? "\r\u{1b}[K" : ""
        let journal = isJournal(environment["JOURNAL_STREAM"], descriptor: STDERR_FILENO)
        let style = LogStyle(format: format, isColoured: colours, isJournal: journal)
        return LogOutput(style: style) { writeLine(prefix + $0, to: STDERR_FILENO) }
    }

    /// The least severe level that is written.
    public var level: Logger.Level { leastLevel.withLock { $0 } }

    /// Sets what a line looks like, and the least level that is written, from the next entry on.
    public func set(format: LogFormat, level: Logger.Level) {
        style.withLock { $0.format = format }
        leastLevel.withLock { $0 = level }
    }

    /// Writes out what is held back; to be called before the process ends.
    public func flush() {
        folding.withLock { folding in
            release(folding)
            folding = nil
        }
    }

    func write(_ entry: LogEntry) {
        let time = now()
        // The lock is held while writing, so that lines stand in the order of their times.
        folding.withLock { folding in
            if var current = folding, current.entry == entry {
                current.held += 1
                current.lastTime = time
                let waited = time.unixMilliseconds - current.writtenTime.unixMilliseconds
                if waited >= Self.foldTime {
                    release(current)
                    current.held = 0
                    current.writtenTime = time
                }
                folding = current
                return
            }
            release(folding)
            folding = nil
            sink(style.withLock { $0.line(entry, at: time) })
            if entry.level >= .warning {
                folding = Folding(entry: entry, lastTime: time, writtenTime: time)
            }
        }
    }

    private func release(_ folding: Folding?) {
        guard let folding, folding.held > 0 else { return }
        // A single repetition is shown as it was.
        let repeated = folding.held > 1 ? folding.held : 0
        sink(
            style.withLock { style in
                style.line(folding.entry, at: folding.lastTime, repeated: repeated)
            }
        )
    }

    /// Whether the descriptor is the stream that `JOURNAL_STREAM` ("device:inode") names.
    static func isJournal(_ stream: String?, descriptor: Int32) -> Bool {
        var facts = stat()
        guard let stream, fstat(descriptor, &facts) == 0 else { return false }
        return stream == "\(facts.st_dev):\(facts.st_ino)"
    }

    /// Writes the line in one piece; a descriptor that takes nothing more is given up silently.
    static func writeLine(_ line: String, to descriptor: Int32) {
        var bytes = Array(line.utf8)
        bytes.append(UInt8(ascii: "\n"))
        bytes.withUnsafeBytes { buffer in
            var offset = 0
            while offset < buffer.count {
                let count = Glibc.write(
                    descriptor,
                    buffer.baseAddress?.advanced(by: offset),
                    buffer.count - offset
                )
                if count > 0 {
                    offset += count
                } else if errno != EINTR {
                    return
                }
            }
        }
    }
}
