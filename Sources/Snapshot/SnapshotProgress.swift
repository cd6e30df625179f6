// SPDX-License-Identifier: Apache-2.0
//
// What is left to copy and how far each table is: the one place that the workers share. They come
// here once a chunk and once a batch, never for a row.

import ChangeModel
import Synchronization

/// How far the copying of one table is.
public struct SnapshotProgress: Sendable, Equatable {
    /// What is going on with a table.
    public enum State: String, Sendable {
        /// No worker has come to it yet.
        case waiting
        /// At least one chunk was begun and not all have ended.
        case copying
        /// All rows were delivered.
        case done
    }

    /// `schema.name`, for people.
    public var table: String
    /// What is going on.
    public var state: State
    /// The server's own estimate; 0 where the table was never analyzed.
    public var rowsEstimated: Int64
    /// Rows delivered.
    public var rowsCopied: Int64
    /// Bytes of COPY delivered.
    public var bytesCopied: Int64
}

/// The chunks that are left and the progress of the tables.
final class ChunkLedger: Sendable {
    private struct State {
        var next = 0
        var tables: [SnapshotProgress]
        var chunksLeft: [Int]
    }

    private let chunks: [SnapshotChunk]
    private let state: Mutex<State>
    private let report: @Sendable (SnapshotProgress) -> Void

    init(
        _ plan: SnapshotPlan,
        of tables: [SnapshotTable],
        report: @escaping @Sendable (SnapshotProgress) -> Void
    ) {
        var chunksLeft = [Int](repeating: 0, count: tables.count)
        for chunk in plan.chunks { chunksLeft[chunk.table] += 1 }
        let progress = tables.enumerated().map { index, table in
            SnapshotProgress(
                table: table.relation.relation.qualifiedName,
                state: chunksLeft[index] == 0 ? .done : .waiting,
                rowsEstimated: table.estimatedRows,
                rowsCopied: 0,
                bytesCopied: 0
            )
        }
        chunks = plan.chunks
        state = Mutex(State(tables: progress, chunksLeft: chunksLeft))
        self.report = report
        progress.forEach(report)
    }

    /// The next chunk to copy; `nil` where none is left.
    func take() -> SnapshotChunk? {
        state.withLock { state in
            guard state.next < chunks.count else { return nil }
            let chunk = chunks[state.next]
            state.next += 1
            if state.tables[chunk.table].state == .waiting {
                state.tables[chunk.table].state = .copying
                report(state.tables[chunk.table])
            }
            return chunk
        }
    }

    /// Counts what was delivered of a table.
    func delivered(table: Int, rows: Int, bytes: Int) {
        state.withLock { state in
            state.tables[table].rowsCopied += Int64(rows)
            state.tables[table].bytesCopied += Int64(bytes)
            // Under the lock, so that the reports of a table never go back.
            report(state.tables[table])
        }
    }

    /// Takes note that a chunk was copied and delivered to its end.
    func finished(_ chunk: SnapshotChunk) {
        state.withLock { state in
            state.chunksLeft[chunk.table] -= 1
            guard state.chunksLeft[chunk.table] == 0 else { return }
            state.tables[chunk.table].state = .done
            report(state.tables[chunk.table])
        }
    }
}
