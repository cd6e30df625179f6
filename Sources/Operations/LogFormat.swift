// SPDX-License-Identifier: Apache-2.0
//
// How an entry looks, without the line end:
//
//   text     2026-01-02T03:04:05.678Z info  message key=value
//   json     {"ts":"…","level":"info","logger":"…","msg":"message","key":"value"}
//   journal  either of them behind <N>, the text without its time, which journald has
//
// Keys of metadata stand in order; one that would hide ts, level, logger or msg gets a "_" behind.

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

/// One entry, its metadata merged.
struct LogEntry: Sendable, Equatable {
    var level: Logger.Level
    var label: String
    var message: String
    var metadata: Logger.Metadata
}

/// Turns entries into lines.
struct LogStyle: Sendable {
    var format: LogFormat
    var isColoured = false
    var isJournal = false

    func line(_ entry: LogEntry, at time: UTCTimestamp, repeated: Int = 0) -> String {
        let prefix = isJournal ? "<\(entry.level.journalPriority)>" : ""
        switch format {
        case .text: return prefix + text(entry, time, repeated)
        case .json: return prefix + json(entry, time, repeated)
        }
    }

    private func text(_ entry: LogEntry, _ time: UTCTimestamp, _ repeated: Int) -> String {
        let name = entry.level.shortName
        let level = name + String(repeating: " ", count: max(0, 5 - name.utf8.count))
        var line = isJournal ? "" : "\(time) \(paint(level, entry.level)) "
        line += LogText.bounded(entry.message).shown
        if repeated > 0 { line += " (repeated \(repeated) times)" }
        for (key, value) in entry.metadata.sorted(by: { $0.key < $1.key }) {
            line += " \(key.shown)=\(Self.value(value))"
        }
        return line
    }

    private func paint(_ text: String, _ level: Logger.Level) -> String {
        guard isColoured, let colour = level.colour else { return text }
        return "\u{1b}[\(colour)m\(text)\u{1b}[0m"
    }

    private static func value(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text): LogText.value(LogText.bounded(text))
        case .stringConvertible(let object): LogText.value(LogText.bounded(object.description))
        case .dictionary, .array: json(value)
        }
    }

    private func json(_ entry: LogEntry, _ time: UTCTimestamp, _ repeated: Int) -> String {
        var line = "{\"ts\":\"\(time)\",\"level\":\"\(entry.level.rawValue)\""
        line += ",\"logger\":\(LogText.json(entry.label))"
        line += ",\"msg\":\(LogText.json(LogText.bounded(entry.message)))"
        if repeated > 0 { line += ",\"repeated\":\(repeated)" }
        for (key, value) in entry.metadata.sorted(by: { $0.key < $1.key }) {
            let name = Self.reserved.contains(key) ? key + "_" : key
            line += ",\(LogText.json(name)):\(Self.json(value))"
        }
        return line + "}"
    }

    private static let reserved: Set<String> = ["ts", "level", "logger", "msg", "repeated"]

    private static func json(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text):
            return LogText.json(LogText.bounded(text))
        case .stringConvertible(let number as Int):
            return String(number)
        case .stringConvertible(let flag as Bool):
            return String(flag)
        case .stringConvertible(let object):
            return LogText.json(LogText.bounded(object.description))
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
    fileprivate var journalPriority: Int {
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
