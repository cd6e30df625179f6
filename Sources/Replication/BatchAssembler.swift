// SPDX-License-Identifier: Apache-2.0
//
// From messages to batches: attaches the relation, counts the order, guards the schema. Does no
// I/O of its own, so that a test can feed it bytes.
//
//   outside ──Begin──▶ taking ──Commit──▶ outside      the batch's boundary moves here, only here
//      └──Begin of a transaction that the sink has, or past the end──▶ skipping ──Commit──▶ outside
//
// A batch may end in the middle of a transaction (it must: transactions have no bound, batches
// do), but a checkpoint never does.

public import ChangeModel
import PgOutput

/// Assembles the messages of a stream into batches.
public struct BatchAssembler {
    enum State {
        case outside
        case taking
        case skipping
    }

    /// The batch that is being filled.
    public internal(set) var batch: ChangeBatch
    /// Everything committed before this position is in the batch, in an earlier one or in the sink.
    public internal(set) var position: LSN
    /// Where the taking ends: what commits at this position or later is left out, and `position`
    /// goes no further; `nil` takes on.
    public var until: LSN?
    /// What the operator should be told, such as a column that was added; taken by the reader.
    public var notices: [String] = []

    var checkpoint: Checkpoint
    let policy: StreamPolicy
    private let resolveTypes: ([UInt32]) throws -> [TypeEntry]
    private let nameType: (Column) -> String
    private var types: TypeCatalog
    var state = State.outside
    var cache = RelationCache()
    /// The relations as the present, unfinished transaction sees them.
    var baseline: [UInt32: Relation]
    private var baselineChanged = false
    /// What is done with changes of tables that are not whole, by OID.
    var filters: [UInt32: CopyFilter]
    /// Where changes wait for their table's rows.
    let gate: CopyGate?
    private var gateSeen = 0
    /// The tables that are held there, as of the present transaction's beginning.
    private var held: Set<UInt32> = []
    /// Relations of the baseline that the stream has not described yet and may correct.
    private var provisional: Set<UInt32>
    var transaction = Transaction(
        xid: 0,
        commitLSN: .zero,
        commitTime: PostgresTime(microseconds: 0)
    )
    var transactionNumber: UInt64 = 0
    private var transactionIndex: Int32 = -1
    var ordinal: UInt64 = 0
    private let decoder = PgOutputDecoder()

