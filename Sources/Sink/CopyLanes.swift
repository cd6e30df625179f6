// SPDX-License-Identifier: Apache-2.0
//
// The way past the batches: where a sink is a PostgreSQL itself, the rows of a snapshot go from
// COPY TO to COPY FROM as they are. Each of the snapshot's workers has a lane of its own.

public import ChangeModel

/// What makes a lane for each thread that copies; used from several threads at once.
public protocol CopyLanes: Sendable {
    /// Opens a lane; blocks while it connects, on the thread that will use it.
    ///
    /// The lane calls `keepWaiting` at least every second of each of its waits, from this one on;
    /// once that returns false it gives up and throws `WalrelayError` with the code `stopped`.
    /// Throws `WalrelayError`.
    func open(keepWaiting: @escaping @Sendable () -> Bool) throws -> any CopyLane
}

/// A way for rows of one thread, with a connection of its own.
///
/// `begin`, `take`… and `end` take one chunk of a table; what was not ended has left nothing. All
/// of it throws `WalrelayError`, and after a throw there is nothing to do but to `abandon`.
public protocol CopyLane: AnyObject {
    /// The format in which the rows of a relation are to be read.
    func format(of relation: RelationVersion) throws -> CopyFormat

    /// Begins a chunk of rows, whose values come in the order of the relation's columns.
    func begin(_ relation: RelationVersion) throws

    /// Takes one CopyData message of the source: a row, in binary also the trailer after the last.
    ///
    /// In binary the header comes with the first message.
    ///
    /// Blocks while the target is slower than the source.
    func take(_ bytes: UnsafeRawBufferPointer) throws

    /// Makes the chunk durable, at the latest with the sink's next commit, and together with it
    /// what it counts for: the next `open` of the sink has both or neither.
    ///
    /// A chunk that counts for nothing by itself is thrown away by the sink's next `prepare`, unless
    /// its table was said to be whole. When this returns no row of the chunk can be refused any
    /// more.
    func end(_ copied: TableCopy) throws

    /// Notes that a table is whole, of which all lanes have ended their chunks.
    func note(_ copied: TableCopy) throws

    /// Gives up the chunk, if one was begun; the lane is of no use afterwards.
    ///
    /// Blocks for a moment at most.
    func abandon()
}
