// SPDX-License-Identifier: Apache-2.0
//
// The target was not as the stream expects it: somebody else writes to it, or wrote before. What
// is counted for every row is said once a table, after the work that found it was taken.

import ChangeModel
import Logging

/// Warnings that are said once a table.
struct SurpriseWarnings {
    private enum Surprise: Hashable {
        case overwritten
        case restored
        case missed
        case deadLetter
    }

    private struct Subject: Hashable {
        var table: String
        var surprise: Surprise
    }

    private var told: Set<Subject> = []
    private var untold: [(Subject, Logger.Message)] = []

    /// Compares what was counted before and after the changes of a table.
    mutating func note(_ table: TargetTable, _ former: ApplyCounts, _ counts: ApplyCounts) {
        if counts.overwritten > former.overwritten {
            add(
                table,
                .overwritten,
                "rows that the source inserts are there already and are overwritten"
            )
        }
        if counts.restored > former.restored {
            add(
                table,
                .restored,
                "rows that the source updates are not there and are inserted"
            )
        }
        if counts.missed > former.missed {
            add(table, .missed, "rows that the source deletes are not there")
        }
    }

    /// Takes the first refused change of a table.
    mutating func noteDeadLetter(_ table: TargetTable, _ error: WalrelayError) {
        add(table, .deadLetter, "a change goes to walrelay.dead_letter: \(error.message)")
    }

    /// How many are noted and not said yet.
    var untoldCount: Int { untold.count }

    /// Forgets what was noted behind the first `count`: it is rolled back.
    mutating func forget(behind count: Int) {
        untold.removeLast(max(0, untold.count - count))
    }

    /// Says what was noted.
    mutating func tell(_ logger: Logger) {
        for (subject, message) in untold where told.insert(subject).inserted {
            logger.warning(message, metadata: ["table": "\(subject.table)"])
        }
        untold.removeAll()
    }

    private mutating func add(
        _ table: TargetTable,
        _ surprise: Surprise,
        _ message: Logger.Message
    ) {
        let subject = Subject(table: "\(table.schema).\(table.name)", surprise: surprise)
        guard !told.contains(subject), !untold.contains(where: { $0.0 == subject })
        else { return }
        untold.append((subject, message))
    }
}
