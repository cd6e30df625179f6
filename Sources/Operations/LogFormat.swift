// SPDX-License-Identifier: Apache-2.0
//
// How an entry looks, without the line end:
//
//   text     2026-01-02T03:04:05.678Z info  message key=value
//   json     {"time":"…","level":"info","message":"message","key":"value"}
//   journal  either of them behind <N>, the text without its time, which journald has
//
// Keys of metadata stand in order; one that would hide a key of ours gets a "_" behind. A line has
// a bound: a member that does not fit is left out and "cut" says so; JSON stays JSON.

import ChangeModel
import Logging
import Pipeline

/// The shape of a log line.
public enum LogFormat: String, Sendable, CaseIterable {
    /// For people.
    case text
    /// For programs: one JSON object a line.
    case json
}

/// Turns entries into lines.
struct LogStyle: Sendable {
    /// A line without what differs when the same is said again.
    struct Body: Sendable, Equatable {
        var level: Logger.Level
        var text: String
    }

    /// Bytes of a line; a journal takes 48 KiB of one, a pipe less at once.
    static let lineLimit = 32 << 10

    var format: LogFormat
    var isColoured = false
    var isJournal = false

    /// The whole line.
    func line(_ body: Body, at time: UTCTimestamp, repeated: LogFolding.Told? = nil) -> String {
        let prefix = isJournal ? "<\(body.level.journalPriority)>" : ""
        switch format {
        case .text:
            let tail = repeated.map { told in
                " (\(Prose.count(told.count, "more time")) in "
                    + "\(Prose.time(milliseconds: told.span)), last at \(told.lastTime))"
            }
            return prefix + (isJournal ? "" : "\(time) \(painted(body.level)) ") + body.text
                + (tail ?? "")
        case .json:
            let tail = repeated.map { told in
                ",\"repeated\":\(told.count),\"repeatedMilliseconds\":\(told.span)"
                    + ",\"lastTime\":\"\(told.lastTime)\""
            }
            return prefix + "{\"time\":\"\(time)\",\"level\":\"\(body.level.rawValue)\","
                + body.text + (tail ?? "") + "}"
        }
    }

    /// What the entry says.
    func body(_ entry: LogEntry) -> Body {
        Body(level: entry.level, text: format == .text ? text(entry) : json(entry))
    }

    private func text(_ entry: LogEntry) -> String {
        var members = entry.metadata
        members["figures"] = nil
        // The message has it.
        members["phase"] = nil
        let message = LogText.fitting(entry.message, \.shown)
        return Self.joined(message, members.sorted { $0.key < $1.key }, cut: " cut=true") {
            " \($0.key.shown)=\(Self.value($0.value))"
        }
    }

    private func json(_ entry: LogEntry) -> String {
        var members = entry.metadata
        if case .dictionary(let figures) = members.removeValue(forKey: "figures") {
            members.merge(figures) { own, _ in own }
        }
        let message = "\"message\":" + LogText.fitting(entry.message, LogText.json)
        return Self.joined(message, members.sorted { $0.key < $1.key }, cut: ",\"cut\":true") {
            let name = Self.reserved.contains($0.key) ? $0.key + "_" : $0.key
            return ",\(LogText.json(name)):\(Self.json($0.value))"
        }
    }

    private static let reserved: Set<String> = [
        "time", "level", "message", "repeated", "repeatedMilliseconds", "lastTime", "cut",
    ]

    /// The message and as many members as the line has room for.
    private static func joined(
        _ message: String,
        _ members: [Logger.Metadata.Element],
        cut: String,
        member: (Logger.Metadata.Element) -> String
    ) -> String {
        var line = message
        var isCut = false
        for entry in members {
            let text = member(entry)
            if line.utf8.count + text.utf8.count > lineLimit - 256 {
                isCut = true
            } else {
                line += text
            }
        }
        return isCut ? line + cut : line
    }

    private func painted(_ level: Logger.Level) -> String {
        let name = level.shortName
        let text = name + String(repeating: " ", count: max(0, 5 - name.utf8.count))
        guard isColoured, let colour = level.colour else { return text }
        return "\u{1b}[\(colour)m\(text)\u{1b}[0m"
    }

    private static func value(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text): LogText.fitting(text, LogText.value)
        case .stringConvertible(let object): LogText.fitting(object.description, LogText.value)
        case .dictionary, .array: json(value)
        }
    }

    private static func json(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text):
            return LogText.fitting(text, LogText.json)
        case .stringConvertible(let number as Int):
            return String(number)
        case .stringConvertible(let number as Double) where number.isFinite:
            return "\(number)"
        case .stringConvertible(let flag as Bool):
            return String(flag)
        case .stringConvertible(let object):
            return LogText.fitting(object.description, LogText.json)
        case .array(let values):
            return "[" + values.map(json).joined(separator: ",") + "]"
        case .dictionary(let values):
            let members = values.sorted { $0.key < $1.key }
                .map { LogText.json($0.key) + ":" + json($0.value) }
            return "{" + members.joined(separator: ",") + "}"
        }
    }
}

extension Logger.Level {
    /// At most five letters, so that messages begin in one column.
    fileprivate var shortName: String {
        switch self {
        case .trace: "trace"
        case .debug: "debug"
        case .info: "info"
        case .notice: "note"
        case .warning: "warn"
        case .error: "error"
        case .critical: "crit"
        }
    }

    /// The priority of syslog(3), which journald reads from `<N>`.
    var journalPriority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    fileprivate var colour: Int? {
        switch self {
        case .trace, .debug: 2
        case .info: 32
        case .notice: 36
        case .warning: 33
        case .error, .critical: 31
        }
    }
}
