// SPDX-License-Identifier: Apache-2.0
//
// The options of a task that is running, which a reload may set anew. Who takes them when:
//
//   the next batch     rows, bytes, delay
//   the next failure   how long is retried
//   the next attempt   everything else; an attempt sees one set of options from its start to its
//                      end, so that no two parts of it ever disagree
//
// Where the tables or the decisions about the stream have changed, the stream that runs ends at
// the next transaction's end, as for a stop, and the next attempt begins it under the new ones.

public import ChangeModel
import Replication
import Synchronization

/// The options as they are now; shared by the runner and whoever reloads the settings.
public final class LiveOptions: Sendable {
    struct State {
        var options: TaskOptions
        /// Counts all changes.
        var version = 0
        /// Counts the changes of what a stream is begun with: tables, and decisions about changes.
        var streamVersion = 0
        /// Tables that are wanted once more.
        var asked: Set<TableName> = []
    }

    private let state: Mutex<State>
    /// The bounds of the stream's batches.
    let batchLimits: LiveBatchLimits

    /// Starts with these options.
    public init(_ options: TaskOptions) {
        state = Mutex(State(options: options))
        batchLimits = LiveBatchLimits(options.streamLimits)
    }

    /// The options as they are now.
    public var current: TaskOptions { state.withLock { $0.options } }

    /// The options, and how often they were changed.
    var snapshot: State { state.withLock { $0 } }

    /// Sets other options; task, source's database, snapshot mode and end stay as they were.
    public func replace(_ new: TaskOptions) {
        let limits = state.withLock { state in
            let old = state.options
            state.version += 1
            if new.tables != old.tables || new.policy != old.policy { state.streamVersion += 1 }
            state.options = new
            (state.options.task, state.options.snapshot) = (old.task, old.snapshot)
            (state.options.until, state.options.resnapshot) = (old.until, old.resnapshot)
            return state.options.streamLimits
        }
        if limits != batchLimits.current { batchLimits.replace(limits) }
    }

    /// Has tables copied once more, beside the stream.
    ///
    /// False, and nothing is noted, where more wait already than one request may name.
    public func ask(for tables: [TableName]) -> Bool {
        state.withLock { state in
            let asked = state.asked.union(tables)
            guard asked.count <= [TableName].wishLimit else { return false }
            state.asked = asked
            return true
        }
    }

    /// Whether somebody has asked for tables.
    var hasAsked: Bool { state.withLock { !$0.asked.isEmpty } }

    /// The tables that were asked for.
    var asked: Set<TableName> { state.withLock { $0.asked } }

    /// Forgets tables that were asked for, once that is noted elsewhere.
    func forget(_ noted: Set<TableName>) {
        state.withLock { $0.asked.subtract(noted) }
    }

    /// Puts former tables back, where none of the new ones is there.
    func keep(_ tables: TableSelection) {
        state.withLock { state in
            state.options.tables = tables
            state.streamVersion += 1
        }
    }
}

extension TaskOptions {
    /// What a single batch of the stream may hold.
    var streamLimits: BatchLimits {
        BatchLimits(
            rows: batchRows,
            bytes: max(64 << 10, batchBytes / StreamSession.batchesInFlight),
            delay: batchDelay
        )
    }
}
