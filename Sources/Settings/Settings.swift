// SPDX-License-Identifier: Apache-2.0
//
// The tree of settings, as the YAML file spells it: one struct a section, defaults beside their
// properties. Receives nothing; Loading.swift fills it. Promises: values, Sendable, comparable,
// and no password in any printed form.

public import ChangeModel

/// The settings of one task.
public struct Settings: Sendable, Equatable {
    /// The task's name, `[a-z0-9_]{1,55}`; names the slot and the publication.
    public var task: String
    /// The server that changes are read from.
    public var source: Connection
    /// Which tables are read; exact names come before patterns, else in the file's order.
    public var tables: TableSelection
    /// Where changes go.
    public var sink: Sink
    /// How the tables' present rows are copied.
    public var snapshot = Snapshot()
    /// How much WAL the slot may hold back in the source, and what becomes of it in a failover.
    public var slot = Slot()
    /// What the stream does about changes that need a decision.
    public var stream = Stream()
    /// When a batch is closed.
    public var batch = Batch()
    /// How values are spelled in events.
    public var format = ValueFormat()
    /// The status server.
    public var http = HTTP()
    /// The log.
    public var log = Log()
    /// How long an unreachable server or sink is retried.
    public var retry = Retry()
    /// What is allowed but unwise, one sentence each, for the operator.
    public var warnings: [String] = []

    /// Creates settings with the defaults for all that is not required.
    public init(task: String, source: Connection, tables: TableSelection, sink: Sink) {
        self.task = task
        self.source = source
        self.tables = tables
        self.sink = sink
    }
}

extension Settings {
    /// `snapshot`: how the tables' present rows are copied.
    public struct Snapshot: Sendable, Equatable {
        /// Whether there is a snapshot, and whether anything follows it.
        public enum Mode: String, Sendable, CaseIterable {
            /// Copy the present rows once, then stream.
            case initial
            /// Stream only.
            case never
            /// Copy the present rows, then stop.
            case only
        }

        /// Whether there is a snapshot.
        public var mode = Mode.initial
        /// How many connections copy at once, 1 to 64.
        public var workers = 4

        /// Creates the default section.
        public init() {}
    }

    /// `stream`: what is done about changes that need a decision.
    public struct Stream: Sendable, Equatable {
        /// What is done before a transaction whose DDL cannot be followed.
        public enum UnsupportedDDLPolicy: String, Sendable, CaseIterable {
            /// Stop before the transaction, exit 65.
            case stop
        }

        /// What is done about TRUNCATE.
        public enum TruncatePolicy: String, Sendable, CaseIterable {
            /// Stop before the transaction, exit 65.
            case stop
            /// Leave it out.
            case ignore
            /// Hand it to the sink.
            case apply
        }

        /// What is done before a transaction whose DDL cannot be followed.
        public var onUnsupportedDDL = UnsupportedDDLPolicy.stop
        /// What is done about TRUNCATE.
        public var onTruncate = TruncatePolicy.stop
        /// Positions whose unsupported DDL the operator has accepted.
        public var acceptDDL: [LSN] = []

        /// Creates the default section.
        public init() {}
    }

    /// `batch`: whichever bound is met first closes a batch.
    public struct Batch: Sendable, Equatable {
        /// Rows in a batch, 1 to 1 000 000.
        public var rows = 10_000
        /// Bytes in a batch, 64 KiB to 1 GiB.
        public var bytes = 8 << 20
        /// How long a change may wait for others, 0 to 60 s.
        public var delay = Duration.milliseconds(100)

        /// Creates the default section.
        public init() {}
    }

    /// `log`: how much is logged and in what form.
    public struct Log: Sendable, Equatable {
        /// The least level that is logged.
        public enum Level: String, Sendable, CaseIterable {
            /// Everything, each message of the protocol.
            case trace
            /// What a developer needs.
            case debug
            /// What an operator wants to know.
            case info
            /// What an operator should know.
            case notice
            /// What may become an error.
            case warning
            /// What went wrong.
            case error
        }

        /// The form of a line.
        public enum Format: String, Sendable, CaseIterable {
            /// For people.
            case text
            /// One JSON object a line.
            case json
        }

        /// The least level that is logged.
        public var level = Level.info
        /// The form of a line.
        public var format = Format.text

        /// Creates the default section.
        public init() {}
    }

    /// `retry`: how long an unreachable server or sink is retried.
    public struct Retry: Sendable, Equatable {
        /// How long before exit 75; zero never retries, nil retries forever.
        public var limit: Duration? = .seconds(600)

        /// Creates the default section.
        public init() {}
    }
}
