// SPDX-License-Identifier: Apache-2.0
//
// What is left to copy and how far each table is: the one place that the workers share. They come
// here once a chunk and once a batch, never for a row.

import ChangeModel
import LibPQ
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

    /// Creates a table's progress.
    public init(
        table: String,
        state: State,
        rowsEstimated: Int64,
        rowsCopied: Int64,
        bytesCopied: Int64
    ) {
        self.table = table
        self.state = state
        self.rowsEstimated = rowsEstimated
        self.rowsCopied = rowsCopied
        self.bytesCopied = bytesCopied
    }
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
                rowsCopied: table.copy.rows,
                bytesCopied: table.copy.bytes
            )
        }
        chunks = plan.chunks
        state = Mutex(State(tables: progress, chunksLeft: chunksLeft))
        self.report = report
        progress.forEach(report)
    }

    /// The next chunk to copy; `nil` where none is left.
    ///
    /// Blocks while `mayBegin` says no.
    ///
    /// Throws `stopped` once `ending` is requested meanwhile.
    func take(
        unless ending: StopSignal,
        mayBegin: () -> Bool
    ) throws(WalrelayError) -> SnapshotChunk? {
        while true {
            let (chunk, isHeld) = offer(mayBegin)
            guard isHeld else { return chunk }
            if ending.sleep(for: .milliseconds(10)) {
                throw WalrelayError("stopped", exit: .success, "the snapshot was stopped")
            }
        }
    }

    private func offer(_ mayBegin: () -> Bool) -> (chunk: SnapshotChunk?, isHeld: Bool) {
        state.withLock { state in
            guard state.next < chunks.count else { return (nil, false) }
            let chunk = chunks[state.next]
            let isFirst = state.tables[chunk.table].state == .waiting
            if isFirst, !chunk.isResumable, !mayBegin() { return (nil, true) }
            state.next += 1
            if isFirst {
                state.tables[chunk.table].state = .copying
                report(state.tables[chunk.table])
            }
            return (chunk, false)
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
    ///
    /// Returns the rows and bytes of a table that is whole with it and was not until now, not even
    /// in part.
    func finished(_ chunk: SnapshotChunk) -> (rows: Int64, bytes: Int64)? {
        state.withLock { state in
            state.chunksLeft[chunk.table] -= 1
            guard state.chunksLeft[chunk.table] == 0 else { return nil }
            state.tables[chunk.table].state = .done
            let table = state.tables[chunk.table]
            report(table)
            return chunk.isResumable ? nil : (table.rowsCopied, table.bytesCopied)
        }
    }
}
