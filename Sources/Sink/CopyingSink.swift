// SPDX-License-Identifier: Apache-2.0
//
// Tables whose rows are copied while the stream of others goes on. The order of calls, between any
// calls of the stream but where something else is said:
//
//   inspectCopy → beginCopy → writeCopied* → endCopy → commit
//
// Anywhere on the way `abandonCopy` gives the rows up. A sink that has lanes takes them there, and
// `writeCopied` is not called.

public import ChangeModel

/// What a sink promises of rows that come beside its stream.
public protocol CopyingSink: AnyObject {
    /// Says what `inspect` does of tables that are about to be copied, and what their rows would
    /// meet; changes nothing.
    ///
    /// What can be known to stand in the way of `beginCopy` is said here, since the checkpoint will
    /// say by then that nothing of them is copied.
    func inspectCopy(_ relations: [Relation], types: [TypeEntry]) throws

    /// Makes ready what rows of tables are written to that are copied beside the stream of others.
    ///
    /// Called with nothing uncommitted. Takes away what there is of the tables where the last
    /// checkpoint has nothing of them copied. Gives lanes where rows go past `writeCopied`.
    func beginCopy(_ relations: [Relation], types: [TypeEntry]) throws -> (any CopyLanes)?

    /// Takes rows of those tables, between any two calls of `write` and `commit`.
    ///
    /// What is committed meanwhile does not depend on them. A `rollback` may forget them, and
    /// `dropUnfinished` does not.
    func writeCopied(_ batch: borrowing ChangeBatch) throws

    /// All rows have come: they are part of the sink with the next commit, which follows at once.
    ///
    /// Called with nothing uncommitted but these rows.
    func endCopy() throws

    /// Forgets the rows of a copy that does not come to its end.
    func abandonCopy()

    /// Gives up what was written of a transaction that has not ended and that will come again, and
    /// nothing else; so that nobody waits for it.
    ///
    /// Whole transactions have all been committed.
    func dropUnfinished() throws

    /// Whether the rows of a table that is copied once more take the place of the former ones.
    ///
    /// Elsewhere the former ones are kept right until the new ones follow.
    var replacesCopies: Bool { get }
}

// What suffices where a copy's rows are written as a snapshot's are.
extension Sink {
    /// What `inspect` says.
    public func inspectCopy(_ relations: [Relation], types: [TypeEntry]) throws {
        try inspect(relations, types: types)
    }

    /// Makes ready as for a snapshot, for rows that come through `writeCopied`.
    public func beginCopy(
        _ relations: [Relation],
        types: [TypeEntry]
    ) throws -> (any CopyLanes)? {
        try prepare(relations, types: types)
        return nil
    }

    /// Writes them like any rows.
    public func writeCopied(_ batch: borrowing ChangeBatch) throws { try write(batch) }

    /// Does nothing: what was written is committed with whatever is committed next.
    public func endCopy() throws {}

    /// Does nothing.
    public func abandonCopy() {}

    /// Rolls back.
    public func dropUnfinished() throws { try rollback() }

    /// False: events are appended.
    public var replacesCopies: Bool { false }
}
