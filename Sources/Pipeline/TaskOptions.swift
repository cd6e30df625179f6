// SPDX-License-Identifier: Apache-2.0

public import ChangeModel
public import LibPQ
public import Replication

/// What a task is run with.
public struct TaskOptions: Sendable {
    /// Whether existing rows are copied.
    public enum SnapshotMode: Sendable {
        /// Once, before the stream.
        case initial
        /// Never: changes from now on, or from where an existing slot stands.
        case never
        /// Once, and no stream after it.
        case only
    }

    /// Where a run ends by itself.
    public enum Until: Sendable, Equatable {
        /// At the server's position when the run starts.
        case now
        /// At a position.
        case lsn(LSN)
    }

    /// The task's name.
    public var task: String
    /// How the source is reached.
    public var source: ConnectionParameters
    /// Which tables are taken.
    public var tables: TableSelection
    /// Whether existing rows are copied.
    public var snapshot: SnapshotMode = .initial
    /// How many connections copy tables.
    public var snapshotWorkers = 4
    /// How much WAL the slot may hold back.
    public var budget = SlotBudget()
    /// Whether a new snapshot is taken where the checkpoint and the slot do not fit.
    public var resnapshot = false
    /// What is done about changes that cannot be followed.
    public var policy = StreamPolicy()
    /// How many changes a batch holds at most.
    public var batchRows = 10_000
    /// How many bytes of values close a batch.
    public var batchBytes = 8 << 20
    /// How long a change may wait for others.
    public var batchDelay: Duration = .milliseconds(100)
    /// How long an unreachable source or sink is retried; `nil` is for ever.
    public var retryFor: Duration? = .seconds(600)
    /// Where the run ends by itself.
    public var until: Until?
    /// Whether the slot is marked to be copied to standby servers; from 17 on.
    public var failover = false

    /// Whether the run waits without an end for another daemon's: not where it has one of its own.
    var mayStandBy: Bool { until == nil && snapshot != .only }
    /// The slot's name.
    public var slot: String { Slot.name(task: task) }
    /// The publication's name.
    public var publication: String { Publication.name(task: task) }

    /// Creates options with the defaults of the settings.
    public init(task: String, source: ConnectionParameters, tables: TableSelection) {
        self.task = task
        self.source = source
        self.tables = tables
    }
}
