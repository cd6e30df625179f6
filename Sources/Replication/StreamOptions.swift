// SPDX-License-Identifier: Apache-2.0
//
// What a stream is read with, and how its reading ends.

public import ChangeModel

/// What a stream is read with.
public struct StreamOptions: Sendable {
    /// The slot's name.
    public var slot: String
    /// The publication's name.
    public var publication: String
    /// The server that the slot and the position are of; `nil` takes any.
    public var primary: Primary?
    /// How many changes a batch holds at most.
    public var batchRows: Int
    /// How many bytes of values close a batch.
    public var batchBytes: Int
    /// How long a change may wait for others before its batch is closed.
    public var batchDelay: Duration
    /// Bounds that may be set anew while the stream is read, in the place of these three.
    public var liveLimits: LiveBatchLimits?
    /// Ends the reading once exactly what was committed before this position is durable.
    ///
    /// `nil` reads on.
    public var until: LSN?
    /// How often the server is told that we live; a third of wal_sender_timeout at most.
    public var statusInterval: Duration
    /// How often a position without changes is made durable, so that an idle slot moves on.
    public var idleAdvance: Duration = .seconds(1)
    /// How long the server may send nothing; from a third of it on it is asked for an answer.
    public var silenceLimit: Duration = .seconds(60)
    /// Whether a silence of more than that has a reason: a walsender that decodes a large
    /// transaction of which nothing is published answers nobody meanwhile.
    public var isSilenceExplained: @Sendable () -> Bool = { false }
    /// How long a stop may take to bring what was received to the sink.
    public var drainLimit: Duration = .seconds(10)

    /// Creates options.
    public init(
        slot: String,
        publication: String,
        batchRows: Int,
        batchBytes: Int,
        batchDelay: Duration,
        until: LSN?,
        statusInterval: Duration
    ) {
        self.slot = slot
        self.publication = publication
        self.batchRows = batchRows
        self.batchBytes = batchBytes
        self.batchDelay = batchDelay
        self.until = until
        self.statusInterval = statusInterval
    }
}

/// Why a stream ended without an error.
public enum StreamEnding: Sendable {
    /// Everything before `StreamOptions.until` is durable, unless a stop came in between.
    case reachedUntil
    /// A stop was requested.
    case stopped
}
