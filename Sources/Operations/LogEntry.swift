// SPDX-License-Identifier: Apache-2.0
//
// One entry of the log, and which entries are the same thing said again. An entry says so by its
// metadata, so that whoever logs need not count:
//
//   code     a stable name of the trouble: what has one folds with others of that name
//   phase    the phase that the task has entered
//   figures  numbers that the message says in words: for programs, left out for people

import Logging

/// One entry, its metadata merged.
struct LogEntry: Sendable, Equatable {
    var level: Logger.Level
    var message: String
    var metadata: Logger.Metadata
}

extension LogEntry {
    /// What folds together.
    struct Kind: Sendable, Equatable {
        /// The name under which repetitions are counted.
        var name: String
        /// Lines of this kind that are shown before further ones are only counted, at least 1.
        var limit: Int
        /// Whether an entry that says just what another has said is a repetition whatever the
        /// limit.
        var foldsEqual: Bool
    }

    /// How the entry is folded; nil where each stands for itself.
    ///
    /// `line` is how it looks, so that a repetition of it is known by that.
    func kind(line: String) -> Kind? {
        // The last line of a process, and what was asked for in order to see everything.
        guard level >= .info, metadata["exit"] == nil else { return nil }
        if let code = metadata["code"] {
            // The same trouble may be worded differently: of another table, by another session.
            return Kind(name: "\(level) \(code)", limit: 4, foldsEqual: true)
        }
        if let phase = metadata["phase"] {
            return Kind(name: "phase \(phase)", limit: 6, foldsEqual: false)
        }
        return level >= .warning ? Kind(name: line, limit: 1, foldsEqual: true) : nil
    }
}
