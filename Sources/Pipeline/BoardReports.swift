// SPDX-License-Identifier: Apache-2.0
//
// From what the rooms below report to what the status shows.

import ChangeModel
import Sink
import Snapshot

extension TaskRunner {
    func publish(_ statistics: SinkStatistics) {
        board.update { status in
            for (name, value) in statistics.details {
                status.sink.details[name] = Int(value).map { .number($0) } ?? .text(value)
            }
            status.sink.details["bytesWritten"] = .number(Int(clamping: statistics.bytesWritten))
            status.sink.details["commits"] = .number(Int(clamping: statistics.commits))
        }
    }
}

extension StatusBoard {
    /// Shows how far the snapshot of a table is.
    func update(_ progress: SnapshotProgress) {
        let state: TaskStatus.Snapshot.Table.State =
            switch progress.state {
            case .waiting: .waiting
            case .copying: .copying
            case .done: .done
            }
        let row = TaskStatus.Snapshot.Table(
            table: progress.table,
            state: state,
            rowsEstimated: Int(clamping: progress.rowsEstimated),
            rowsCopied: Int(clamping: progress.rowsCopied),
            bytesCopied: Int(clamping: progress.bytesCopied)
        )
        update { status in
            if let index = status.snapshot.tables.firstIndex(where: {
                ExactText($0.table) == ExactText(row.table)
            }) {
                status.snapshot.tables[index] = row
            } else {
                status.snapshot.tables.append(row)
            }
        }
    }
}
