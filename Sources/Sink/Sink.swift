// SPDX-License-Identifier: Apache-2.0
//
// What every destination promises. A sink is driven from one thread that belongs to it and may
// block there; nothing else ever touches it. The order of calls:
//
//   open → inspect → [beginSnapshot → prepare → (write* → commit)*] → (write* → commit)* → close
//
// A snapshot's commits say `running`, but for the last one, and what is copied so far. Where a
// checkpoint says so that was found on opening, it is gone on with; the stream has to bring what is
// there up to the point at which the rest will be read:
//
//   open → inspect → resumeSnapshot → (write* → commit)* → prepare → (write* → commit)* → …
//
// `write` may be followed by `rollback` instead of `commit`, at any time; then the sink is as its
// last checkpoint says and writing goes on from there. Tables that are copied beside the stream
// come by ways of their own: CopyingSink.

public import ChangeModel

/// A destination of changes that keeps the checkpoint together with the data.
public protocol Sink: CopyingSink {
    /// Restores the sink to its checkpoint and returns it; `nil` where it never held one.
    ///
    /// What lies behind the checkpoint (a killed run's tail) is gone when this returns; of an
    /// unfinished snapshot that is what does not belong to the checkpoint's `copies`, or will be
    /// gone after `prepare`. Throws `WalrelayError`.
    func open() throws -> Checkpoint?

    /// Says, before anything is made anywhere, what does not fit these relations.
    ///
    /// Changes nothing. `types` has those of the relations' types that are not built in. Throws one
    /// `WalrelayError` that lists all there is to mend.
    func inspect(_ relations: [Relation], types: [TypeEntry]) throws

    /// Throws away what an unfinished snapshot left and makes a `.running` checkpoint durable.
    ///
    /// What a finished snapshot and the stream after it left is kept: the caller asks for a
    /// snapshot only where there is no such checkpoint, or where changes after it are lost
    /// (`run --resnapshot`). Then the new rows come behind what is there or, where rows have a
    /// place, into it: see `prepare`.
    func beginSnapshot(_ checkpoint: Checkpoint) throws

    /// Makes ready, for changes of what is copied, a snapshot that is gone on with.
    ///
    /// `checkpoint` is the one that `open` has returned.
    func resumeSnapshot(_ checkpoint: Checkpoint) throws

    /// Makes ready what the rows of a snapshot will be written to, and throws away those of tables
    /// of which the checkpoint has nothing copied.
    ///
    /// Called once after `beginSnapshot` or `resumeSnapshot`, when the relations are known as the
    /// snapshot sees them; and of a task that is under way with those that come in without rows.
    func prepare(_ relations: [Relation], types: [TypeEntry]) throws

    /// Where a snapshot's rows may go past `write`, undecoded and on several threads at once.
    ///
    /// Asked after `prepare`; `nil` where every row has to come through `write`.
    var copyLanes: (any CopyLanes)? { get }

    /// Takes the changes of a batch, durable or not, in the order of the batch.
    func write(_ batch: borrowing ChangeBatch) throws

    /// Makes everything up to the last batch's `committedCount` durable together with `checkpoint`.
    ///
    /// When this returns the change cannot be lost by a crash of this process or of its machine.
    /// What was written behind `committedCount` stays written and uncommitted. The last batch may
    /// have been empty: then only the position moves. Of a snapshot's batches every row counts.
    func commit(_ checkpoint: Checkpoint) throws

    /// Forgets whatever was written since the last commit.
    func rollback() throws

    /// Called about every 100 ms while nothing comes, with what was written uncommitted or not.
    ///
    /// Nothing comes while the source is quiet, and while a snapshot's workers fill their batches.
    /// Where a sink has work of its own to do by the clock, that is the time for it; an error is
    /// like one of `write`. Must not wait for long: the next batch may be there already.
    func idle() throws

    /// Lets go of files and connections; what was not committed is rolled back.
    func close() throws

    /// Ends the task in this sink: the checkpoint goes, the data stays, the sink is closed.
    ///
    /// To be called on an open sink.
    func removeCheckpoint() throws

    /// Whether a checkpoint that was committed is still there on the next start.
    ///
    /// A pipe cannot keep one: there the position of the slot is all there is, and a change may
    /// come again after a crash.
    var keepsCheckpoint: Bool { get }

    /// Whether rows of a snapshot can be seen before they are committed.
    ///
    /// Then nobody takes them back: `open` leaves them there, and what was deleted at the source
    /// since then has to be brought to the sink too, also of rows that are not copied by the
    /// checkpoint's word. Every sink that keeps its checkpoint is given one before the first row that
    /// says where its snapshot was taken; one of this kind also where no slot will be there.
    var showsUnfinishedSnapshots: Bool { get }

    /// The commit of a transaction of which the last checkpoint counts a part, by the number of its
    /// changes; `nil` where it counts whole ones only.
    ///
    /// Until the position has passed it, what is left out of the stream must stay the same.
    var partCommit: LSN? { get }

    /// What the sink has done since it was opened.
    var statistics: SinkStatistics { get }
}

extension Sink {
    /// Finds nothing wrong: a sink of events takes any relation.
    public func inspect(_ relations: [Relation], types: [TypeEntry]) throws {}

    /// Does nothing: a sink of events has nothing to make.
    public func prepare(_ relations: [Relation], types: [TypeEntry]) throws {}

    /// None: events need their values decoded.
    public var copyLanes: (any CopyLanes)? { nil }

    /// Does nothing: events are appended.
    public func resumeSnapshot(_ checkpoint: Checkpoint) throws {}

    /// Closes the sink, which suffices where no checkpoint is kept.
    public func removeCheckpoint() throws { try close() }

    /// Does nothing.
    public func idle() throws {}

    /// False: what is not committed is not seen.
    public var showsUnfinishedSnapshots: Bool { false }

    /// None: a transaction is committed as a whole.
    public var partCommit: LSN? { nil }

    /// True: nearly all sinks do.
    public var keepsCheckpoint: Bool { true }
}

/// Counters and details of a sink for the status.
public struct SinkStatistics: Sendable, Equatable {
    /// Bytes handed to the destination.
    public var bytesWritten: UInt64 = 0
    /// Commits made durable.
    public var commits: UInt64 = 0
    /// What else the kind of sink can tell, such as the file that is being written.
    public var details: [String: String] = [:]

    /// Nothing done yet.
    public init() {}
}
