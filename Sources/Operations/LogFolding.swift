// SPDX-License-Identifier: Apache-2.0
//
// What was said of late, so that trouble that goes on does not fill the disk and hide the rest.
// The first lines of a kind are shown at once; further ones are counted, and told as one line once
// there were none for a while, or the time is over and they still come:
//
//   12:00:00 cannot connect       12:10:00 cannot connect (20 more times in 10 min)   …
//            └─ shown ──── counted ─────────┘
//
// Pure: times are passed in, lines come back.

import Pipeline

/// The memory of what repeats itself; of bounded size.
struct LogFolding: Sendable {
    /// A line as it was shown, or would have been.
    struct Line: Sendable, Equatable {
        var text: LogStyle.Body
        var at: Int64
    }

    /// Lines that were counted only, told by the last of them.
    struct Told: Sendable, Equatable {
        var line: Line
        /// How many there were, at least 1.
        var count: Int
        /// The time in which they came, in milliseconds.
        var span: Int64

        var lastTime: UTCTimestamp { UTCTimestamp(unixMilliseconds: line.at) }
    }

    private struct Group: Sendable {
        var shown: [String]
        var since: Int64
        var last: Line
        /// Which of all lines that was: times alone may be equal, or set back.
        var order: Int
        var held = 0
    }

    /// How long repetitions are counted before they are told, in milliseconds.
    static let window: Int64 = 600_000
    /// After so much silence the next one is news, in milliseconds; longer than any wait between
    /// two attempts.
    static let quiet: Int64 = 90_000
    /// Kinds that are remembered at once; of more the one that was silent longest is told and
    /// forgotten.
    static let kindLimit = 32

    private var groups: [String: Group] = [:]
    private var lineCount = 0

    /// Whether the line is to be shown; if not, it is counted.
    mutating func admits(_ line: Line, of kind: LogEntry.Kind) -> Bool {
        lineCount += 1
        guard var group = groups[kind.name] else {
            groups[kind.name] = Group(
                shown: [line.text.text],
                since: line.at,
                last: line,
                order: lineCount
            )
            return true
        }
        defer { groups[kind.name] = group }
        (group.last, group.order) = (line, lineCount)
        let isRepeated = kind.foldsEqual && group.shown.contains(line.text.text)
        if !isRepeated, group.shown.count < kind.limit {
            group.shown.append(line.text.text)
            return true
        }
        group.held += 1
        return false
    }

    /// Takes what is to be told by now, the oldest first.
    mutating func due(at now: Int64) -> [Told] {
        var told: [Told] = []
        for (name, var group) in groups {
            // A clock that is set back ends what it makes last for ever.
            let isQuiet = !(0..<Self.quiet).contains(now - group.last.at)
            guard isQuiet || now - group.since >= Self.window else { continue }
            if let line = Self.told(group) { told.append(line) }
            group.held = 0
            group.since = now
            groups[name] = isQuiet ? nil : group
        }
        while groups.count > Self.kindLimit,
            let oldest = groups.min(by: { $0.value.order < $1.value.order })
        {
            if let line = Self.told(oldest.value) { told.append(line) }
            groups[oldest.key] = nil
        }
        return told.sorted { $0.line.at < $1.line.at }
    }

    /// Takes everything that was counted, and forgets.
    mutating func all() -> [Told] {
        defer { groups = [:] }
        return groups.values.compactMap(Self.told).sorted { $0.line.at < $1.line.at }
    }

    private static func told(_ group: Group) -> Told? {
        guard group.held > 0 else { return nil }
        return Told(line: group.last, count: group.held, span: max(0, group.last.at - group.since))
    }
}
