// SPDX-License-Identifier: Apache-2.0
//
// What a running task says of itself: the document served on /status, key by key. It is a plain
// value; StatusBoard holds the living one. LSNs are text ("16/B374D848"), and what is not known is
// encoded as null, never left out, so that a reader can tell "unknown" from "misspelled".

import ChangeModel

/// A running task as `/status` shows it.
public struct TaskStatus: Sendable, Codable, Equatable {
    /// What the task is doing.
    public enum Phase: String, Sendable, Codable, CaseIterable {
        /// Waits for the end of another daemon that runs the task; see ``TaskStatus/standby``.
        case standby
        /// Looks at the prerequisites.
        case checking
        /// Copies the tables' existing rows.
        case snapshotting
        /// Follows the stream of changes.
        case streaming
        /// Has lost the server or the sink and tries again.
        case reconnecting
        /// Drains what is in flight after a request to stop.
        case stopping
        /// Ended by an error that no retry mends; see ``TaskStatus/lastError``.
        case failed
    }

    /// The task's name, from the settings.
    public var task: String
    /// What the task is doing.
    public var phase: Phase
    /// Whose end is waited for; nil in every phase but standby.
    public var standby: Standby?
    /// The version of walrelay.
    public var version: String
    /// The server and the objects in it.
    public var source: Source
    /// The initial copy.
    public var snapshot: Snapshot
    /// The stream of changes.
    public var stream: Stream
    /// Where the changes go.
    public var sink: Sink
    /// The certificates that the connections to PostgreSQL rest on, as they were last seen; nil
    /// until they were looked at.
    public var certificates: [Certificate]?
    /// The last error, mended or not; nil when there has been none.
    public var lastError: Failure?
    /// What stands to be looked at, the oldest first; at most 32.
    public var warnings: [Warning]
    /// The errors of late, the newest first, each once with its count; at most 10.
    public var recentErrors: [RecentError]
    /// When the process began, as ISO 8601 in UTC with milliseconds.
    public var startedAt: String?
    /// Seconds since then.
    public var uptimeSeconds: Int?

    /// Creates the status of a task that has just begun.
    public init(task: String, version: String, sinkKind: String) {
        self.task = task
        self.phase = .checking
        self.standby = nil
        self.version = version
        self.source = Source()
        self.snapshot = Snapshot()
        self.stream = Stream()
        self.sink = Sink(kind: sinkKind)
        self.certificates = nil
        self.lastError = nil
        self.warnings = []
        self.recentErrors = []
    }

    private enum CodingKeys: String, CodingKey {
        case task, phase, version, source, snapshot, stream, sink, certificates, lastError
        case warnings, recentErrors, startedAt, uptimeSeconds, standby
    }

    /// Decodes a status; what a daemon of an earlier version does not say is as if unknown.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        task = try container.decode(String.self, forKey: .task)
        phase = try container.decode(Phase.self, forKey: .phase)
        standby = try container.decodeIfPresent(Standby.self, forKey: .standby)
        version = try container.decode(String.self, forKey: .version)
        source = try container.decode(Source.self, forKey: .source)
        snapshot = try container.decode(Snapshot.self, forKey: .snapshot)
        stream = try container.decode(Stream.self, forKey: .stream)
        sink = try container.decode(Sink.self, forKey: .sink)
        certificates = try container.decodeIfPresent([Certificate].self, forKey: .certificates)
        lastError = try container.decodeIfPresent(Failure.self, forKey: .lastError)
        warnings = try container.decodeIfPresent([Warning].self, forKey: .warnings) ?? []
        recentErrors =
            try container.decodeIfPresent([RecentError].self, forKey: .recentErrors) ?? []
        startedAt = try container.decodeIfPresent(String.self, forKey: .startedAt)
        uptimeSeconds = try container.decodeIfPresent(Int.self, forKey: .uptimeSeconds)
    }

    /// Encodes every key, what there is not as null.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(task, forKey: .task)
        try container.encode(phase, forKey: .phase)
        try container.encode(standby, forKey: .standby)
        try container.encode(version, forKey: .version)
        try container.encode(source, forKey: .source)
        try container.encode(snapshot, forKey: .snapshot)
        try container.encode(stream, forKey: .stream)
        try container.encode(sink, forKey: .sink)
        try container.encode(certificates, forKey: .certificates)
        try container.encode(lastError, forKey: .lastError)
        try container.encode(warnings, forKey: .warnings)
        try container.encode(recentErrors, forKey: .recentErrors)
        try container.encode(startedAt, forKey: .startedAt)
        try container.encode(uptimeSeconds, forKey: .uptimeSeconds)
    }
}

