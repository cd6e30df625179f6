// SPDX-License-Identifier: Apache-2.0
//
// Rule 4: a batch is bytes plus an index. Values stay where the wire put them, in one arena;
// cells say where. Nothing here is an object per row or column, and a batch that was emptied
// keeps its memory for the next round.
//
//   bytes         |…wire message…|…wire message…|            the arena
//   cells         (offset, length) (offset, length) …         one a column of a tuple
//   changes       kind, relation, transaction, new, old …     one a row, in commit order
//   relations     the versions that `changes` refer to
//   transactions  the transactions that `changes` refer to

/// Where a value stands in a batch's arena, or why it does not.
public struct Cell: Sendable, Equatable {
    /// Bytes from the beginning of the arena; 0 where there is no value.
    public var offset: UInt32
    /// The value's length in bytes; negative where there is no value.
    public var length: Int32

    /// A value of the arena.
    @inlinable
    public init(offset: UInt32, length: Int32) {
        self.offset = offset
        self.length = length
    }

    /// SQL NULL.
    @inlinable
    public static var null: Cell { Cell(offset: 0, length: -1) }
    /// A TOASTed value that the change left as it was and that was therefore not sent.
    @inlinable
    public static var unchanged: Cell { Cell(offset: 0, length: -2) }
    /// A value that was not sent at all (a non-key column of a key): not NULL, absent.
    @inlinable
    public static var absent: Cell { Cell(offset: 0, length: -3) }

    /// Whether there is a value in the arena.
    @inlinable
    public var isValue: Bool { length >= 0 }
}

/// What happened to a row.
public enum ChangeKind: UInt8, Sendable {
    /// A row that the snapshot read.
    case read
    /// INSERT.
    case insert
    /// UPDATE.
    case update
    /// DELETE.
    case delete
    /// TRUNCATE of one relation; it has no tuple.
    case truncate
}

extension ChangeKind {
    /// Debezium's letter for it in `op`, in ASCII.
    @inlinable
    public var operation: UInt8 {
        switch self {
        case .read: UInt8(ascii: "r")
        case .insert: UInt8(ascii: "c")
        case .update: UInt8(ascii: "u")
        case .delete: UInt8(ascii: "d")
        case .truncate: UInt8(ascii: "t")
        }
    }
}

/// What the old tuple of a change holds.
public enum OldTuple: UInt8, Sendable {
    /// There is none.
    case none
    /// The replica identity's columns; the others are absent.
    case key
    /// The whole old row.
    case full
}

/// One change: small numbers only, so that copying it costs nothing.
public struct Change: Sendable {
    /// What happened.
    public var kind: ChangeKind
    /// What the old tuple holds.
    public var old: OldTuple
    /// Index into `ChangeBatch.relations`.
    public var relation: Int32
    /// Index into `ChangeBatch.transactions`.
    public var transaction: Int32
    /// Index of the new tuple's first cell; meaningless for delete and truncate.
    public var newCells: UInt32
    /// Index of the old tuple's first cell; meaningless where `old` is `.none`.
    public var oldCells: UInt32
    /// The change's own position.
    public var lsn: LSN
    /// The change's place in its transaction, from 1; 0 for a row that a snapshot read.
    public var ordinal: UInt64
    /// The change's place among those of its relation in its transaction, from 1.
    public var relationOrdinal: UInt64

    /// Creates a change.
    @inlinable
    public init(
        kind: ChangeKind,
        old: OldTuple,
        relation: Int32,
        transaction: Int32,
        newCells: UInt32,
        oldCells: UInt32,
        lsn: LSN,
        ordinal: UInt64,
        relationOrdinal: UInt64
    ) {
        self.kind = kind
        self.old = old
        self.relation = relation
        self.transaction = transaction
        self.newCells = newCells
        self.oldCells = oldCells
        self.lsn = lsn
        self.ordinal = ordinal
        self.relationOrdinal = relationOrdinal
    }
}

/// The transaction that changes belong to; a snapshot counts as one.
public struct Transaction: Sendable, Equatable {
    /// The transaction's 32-bit id; 0 for a snapshot.
    public var xid: UInt32
    /// The position of the commit record; the consistent point for a snapshot.
    public var commitLSN: LSN
    /// When it was committed; when the snapshot began.
    public var commitTime: PostgresTime

    /// Creates a transaction.
    @inlinable
    public init(xid: UInt32, commitLSN: LSN, commitTime: PostgresTime) {
        self.xid = xid
        self.commitLSN = commitLSN
        self.commitTime = commitTime
    }
}

/// A run of changes in commit order, and the position that it makes whole.
public struct ChangeBatch: Sendable {
    /// The arena.
    public var bytes: [UInt8] = []
    /// Where the values stand.
    public var cells: [Cell] = []
    /// The changes in order.
    public var changes: [Change] = []
    /// The relation versions that `changes` refer to.
    public var relations: [RelationVersion] = []
    /// The transactions that `changes` refer to.
    public var transactions: [Transaction] = []
    /// How many of the changes, from the first on, belong to transactions that end in this batch.
    ///
    /// The rest belongs to one transaction that goes on in the next batch.
    public var committedCount = 0
    /// How many transactions end in this batch.
    public var committedTransactions = 0
    /// Where the task would go on once the first `committedCount` changes are durable; `nil` where
    /// no transaction ends here.
    public var checkpoint: Checkpoint?
    /// What the rows of a snapshot in this batch add to what is copied of their table.
    ///
    /// `nil` where they count only once all of the table is there; then a batch without rows
    /// comes at last and says that it is whole.
    public var copied: TableCopy?

    /// An empty batch without memory.
    public init() {}

    /// An empty batch that already has room.
    public init(rows: Int, bytes byteCount: Int) {
        bytes.reserveCapacity(byteCount)
        changes.reserveCapacity(rows)
        cells.reserveCapacity(rows * 8)
    }

    /// Whether the batch has nothing to say, neither changes nor a position.
    public var isEmpty: Bool { changes.isEmpty && checkpoint == nil }

    /// Forgets the content and keeps the memory, up to `byteLimit` bytes of arena.
    public mutating func removeAll(keepingUpTo byteLimit: Int = 16 << 20) {
        bytes.removeAll(keepingCapacity: bytes.capacity <= byteLimit)
        cells.removeAll(keepingCapacity: true)
        changes.removeAll(keepingCapacity: true)
        relations.removeAll(keepingCapacity: true)
        transactions.removeAll(keepingCapacity: true)
        committedCount = 0
        committedTransactions = 0
        checkpoint = nil
        copied = nil
    }

    /// Takes out the changes of the transaction that has not ended, as if it had not begun.
    public mutating func dropUnfinishedTransaction() {
        changes.removeLast(changes.count - committedCount)
        let kept = changes.last.map { Int($0.transaction) + 1 } ?? 0
        transactions.removeLast(transactions.count - kept)
    }

    /// The value of a cell as text, for errors and tests; `nil` where the cell has no value.
    public func text(_ cell: Cell) -> String? {
        guard cell.isValue else { return nil }
        let start = Int(cell.offset)
        return String(decoding: bytes[start..<(start + Int(cell.length))], as: UTF8.self)
    }
}