    /// An assembler for a stream that goes on where `checkpoint` says.
    ///
    /// `resolveTypes` looks up types that `types` does not know, on another connection; it may
    /// block and throw; `nameType` names a type for a refusal, and may block. A provisional
    /// baseline was read from the catalog later than the position: then the first description of
    /// a relation in the stream is taken as it is.
    public init(
        checkpoint: Checkpoint,
        isBaselineProvisional: Bool = false,
        policy: StreamPolicy,
        types: TypeCatalog,
        gate: CopyGate? = nil,
        batch: ChangeBatch = ChangeBatch(),
        resolveTypes: @escaping ([UInt32]) throws -> [TypeEntry],
        nameType: @escaping (Column) -> String = SchemaGuard.typeText
    ) {
        self.checkpoint = checkpoint
        self.position = checkpoint.position
        self.policy = policy
        self.types = types
        self.gate = gate
        self.batch = batch
        self.resolveTypes = resolveTypes
        self.nameType = nameType
        self.baseline = Dictionary(
            checkpoint.relations.map { ($0.oid, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        self.provisional = isBaselineProvisional ? Set(baseline.keys) : []
        self.filters = Self.filters(of: checkpoint, takesUncopied: policy.takesUncopied)
    }

    /// Whether a transaction has begun and not ended.
    public var isInTransaction: Bool { state != .outside }

    /// Whether everything that commits before `until` was taken.
    public var isAtEnd: Bool { until.map { position >= $0 } ?? false }

    /// Whether the batch has nothing that a sink would write, at most a new position.
    public var hasNoChanges: Bool { batch.changes.isEmpty }

    /// Whether a transaction that ended in the batch, or a new position, waits to be committed.
    public var hasBoundary: Bool { position > checkpoint.position || batch.committedCount > 0 }

    /// Takes one message of the output plugin; `lsn` is the position of its frame.
    ///
    /// Throws `WalrelayError` for what is malformed or refused. What was assembled before the
    /// transaction at fault is untouched: see `dropUnfinishedTransaction`.
    @inline(__always)
    public mutating func accept(_ payload: Span<UInt8>, at lsn: LSN) throws {
        let offset = batch.bytes.count
        let message: Message
        do {
            message = try decoder.decode(payload, arenaOffset: offset, cells: &batch.cells)
        } catch {
            throw error.walrelayError(at: lsn)
        }
        switch message {
        case .insert(let oid, let new):
            try takeRow(
                .insert,
                oid,
                old: .none,
                oldTuple: new,
                newTuple: new,
                payload: payload,
                at: lsn
            )
        case .update(let oid, let old, let oldTuple, let newTuple):
            try takeRow(
                .update,
                oid,
                old: old,
                oldTuple: oldTuple,
                newTuple: newTuple,
                payload: payload,
                at: lsn
            )
        case .delete(let oid, let old, let tuple):
            try takeRow(
                .delete,
                oid,
                old: old,
                oldTuple: tuple,
                newTuple: tuple,
                payload: payload,
                at: lsn
            )
        default:
            try acceptRare(message, at: lsn)
        }
    }

    /// A keepalive's position counts when nothing is in flight: the server has sent all before it.
    public mutating func advance(to walEnd: LSN) {
        guard state == .outside else { return }
        position = max(position, min(walEnd, until ?? walEnd))
    }

    /// Takes the assembled batch out and goes on with `next`.
    ///
    /// The batch carries a checkpoint if a transaction ended in it or the position moved.
    public mutating func take(next: consuming ChangeBatch) -> ChangeBatch {
        if hasBoundary {
            checkpoint.position = position
            batch.checkpoint = checkpoint
        }
        var full = next
        swap(&full, &batch)
        cache.beginBatch()
        transactionIndex = -1
        return full
    }

    /// Forgets the changes of the transaction that has not ended.
    public mutating func dropUnfinishedTransaction() {
        batch.dropUnfinishedTransaction()
        state = .skipping
    }

    /// Comes to the commit of the transaction that was dropped: everything before that is here.
    ///
    /// Only once the sink has given up what it has of that transaction: to a sink a batch with a
    /// position says that the transaction whose beginning it has was whole.
    mutating func comeToDroppedTransaction() {
        position = max(position, min(transaction.commitLSN, until ?? transaction.commitLSN))
    }

    private mutating func hold(_ now: Set<UInt32>) {
        let former = held
        held = now
        for oid in former.union(now) { look(at: oid) }
    }

    /// Has each change of a table looked at, or not, as the table is now.
    mutating func look(at oid: UInt32) {
        cache.setFiltered(filters[oid] != nil || held.contains(oid), of: oid)
    }

    // MARK: Rows

    @inline(__always)
    private mutating func takeRow(
        _ kind: ChangeKind,
        _ oid: UInt32,
        old: OldTuple,
        oldTuple: TupleCells,
        newTuple: TupleCells,
        payload: Span<UInt8>,
        at lsn: LSN
    ) throws {
        guard state == .taking else {
            try leaveOut(from: old == .none ? newTuple : oldTuple, at: lsn)
            return
        }
        guard let index = cache.index(of: oid) else {
            throw StreamFault.malformed("a row of OID \(oid) before its description", at: lsn)
        }
        var (kind, old) = (kind, old)
        if cache.entries[index].isFiltered {
            guard
                let change = try filtered(
                    kind,
                    oid,
                    old: old,
                    oldTuple: oldTuple,
                    newTuple: newTuple,
                    payload: payload,
                    at: lsn
                )
            else { return try leaveOut(from: old == .none ? newTuple : oldTuple, at: lsn) }
            (kind, old) = change
        }
        let relation = cache.place(index, in: &batch)
        guard relation >= 0 else {
            try leaveOut(from: old == .none ? newTuple : oldTuple, at: lsn)
            return
        }
        let count = cache.entries[index].columnCount
        guard Int(newTuple.count) == count, old == .none || Int(oldTuple.count) == count else {
            throw StreamFault.malformed("\(newTuple.count) columns, not \(count)", at: lsn)
        }
        if old == .key {
            try markAbsent(oldTuple, relation: batch.relations[Int(relation)].relation, at: lsn)
        }
        payload.withUnsafeBufferPointer { batch.bytes.append(contentsOf: $0) }
        ordinal &+= 1
        batch.changes.append(
            Change(
                kind: kind,
                old: old,
                relation: relation,
                transaction: placeTransaction(),
                newCells: newTuple.first,
                oldCells: oldTuple.first,
                lsn: lsn,
                ordinal: ordinal,
                relationOrdinal: cache.nextOrdinal(index, in: transactionNumber)
            )
        )
    }

    /// In a key the other columns come as NULL and mean: not sent.
    private mutating func markAbsent(_ tuple: TupleCells, relation: Relation, at lsn: LSN) throws {
        do {
            try PgOutputDecoder.markAbsent(cells: &batch.cells, tuple: tuple, relation: relation)
        } catch {
            throw error.walrelayError(at: lsn)
        }
    }

    /// Takes back the cells of a row that is not wanted.
    private mutating func leaveOut(from tuple: TupleCells, at lsn: LSN) throws {
        guard state != .outside else {
            throw StreamFault.malformed("a change outside of a transaction", at: lsn)
        }
        batch.cells.removeLast(batch.cells.count - Int(tuple.first))
    }

    @inline(__always)
    mutating func placeTransaction() -> Int32 {
        if transactionIndex < 0 {
            transactionIndex = Int32(truncatingIfNeeded: batch.transactions.count)
            batch.transactions.append(transaction)
        }
        return transactionIndex
    }

    // MARK: Transactions and relations

    private mutating func acceptRare(_ message: Message, at lsn: LSN) throws {
        switch message {
        case .begin(let begin): try take(begin, at: lsn)
        case .commit(let commit): try take(commit, at: lsn)
        case .relation(let relation): try take(relation, at: lsn)
        case .truncate(let truncate): try take(truncate, at: lsn)
        case .origin, .type, .logicalMessage: break
        case .insert, .update, .delete: break
        }
    }

    private mutating func take(_ begin: Begin, at lsn: LSN) throws {
        guard state == .outside else {
            throw StreamFault.malformed("a transaction begins inside of another", at: lsn)
        }
        // Transactions come in the order of their commits: all before the end have come.
        let isLate = until.map { begin.finalLSN >= $0 } ?? false
        if isLate, let until { position = max(position, until) }
        // After a restart the server may send again what was acknowledged: confirmed_flush can
        // go back. What ended before our position is in the sink.
        state = isLate || begin.finalLSN < checkpoint.position ? .skipping : .taking
        transaction = Transaction(
            xid: begin.xid,
            commitLSN: begin.finalLSN,
            commitTime: begin.commitTime
        )
        transactionNumber &+= 1
        transactionIndex = -1
        ordinal = 0
        if let now = gate?.news(since: &gateSeen) { hold(now) }
    }

    private mutating func take(_ commit: Commit, at lsn: LSN) throws {
        guard state != .outside, commit.commitLSN == transaction.commitLSN else {
            throw StreamFault.malformed("\(commit.commitLSN) ends no open transaction", at: lsn)
        }
        if state == .taking {
            batch.committedCount = batch.changes.count
            batch.committedTransactions += 1
            position = max(position, commit.endLSN)
            if baselineChanged {
                checkpoint.relations = baseline.values.sorted { $0.oid < $1.oid }
                checkpoint.types = types.entries(for: checkpoint.relations)
                baselineChanged = false
            }
            if !filters.isEmpty { commitCopies() }
        }
        state = .outside
    }

    private mutating func take(_ described: Relation, at lsn: LSN) throws {
        guard state != .outside else {
            throw StreamFault.malformed("a relation outside of a transaction", at: lsn)
        }
        guard let known = known(described) else {
            try refuseRecreated(described)
            cache.set(nil, of: described.oid)
            look(at: described.oid)
            return
        }
        var relation = described
        relation.primaryKey = known.primaryKey
        // What is left out may look like anything: the rows to come look like `known`.
        let isTaken = state == .taking && !isLeftOut(relation.oid)
        let isFirst = isTaken && provisional.remove(relation.oid) != nil
        let isCompared = !isFirst && (isTaken || state == .skipping)
        switch isCompared ? SchemaGuard.compare(known, relation, nameType: nameType) : .none {
        case .none: break
        case .columnsAdded(let columns):
            let names = columns.map { "\"\($0.name)\"" }.joined(separator: ", ")
            notices.append(
                "\(relation.qualifiedName) has new columns from \(transaction.commitLSN) on: \(names)"
            )
        case .unsupported(let faults) where policy.acceptedDDL.contains(transaction.commitLSN):
            notices.append(
                "\(relation.qualifiedName) at \(transaction.commitLSN), as accepted: "
                    + faults.joined(separator: "; ")
            )
        case .unsupported(let faults) where state == .taking:
            throw StreamRefusal.ofDDL(relation, formerly: known, faults, in: transaction)
        // A transaction that the sink already has may carry a description older than the
        // checkpoint's: what counts is the next one that is taken.
        case .unsupported: break
        }
        let unknown = types.unknown(in: relation)
        if !unknown.isEmpty {
            for entry in try resolveTypes(unknown) { types.add(entry) }
        }
        filters[relation.oid]?.describe(relation)
        cache.describe(relation, types.types(of: relation))
        look(at: relation.oid)
        if isTaken, baseline[relation.oid] != relation {
            baseline[relation.oid] = relation
            baselineChanged = true
        }
    }
}