extension TaskStatus {
    /// The server and the task's objects in it.
    public struct Source: Sendable, Codable, Equatable {
        /// `server_version` as the server words it, such as "15.18".
        public var serverVersion: String?
        /// The cluster's system identifier, as text since it exceeds what JavaScript can count.
        public var systemIdentifier: String?
        /// The replication slot's name.
        public var slot: String?
        /// The publication's name.
        public var publication: String?
        /// The end of the server's WAL when it was last asked.
        public var walLSN: String?
        /// The slot's `restart_lsn`: WAL from here on is kept for it.
        public var restartLSN: String?
        /// The slot's `confirmed_flush_lsn`: what the server knows to be durable in the sink.
        public var confirmedFlushLSN: String?
        /// Bytes of WAL from the confirmed position to the end of WAL.
        public var lagBytes: Int?
        /// Bytes of WAL that the server keeps because of the slot.
        public var retainedBytes: Int?
        /// The slot's `wal_status`: reserved, extended, unreserved or lost (13 and later).
        public var walStatus: String?
        /// How what the slot holds back stands to the bounds; nil until it was looked at.
        public var retention: Retention?

        /// Creates a source of which nothing is known yet.
        public init() {}

        /// Encodes every key, unknown values as null.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(serverVersion, forKey: .serverVersion)
            try container.encode(systemIdentifier, forKey: .systemIdentifier)
            try container.encode(slot, forKey: .slot)
            try container.encode(publication, forKey: .publication)
            try container.encode(walLSN, forKey: .walLSN)
            try container.encode(restartLSN, forKey: .restartLSN)
            try container.encode(confirmedFlushLSN, forKey: .confirmedFlushLSN)
            try container.encode(lagBytes, forKey: .lagBytes)
            try container.encode(retainedBytes, forKey: .retainedBytes)
            try container.encode(walStatus, forKey: .walStatus)
            try container.encode(retention, forKey: .retention)
        }
    }

    /// The initial copy, table by table; no tables when none is made.
    public struct Snapshot: Sendable, Codable, Equatable {
        /// The tables in the order in which they are copied.
        public var tables: [Table]
        /// Rows read a second over the last minute, of all tables; nil while nothing is copied.
        public var rowsPerSecond: Double?
        /// Seconds until the tables are copied at that rate, by the planner's estimates; nil where
        /// that cannot be said.
        public var secondsLeft: Int?

        /// Creates a snapshot of the given tables.
        public init(tables: [Table] = []) {
            self.tables = tables
        }

        /// Encodes every key, unknown values as null.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(tables, forKey: .tables)
            try container.encode(rowsPerSecond, forKey: .rowsPerSecond)
            try container.encode(secondsLeft, forKey: .secondsLeft)
        }

        /// How far the copy of one table is.
        public struct Table: Sendable, Codable, Equatable {
            /// Where the copy stands.
            public enum State: String, Sendable, Codable, CaseIterable {
                /// Not begun.
                case waiting
                /// Under way.
                case copying
                /// Complete and durable in the sink.
                case done
            }

            /// Schema and name, such as `public.orders`.
            public var table: String
            /// Where the copy stands.
            public var state: State
            /// The planner's estimate of the rows; nil when the table was never analyzed.
            public var rowsEstimated: Int?
            /// Rows read so far.
            public var rowsCopied: Int
            /// Bytes read so far.
            public var bytesCopied: Int
            /// Rows read a second over the last minute; nil unless the table is being copied.
            public var rowsPerSecond: Double?
            /// Seconds until the table is copied at that rate; nil where that cannot be said.
            public var secondsLeft: Int?

            /// Creates the progress of one table.
            public init(
                table: String,
                state: State = .waiting,
                rowsEstimated: Int? = nil,
                rowsCopied: Int = 0,
                bytesCopied: Int = 0
            ) {
                self.table = table
                self.state = state
                self.rowsEstimated = rowsEstimated
                self.rowsCopied = rowsCopied
                self.bytesCopied = bytesCopied
            }

            /// Encodes every key, an unknown estimate as null.
            public func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: CodingKeys.self)
                try container.encode(table, forKey: .table)
                try container.encode(state, forKey: .state)
                try container.encode(rowsEstimated, forKey: .rowsEstimated)
                try container.encode(rowsCopied, forKey: .rowsCopied)
                try container.encode(bytesCopied, forKey: .bytesCopied)
                try container.encode(rowsPerSecond, forKey: .rowsPerSecond)
                try container.encode(secondsLeft, forKey: .secondsLeft)
            }
        }
    }

    /// The stream of changes since the process began.
    public struct Stream: Sendable, Codable, Equatable {
        /// The tables that are followed, in alphabetical order; nil until the stream has begun.
        public var tables: [String]?
        /// The end of what was received from the server.
        public var receivedLSN: String?
        /// The position up to which the sink is durable.
        public var durableLSN: String?
        /// Changes made durable.
        public var changes: Int
        /// Transactions made durable.
        public var transactions: Int
        /// Changes a second over the last ten seconds.
        public var changesPerSecond: Double
        /// Milliseconds from a commit in the source to its being durable in the sink.
        public var lagMilliseconds: Int?

        /// How many tables are followed, and the names of the first few.
        public var tablesText: String? {
            tables.map { tables in
                Prose.count(tables.count, "table")
                    + (tables.isEmpty ? "" : ": \(Prose.list(tables))")
            }
        }

        /// Creates a stream in which nothing has flowed yet.
        public init() {
            self.changes = 0
            self.transactions = 0
            self.changesPerSecond = 0
        }

        /// Encodes every key, unknown values as null.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(tables, forKey: .tables)
            try container.encode(receivedLSN, forKey: .receivedLSN)
            try container.encode(durableLSN, forKey: .durableLSN)
            try container.encode(changes, forKey: .changes)
            try container.encode(transactions, forKey: .transactions)
            try container.encode(changesPerSecond, forKey: .changesPerSecond)
            try container.encode(lagMilliseconds, forKey: .lagMilliseconds)
        }
    }

    /// A certificate of a connection.
    public struct Certificate: Sendable, Codable, Equatable {
        /// Which of the task's two servers a connection leads to.
        public enum Server: String, Sendable, Codable, CaseIterable {
            /// Where the changes come from.
            case source
            /// Where a postgresql sink writes.
            case target
        }

        /// The server that the connection leads to.
        public var server: Server
        /// Whose it is: server, client or authority.
        public var certificate: String
        /// Whom it names.
        public var subject: String
        /// When it ceases to be valid, as ISO 8601 in UTC.
        public var notAfter: String
        /// The same in seconds since 1970-01-01 UTC.
        public var notAfterSeconds: Int64

        /// Creates an entry.
        public init(server: Server, certificate: String, subject: String, notAfterSeconds: Int64) {
            self.server = server
            self.certificate = certificate
            self.subject = subject
            self.notAfterSeconds = notAfterSeconds
            let (milliseconds, overflow) = notAfterSeconds.multipliedReportingOverflow(by: 1000)
            notAfter = UTCTimestamp(unixMilliseconds: overflow ? .max : milliseconds).description
        }
    }

    /// The last error as the operator sees it.
    public struct Failure: Sendable, Codable, Equatable {
        /// The error's stable dotted code.
        public var code: String
        /// What failed.
        public var message: String
        /// What to do next; empty where there is nothing to propose.
        public var hint: String
        /// When, as ISO 8601 in UTC with milliseconds.
        public var at: String

        /// Creates a record of an error.
        public init(code: String, message: String, hint: String, at: String) {
            self.code = code
            self.message = message
            self.hint = hint
            self.at = at
        }
    }
}
