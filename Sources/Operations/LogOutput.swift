// SPDX-License-Identifier: Apache-2.0
//
// Where all loggers of the process meet: each entry becomes one line and one write(2) to standard
// error (standard output belongs to the stream sink). Level and format may change at any time;
// what repeats itself is folded.

import Glibc
public import Logging
import Pipeline
import Synchronization

/// The place that log lines go to.
public final class LogOutput: Sendable {
    private struct State: Sendable {
        var style: LogStyle
        var folding = LogFolding()
    }

    private let state: Mutex<State>
    // Read before each entry, mostly to find that it is not wanted: no lock for that.
    private let levelIndex: Atomic<Int>
    private let sink: @Sendable (String) -> Void
    private let now: @Sendable () -> UTCTimestamp

    init(
        style: LogStyle,
        level: Logger.Level = .info,
        now: @escaping @Sendable () -> UTCTimestamp = { .now },
        sink: @escaping @Sendable (String) -> Void
    ) {
        state = Mutex(State(style: style))
        levelIndex = Atomic(Self.index(of: level))
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
        level: Logger.Level = .info,
        environment: [String: String],
        clearsLine: Bool = false
    ) -> LogOutput {
        let isTerminal = isatty(STDERR_FILENO) == 1
        let colours =
            isTerminal && environment["TERM"] != "dumb" && (environment["NO_COLOR"] ?? "").isEmpty
        let prefix = isTerminal && clearsLine ? "\r\u{1b}[K" : ""
        let style = LogStyle(
            format: format,
            isColoured: colours,
            isJournal: standardErrorIsJournal(environment)
        )
        return LogOutput(style: style, level: level) {
            writeLine(prefix + $0, to: STDERR_FILENO)
        }
    }

    /// The least severe level that is written; a new one holds for all loggers at once.
    public var level: Logger.Level {
        get { Logger.Level.allCases[levelIndex.load(ordering: .relaxed)] }
        set { levelIndex.store(Self.index(of: newValue), ordering: .relaxed) }
    }

    /// The shape of the lines; a new one holds from the next line on.
    public var format: LogFormat {
        get { state.withLock { $0.style.format } }
        set {
            state.withLock { state in
                guard newValue != state.style.format else { return }
                // What is held back is written as it was made.
                tell(state.folding.all(), in: state.style)
                state.style.format = newValue
            }
        }
    }

    /// Writes out what is held back; to be called before the process ends.
    public func flush() {
        state.withLock { tell($0.folding.all(), in: $0.style) }
    }

    /// Writes out what has been held back for long enough; to be called every few seconds.
    public func tick() {
        let time = now()
        state.withLock { tell($0.folding.due(at: time.unixMilliseconds), in: $0.style) }
    }

    func write(_ entry: LogEntry) {
        let time = now()
        // The lock is held while writing, so that lines stand in the order of their times.
        state.withLock { state in
            tell(state.folding.due(at: time.unixMilliseconds), in: state.style)
            let body = state.style.body(entry)
            let line = LogFolding.Line(text: body, at: time.unixMilliseconds)
            if let kind = entry.kind(line: body.text), !state.folding.admits(line, of: kind) {
                return
            }
            sink(state.style.line(body, at: time))
        }
    }

    private func tell(_ lines: [LogFolding.Told], in style: LogStyle) {
        for told in lines {
            sink(style.line(told.line.text, at: now(), repeated: told))
        }
    }

    private static func index(of level: Logger.Level) -> Int {
        Logger.Level.allCases.firstIndex(of: level) ?? 0
    }

    /// Lines for standard error that are no entries of a log, each with an error's priority where
    /// they go into the journal.
    public static func marked(_ text: String, in environment: [String: String]) -> String {
        guard standardErrorIsJournal(environment) else { return text }
        return text.split(separator: "\n", omittingEmptySubsequences: true)
            .map { "<\(Logger.Level.error.journalPriority)>\($0)\n" }.joined()
    }

    /// Whether standard error leads into the journal.
    static func standardErrorIsJournal(_ environment: [String: String]) -> Bool {
        isJournal(environment["JOURNAL_STREAM"], descriptor: STDERR_FILENO)
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
