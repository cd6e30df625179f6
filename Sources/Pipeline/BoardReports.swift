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
    /// Shows which tables are followed, and from where.
    func show(beginningOfStream checkpoint: Checkpoint) {
        let tables = checkpoint.relations.map(\.qualifiedName).sorted()
        update { status in
            status.stream.tables = tables
            status.stream.durableLSN = checkpoint.position.description
        }
    }

    /// Shows how far the snapshot of a table is.
    func update(_ progress: SnapshotProgress) {
        let state: TaskStatus.Snapshot.Table.State =
            switch progress.state {
            case .waiting: .waiting
            case .copying: .copying
            case .done: .done
            }
        show(
            TaskStatus.Snapshot.Table(
                table: progress.table,
                state: state,
                // The server's zero stands for a table that was never analyzed.
                rowsEstimated: progress.rowsEstimated > 0
                    ? Int(clamping: progress.rowsEstimated) : nil,
                rowsCopied: Int(clamping: progress.rowsCopied),
                bytesCopied: Int(clamping: progress.bytesCopied)
            )
        )
    }
}
