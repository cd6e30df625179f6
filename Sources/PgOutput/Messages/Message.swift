// SPDX-License-Identifier: Apache-2.0

public import ChangeModel

/// A message of pgoutput, protocol 1.
///
/// Row messages carry numbers only, so that making and dropping one costs nothing.
public enum Message: Sendable, Equatable {
    /// A transaction begins.
    case begin(Begin)
    /// A transaction ends.
    case commit(Commit)
    /// Where the transaction came from.
    case origin(Origin)
    /// What a relation looks like from here on.
    case relation(Relation)
    /// The name of a type that is not built in.
    case type(TypeName)
    /// A row was inserted.
    case insert(relation: UInt32, new: TupleCells)
    /// A row was updated; `oldTuple` is empty where `old` is `.none`.
    case update(relation: UInt32, old: OldTuple, oldTuple: TupleCells, newTuple: TupleCells)
    /// A row was deleted; `old` is `.key` or `.full`.
    case delete(relation: UInt32, old: OldTuple, tuple: TupleCells)
    /// Tables were truncated.
    case truncate(Truncate)
    /// A message that an application wrote into the WAL.
    case logicalMessage(LogicalMessage)
}
